// SPDX-License-Identifier: GPL-2.0

//! What the CPU wants to do with a buffer.

use crate::abi;

/// Reading, writing or both; used for mappings and for access brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The CPU only reads.
    Read,
    /// The CPU only writes.
    Write,
    /// The CPU reads and writes.
    ReadWrite,
}

impl Access {
    /// Every kind of access, for tests that go through all of them.
    pub const ALL: [Access; 3] = [Access::Read, Access::Write, Access::ReadWrite];

    /// The direction bits of `DMA_BUF_IOCTL_SYNC`.
    pub fn sync_flags(self) -> u64 {
        u64::from(match self {
            Access::Read => abi::SYNC_READ,
            Access::Write => abi::SYNC_WRITE,
            Access::ReadWrite => abi::SYNC_READ | abi::SYNC_WRITE,
        })
    }
}
