// SPDX-License-Identifier: GPL-2.0

//! The kernel's leak detector, kmemleak.

use std::{fs, thread, time::Duration};

use anyhow::{Context, Result};

const KMEMLEAK: &str = "/sys/kernel/debug/kmemleak";

/// Younger objects are never reported, whatever points at them.
const MINIMUM_AGE: Duration = Duration::from_secs(5);

/// Forgets what leaked during boot, which is nobody's business here.
pub fn forget() -> Result<()> {
    if fs::exists(KMEMLEAK).context(KMEMLEAK)? {
        // Automatic scans would only slow the tests down.
        for command in ["scan=off", "scan", "clear"] {
            fs::write(KMEMLEAK, command).with_context(|| format!("{KMEMLEAK}: {command}"))?;
        }
    }
    Ok(())
}

/// Looks for leaks; `None` in a kernel without the detector.
pub fn find() -> Result<Option<String>> {
    if !fs::exists(KMEMLEAK).context(KMEMLEAK)? {
        return Ok(None);
    }
    // Two scans: an object counts as leaked when both miss it and it did not change in between.
    for _ in 0..2 {
        thread::sleep(MINIMUM_AGE);
        fs::write(KMEMLEAK, "scan").context(KMEMLEAK)?;
    }
    fs::read_to_string(KMEMLEAK).context(KMEMLEAK).map(Some)
}
