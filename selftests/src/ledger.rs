// SPDX-License-Identifier: GPL-2.0

//! What can be left over: compared before and after.

use std::fs;
use std::io;

use crate::bufinfo;
use crate::pins::Pins;

/// Everything that a create takes and a close gives back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// Open descriptors of this process.
    pub descriptors: usize,
    /// Pinned pages in the whole system.
    pub pinned: u64,
    /// dma-bufs in the whole system.
    pub buffers: usize,
}

impl Ledger {
    /// Counts.
    ///
    /// # Errors
    ///
    /// When /proc or debugfs cannot be read.
    pub fn now() -> io::Result<Ledger> {
        Ok(Ledger {
            descriptors: fs::read_dir("/proc/self/fd")?.count(),
            pinned: Pins::now()?.held(),
            buffers: bufinfo::count()?,
        })
    }
}
