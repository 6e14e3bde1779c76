// SPDX-License-Identifier: GPL-2.0

//! The system dma-buf heap: what a program would take that has no memory yet.

use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Result;

use crate::DmaBuf;
use crate::abi;
use crate::sys;

/// Where the heap is.
pub const DEVICE: &str = "/dev/dma_heap/system";

/// An open dma-buf heap.
#[derive(Debug)]
pub struct Heap {
    fd: OwnedFd,
}

impl Heap {
    /// Opens the system heap.
    ///
    /// # Errors
    ///
    /// ENOENT when the kernel has none.
    pub fn open() -> Result<Heap> {
        Ok(Heap {
            fd: fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?,
        })
    }

    /// Allocates a zeroed buffer of `len` bytes.
    ///
    /// # Errors
    ///
    /// ENOMEM.
    pub fn allocate(&self, len: usize) -> Result<DmaBuf> {
        let mut request = abi::dma_heap_allocation_data {
            len: len as u64,
            fd_flags: OFlags::CLOEXEC.union(OFlags::RDWR).bits(),
            ..Default::default()
        };
        sys::ioctl::heap_allocate(&self.fd, &mut request).map(DmaBuf::from)
    }
}
