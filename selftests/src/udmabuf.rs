// SPDX-License-Identifier: GPL-2.0

//! The device that turns ranges of memfds into dma-bufs.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Result;

use crate::DmaBuf;
use crate::abi;
use crate::sys;

/// Where every program expects the device.
pub const DEVICE: &str = "/dev/udmabuf";

/// An open udmabuf device.
#[derive(Debug)]
pub struct Udmabuf {
    fd: OwnedFd,
}

/// One range of one memfd, `offset` and `size` in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Item {
    /// Number of the memfd's descriptor, as the kernel will look it up.
    pub memfd: u32,
    /// Where the range starts in the memfd; a multiple of the page size.
    pub offset: u64,
    /// Length of the range; a multiple of the page size.
    pub size: u64,
}

impl Item {
    /// A range of an open file.
    pub fn new(memfd: &impl AsFd, offset: u64, size: u64) -> Item {
        // CAST: An open descriptor is never negative.
        Item {
            memfd: memfd.as_fd().as_raw_fd() as u32,
            offset,
            size,
        }
    }
}

impl Udmabuf {
    /// Opens [`DEVICE`] for reading and writing, closed on exec.
    ///
    /// # Errors
    ///
    /// Those of open().
    pub fn open() -> Result<Udmabuf> {
        Udmabuf::open_with(DEVICE, OFlags::RDWR | OFlags::CLOEXEC)
    }

    /// Opens a device of the caller's choice. The access mode has no effect: the driver does not
    /// look at it, and some clients open the device read-only.
    ///
    /// # Errors
    ///
    /// Those of open().
    pub fn open_with(path: impl AsRef<Path>, flags: OFlags) -> Result<Udmabuf> {
        Ok(Udmabuf {
            fd: fs::open(path.as_ref(), flags, Mode::empty())?,
        })
    }

    /// Makes a dma-buf of one range; its descriptor is closed on exec.
    ///
    /// # Errors
    ///
    /// EBADFD for a missing descriptor or one that is no memfd; EINVAL for missing or forbidden
    /// seals, a misaligned, empty or too long range, or one beyond the memfd's end; EMFILE, ENOMEM.
    pub fn create(&self, item: Item) -> Result<DmaBuf> {
        self.create_with(item, abi::UDMABUF_FLAGS_CLOEXEC)
    }

    /// As [`Udmabuf::create`], with flags of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::create`].
    pub fn create_with(&self, item: Item, flags: u32) -> Result<DmaBuf> {
        let request = abi::udmabuf_create {
            memfd: item.memfd,
            flags,
            offset: item.offset,
            size: item.size,
        };
        let address = std::ptr::from_ref(&request) as usize;
        sys::ioctl::create(self, abi::REQUEST_UDMABUF_CREATE, address).map(DmaBuf::from)
    }

    /// Makes one dma-buf of several ranges, one behind the other.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::create`], and EINVAL for an empty list or one above the module's `list_limit`.
    pub fn create_list(&self, items: &[Item]) -> Result<DmaBuf> {
        self.create_list_with(items, abi::UDMABUF_FLAGS_CLOEXEC)
    }

    /// As [`Udmabuf::create_list`], with flags of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::create_list`].
    pub fn create_list_with(&self, items: &[Item], flags: u32) -> Result<DmaBuf> {
        let list = list_bytes(flags, items.len() as u32, items);
        let address = list.as_ptr() as usize;
        sys::ioctl::create(self, abi::REQUEST_UDMABUF_CREATE_LIST, address).map(DmaBuf::from)
    }
}

/// The bytes of a `struct udmabuf_create_list` that claims `count` items.
pub fn list_bytes(flags: u32, count: u32, items: &[Item]) -> Vec<u8> {
    let mut bytes = [flags, count].map(u32::to_ne_bytes).concat();
    for item in items {
        bytes.extend(item.memfd.to_ne_bytes());
        // __pad, which nobody reads.
        bytes.extend(0u32.to_ne_bytes());
        bytes.extend(item.offset.to_ne_bytes());
        bytes.extend(item.size.to_ne_bytes());
    }
    bytes
}

impl AsFd for Udmabuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_the_layout_of_the_header() {
        let item = Item {
            memfd: 3,
            offset: 0x1000,
            size: 0x2000,
        };
        let bytes = list_bytes(1, 1, &[item]);
        let head = size_of::<abi::udmabuf_create_list>();
        assert_eq!(bytes.len(), head + size_of::<abi::udmabuf_create_item>());
        assert_eq!(bytes[head..head + 4], 3u32.to_ne_bytes());
        let offset = head + std::mem::offset_of!(abi::udmabuf_create_item, offset);
        assert_eq!(bytes[offset..offset + 8], 0x1000u64.to_ne_bytes());
        let size = head + std::mem::offset_of!(abi::udmabuf_create_item, size);
        assert_eq!(bytes[size..size + 8], 0x2000u64.to_ne_bytes());
    }

    #[test]
    fn requests_have_the_published_numbers() {
        assert_eq!(abi::REQUEST_UDMABUF_CREATE, 0x4018_7542);
        assert_eq!(abi::REQUEST_UDMABUF_CREATE_LIST, 0x4008_7543);
    }
}
