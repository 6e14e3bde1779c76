// SPDX-License-Identifier: GPL-2.0

//! The last lines that the checker has said, of all buffers.
//!
//! The only lock that buffers share. It is taken once for each place that is told of, of which a buffer
//! has at most some dozens, and held while pointers move, or root reads the file.

use kernel::{
    alloc::flags::__GFP_NOWARN,
    debugfs::Writer,
    fmt,
    prelude::*,
    str::CString, //
};

/// As many lines as are kept.
const KEPT: usize = 64;

struct Ring {
    lines: KVec<CString>,
    /// The oldest, once there are as many as may be.
    next: usize,
}

kernel::sync::global_lock! {
    // SAFETY: `Reports::new()` does so, before there is a buffer.
    unsafe(uninit) static RING: Mutex<Ring> = Ring { lines: KVec::new(), next: 0 };
}

/// The lines are there as long as this is.
pub(crate) struct Reports;

impl Reports {
    /// Once, while the module is loaded.
    pub(crate) fn new() -> Self {
        // SAFETY: Nobody has used it yet.
        unsafe { RING.init() };
        Self
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        RING.lock().lines = KVec::new();
    }
}

/// Keeps a line; without memory it is lost, as it is when many others follow.
pub(crate) fn keep(line: CString) {
    let mut ring = RING.lock();
    if ring.lines.len() < KEPT {
        let _ = ring.lines.push(line, GFP_KERNEL | __GFP_NOWARN);
        return;
    }
    let next = ring.next;
    ring.next = (next + 1) % KEPT;
    let old = ring
        .lines
        .get_mut(next)
        .map(|kept| core::mem::replace(kept, line));
    drop(ring);
    drop(old);
}

/// What is read from a file: the lines, the oldest first.
pub(crate) struct Lines;

impl Writer for Lines {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = RING.lock();
        let (newer, older) = ring.lines.split_at(ring.next.min(ring.lines.len()));
        for lines in [older, newer] {
            for line in lines {
                writeln!(f, "{}", line.to_str().unwrap_or("?"))?;
            }
        }
        Ok(())
    }
}
