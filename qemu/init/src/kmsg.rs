// SPDX-License-Identifier: GPL-2.0

//! Marks in the kernel log, so that a reader sees which program a line belongs to.

use std::{fs::File, io::Write};

/// Writes one line into the kernel log. A log without marks is still a log,
/// so a failure is no reason to stop.
pub fn mark(what: &str) {
    if let Ok(mut kmsg) = File::options().write(true).open("/dev/kmsg") {
        let _ = kmsg.write_all(format!("<6>guest: {what}\n").as_bytes());
    }
}
