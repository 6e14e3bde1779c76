// SPDX-License-Identifier: GPL-2.0

//! The file systems of the guest.

use std::{ffi::CStr, fs, path::Path};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};

/// Type, place, and options, in the order in which they are mounted.
const MOUNTS: &[(&str, &str, &CStr)] = &[
    ("devtmpfs", "/dev", c""),
    ("proc", "/proc", c""),
    ("sysfs", "/sys", c""),
    ("debugfs", "/sys/kernel/debug", c""),
    ("tmpfs", "/tmp", c"mode=1777"),
    ("tmpfs", "/dev/shm", c"mode=1777"),
];

/// Where the kernel may have one, and may not.
const TRACEFS: &str = "/sys/kernel/tracing";

/// Mounts every file system that programs in the guest may expect.
pub fn mount_all() -> Result<()> {
    for (kind, place, options) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        mount(*kind, *place, *kind, MountFlags::empty(), *options)
            .with_context(|| format!("cannot mount {kind} on {place}"))?;
    }
    if Path::new(TRACEFS).exists() {
        mount("tracefs", TRACEFS, "tracefs", MountFlags::empty(), c"")
            .with_context(|| format!("cannot mount tracefs on {TRACEFS}"))?;
    }
    Ok(())
}
