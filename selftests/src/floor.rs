// SPDX-License-Identifier: GPL-2.0

//! What the kernel itself takes to pin and map memory: `/dev/udmabuf-floor`.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::io::Result;

use crate::Access;
use crate::Item;
use crate::Mapping;
use crate::PAGE;
use crate::abi;
use crate::sys;

/// The device file of the module udmabuf_floor.
pub const DEVICE: &str = "/dev/udmabuf-floor";

/// What pinning and unpinning a range took, in ticks of the CPU's clock (TSC, CNTVCT). In QEMU with
/// counted instructions one is 1 ns on x86-64, and 16 ns on arm64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks {
    /// Spent in `memfd_pin_folios()`.
    pub pin: u64,
    /// Spent in `unpin_folios()`.
    pub unpin: u64,
    /// How many folios that were.
    pub folios: u64,
}

/// The open device.
#[derive(Debug)]
pub struct Floor {
    fd: OwnedFd,
}

impl Floor {
    /// Opens the device.
    ///
    /// # Errors
    ///
    /// ENOENT when the module is not loaded, EPERM or EACCES for whom it is not meant.
    pub fn open() -> Result<Floor> {
        Ok(Floor {
            fd: fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?,
        })
    }

    /// Pins a range and unpins it again, in batches of 512 folios. No seal is asked for.
    ///
    /// # Errors
    ///
    /// EBADF for a missing descriptor; EINVAL for a file that is no memfd, a misaligned or empty
    /// range, or one beyond the file's end; ENOMEM.
    pub fn pin(&self, item: Item) -> Result<Ticks> {
        let mut request = abi::floor_pin {
            memfd: item.memfd,
            offset: item.offset,
            size: item.size,
            ..Default::default()
        };
        sys::ioctl::call(self, &mut request)?;
        Ok(Ticks {
            pin: request.pin,
            unpin: request.unpin,
            folios: request.folios,
        })
    }

    /// Maps `len` bytes from page frame number `frame` on, at an address that is a multiple of
    /// `align`. Nothing keeps the memory alive: it must be the caller's for as long as the mapping
    /// exists, by a mapping or a file of its own, and must not move (huge pages of hugetlb do not;
    /// what a udmabuf has pinned does not).
    ///
    /// # Errors
    ///
    /// ENXIO for frames that are no memory, EOVERFLOW for numbers that no file has, and those of
    /// mmap().
    pub fn map(&self, frame: u64, len: usize, access: Access, align: usize) -> Result<Mapping> {
        let offset = frame.checked_mul(PAGE as u64).ok_or(Errno::OVERFLOW)?;
        Mapping::aligned(self, offset, len, access, align)
    }
}

impl AsFd for Floor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
