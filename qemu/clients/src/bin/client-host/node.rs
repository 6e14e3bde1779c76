// SPDX-License-Identifier: GPL-2.0

//! `/dev/udmabuf`, as udev would leave it, or not there at all.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::PathBuf,
};

use anyhow::{Context, Result};
use selftests::udmabuf::DEVICE;

use crate::user::User;

/// Where it is while it is hidden.
const ASIDE: &str = "/dev/udmabuf-hidden";

/// What udev's rule says: `GROUP="kvm", MODE="0660"`.
const MODE: u32 = 0o660;

/// Where init has put the driver in the kernel when it is not the one under test.
const OTHER: &str = "/dev/udmabuf-c";

/// Gives a device to the user's group, with the rights that udev would give it.
pub fn give(device: &str, user: &User) -> Result<()> {
    let node = node(device)?;
    chown(&node, Some(0), Some(user.group))
        .and_then(|()| fs::set_permissions(&node, fs::Permissions::from_mode(MODE)))
        .with_context(|| format!("cannot give away {}", node.display()))
}

/// The group that a device belongs to. Where there is udev it has seen to that; elsewhere the device
/// is given to the user's.
pub fn group(device: &str, user: &User) -> Result<u32> {
    let node = node(device)?;
    let found = fs::metadata(&node).with_context(|| node.display().to_string())?;
    if found.gid() != 0 {
        return Ok(found.gid());
    }
    give(device, user)?;
    Ok(user.group)
}

/// What a name leads to: a link has no rights of its own.
fn node(device: &str) -> Result<PathBuf> {
    fs::canonicalize(device).with_context(|| device.to_owned())
}

/// The device is not there until this is dropped.
#[must_use = "the device comes back when this is dropped"]
pub struct Hidden(());

/// Hides it.
pub fn hide() -> Result<Hidden> {
    fs::rename(DEVICE, ASIDE).with_context(|| format!("cannot hide {DEVICE}"))?;
    Ok(Hidden(()))
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // Where this fails, every later step says that there is no device.
        let _ = fs::rename(ASIDE, DEVICE);
    }
}

/// `/dev/udmabuf` is the driver in the kernel until this is dropped.
#[must_use = "the driver under test comes back when this is dropped"]
pub struct OtherDriver {
    _hidden: Hidden,
}

/// Puts the driver in the kernel in the place of ours.
pub fn other_driver(user: &User) -> Result<OtherDriver> {
    let hidden = hide()?;
    fs::rename(OTHER, DEVICE).with_context(|| format!("cannot rename {OTHER}"))?;
    let other = OtherDriver { _hidden: hidden };
    group(DEVICE, user)?;
    Ok(other)
}

impl Drop for OtherDriver {
    fn drop(&mut self) {
        // Before ours comes back.
        let _ = fs::rename(DEVICE, OTHER);
    }
}
