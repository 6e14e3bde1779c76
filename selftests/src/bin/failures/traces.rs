// SPDX-License-Identifier: GPL-2.0

//! What a request that failed could leave behind.

use std::io;

use selftests::Ledger;
use selftests::hugepage;
use selftests::statistics;

/// All that is counted, compared before and after.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces {
    ledger: Ledger,
    /// By the driver; nothing if it does not.
    alive: Option<[usize; statistics::GAUGES.len()]>,
    /// Of the pool, neither used nor reserved.
    free_huge_pages: usize,
}

impl Traces {
    /// Counts.
    pub fn now() -> io::Result<Traces> {
        Ok(Traces {
            ledger: Ledger::now()?,
            alive: statistics::gauges()?,
            free_huge_pages: hugepage::free()?,
        })
    }
}
