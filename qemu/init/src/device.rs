// SPDX-License-Identifier: GPL-2.0

//! `/dev/udmabuf`, whichever driver is behind it.

use std::{fs, io::ErrorKind, os::unix::fs::symlink};

use anyhow::{Context, Result, bail};
use protocol::Driver;

/// The name that programs open.
const COMMON: &str = "/dev/udmabuf";
/// The node of this project's module.
const RUST: &str = "/dev/udmabuf-rs";
/// Where the node of the C driver goes when the common name is taken from it.
const C: &str = "/dev/udmabuf-c";

/// The name that this project's module was told to take.
const PARAMETER: &str = "/sys/module/udmabuf_rs/parameters/node";

/// Whether the common name is that of this project's module, and no link to it.
pub fn has_the_name() -> Result<bool> {
    let name = fs::read_to_string(PARAMETER).context(PARAMETER)?;
    Ok(COMMON.strip_prefix("/dev/") == Some(name.trim()))
}

/// Makes the common name lead to `driver`, wherever it led before.
pub fn link(driver: Driver) -> Result<()> {
    // A link that leads nowhere is there as well: its module is gone.
    let is_link = match fs::symlink_metadata(COMMON) {
        Ok(found) => Some(found.is_symlink()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error).context(COMMON),
    };
    match (driver, is_link) {
        (Driver::C, Some(false)) => return Ok(()),
        (Driver::Rust, Some(false)) => rename(COMMON, C)?,
        (_, Some(true)) => fs::remove_file(COMMON).context(COMMON)?,
        (_, None) => {}
    }
    match driver {
        Driver::C if fs::exists(C).context(C)? => rename(C, COMMON),
        Driver::C => bail!("no {COMMON}: the kernel was built without CONFIG_UDMABUF"),
        Driver::Rust if fs::exists(RUST).context(RUST)? => {
            symlink("udmabuf-rs", COMMON).with_context(|| format!("cannot link {COMMON}"))
        }
        Driver::Rust => bail!("no {RUST}: the module does not register its device"),
    }
}

fn rename(from: &str, to: &str) -> Result<()> {
    fs::rename(from, to).with_context(|| format!("cannot rename {from}"))
}
