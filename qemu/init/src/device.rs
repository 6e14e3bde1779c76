// SPDX-License-Identifier: GPL-2.0

//! `/dev/udmabuf`, whichever driver is behind it.

use std::{fs, os::unix::fs::symlink};

use anyhow::{Context, Result, bail};
use protocol::Driver;

/// The name that programs open.
const COMMON: &str = "/dev/udmabuf";
/// The node of this project's module.
const RUST: &str = "/dev/udmabuf-rs";
/// Where the node of the C driver goes when the common name is taken from it.
const C: &str = "/dev/udmabuf-c";

/// Makes the common name lead to `driver`.
pub fn link(driver: Driver) -> Result<()> {
    let has_c = fs::exists(COMMON).context(COMMON)?;
    match driver {
        Driver::C if has_c => Ok(()),
        Driver::C => bail!("no {COMMON}: the kernel was built without CONFIG_UDMABUF"),
        Driver::Rust => {
            if !fs::exists(RUST).context(RUST)? {
                bail!("no {RUST}: the module does not register its device");
            }
            if has_c {
                fs::rename(COMMON, C).with_context(|| format!("cannot rename {COMMON}"))?;
            }
            symlink("udmabuf-rs", COMMON).with_context(|| format!("cannot link {COMMON}"))
        }
    }
}
