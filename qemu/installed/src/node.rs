// SPDX-License-Identifier: GPL-2.0

//! The nodes in /dev, and which driver is behind each.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::Path,
};

use anyhow::{Context, Result, ensure};
use rustix::fs::{major, minor};

/// The name that programs look for.
pub const COMMON: &str = "udmabuf";

/// Our own name.
pub const OURS: &str = "udmabuf-rs";

/// The name that our module has taken; none if it is not loaded.
pub fn taken() -> Option<String> {
    let name = fs::read_to_string("/sys/module/udmabuf_rs/parameters/node").ok()?;
    Some(name.trim().to_owned())
}

/// Whether there is a misc device of that name.
pub fn exists(name: &str) -> bool {
    Path::new("/sys/class/misc").join(name).exists()
}

/// An error unless `/dev/<name>` is the node of the misc device of that name, and no link.
pub fn check(name: &str) -> Result<()> {
    let path = Path::new("/dev").join(name);
    let found = fs::symlink_metadata(&path).with_context(|| path.display().to_string())?;
    let number = fs::read_to_string(format!("/sys/class/misc/{name}/dev"))
        .with_context(|| format!("no misc device {name}"))?;
    let number = number.trim();
    let rdev = found.rdev();
    ensure!(
        found.file_type().is_char_device() && format!("{}:{}", major(rdev), minor(rdev)) == number,
        "{} is not the device {number}",
        path.display()
    );
    Ok(())
}
