// SPDX-License-Identifier: GPL-2.0

//! The device that turns ranges of memfds into dma-bufs.

use std::ops::Range;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::io::Result;

use crate::Access;
use crate::DmaBuf;
use crate::Mode;
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

    /// The element of a list (`struct udmabuf_create_item`).
    pub fn element(&self) -> abi::udmabuf_create_item {
        abi::udmabuf_create_item {
            memfd: self.memfd,
            offset: self.offset,
            size: self.size,
            ..Default::default()
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
            fd: fs::open(path.as_ref(), flags, fs::Mode::empty())?,
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

    /// Makes one dma-buf of one or several ranges, in a mode; its descriptor is closed on exec.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::create_list`]; EOPNOTSUPP for a mode that is not offered, ENOTTY of a driver
    /// that has no modes.
    pub fn create_in(&self, mode: Mode, items: &[Item]) -> Result<DmaBuf> {
        self.create_ext(mode.number(), items, abi::UDMABUF_FLAGS_CLOEXEC)
    }

    /// As [`Udmabuf::create_in`], with a mode and flags of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::create_in`], and EINVAL for a mode or flags that are not known.
    pub fn create_ext(&self, mode: u32, items: &[Item], flags: u32) -> Result<DmaBuf> {
        let items: Vec<_> = items.iter().map(Item::element).collect();
        let request = abi::udmabuf_create_ext {
            flags,
            mode,
            count: items.len() as u32,
            items: items.as_ptr() as u64,
            ..Default::default()
        };
        self.create_from(&request)
    }

    /// As [`Udmabuf::create_ext`], with all fields of the caller's choice.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::create_ext`], EINVAL for a reserved field that is not 0, and EFAULT for a list
    /// that cannot be read.
    pub fn create_from(&self, request: &abi::udmabuf_create_ext) -> Result<DmaBuf> {
        let address = std::ptr::from_ref(request) as usize;
        sys::ioctl::create(self, abi::REQUEST_UDMABUF_CREATE_EXT, address).map(DmaBuf::from)
    }

    /// What a buffer is, who has it mapped, and what its brackets cost now.
    ///
    /// # Errors
    ///
    /// EINVAL for a dma-buf of another driver, ENOTTY of a driver that cannot be asked.
    pub fn query(&self, buffer: &DmaBuf) -> Result<abi::udmabuf_query> {
        self.query_number(buffer.as_fd().as_raw_fd())
    }

    /// What does not depend on a buffer: version, modes and calls.
    ///
    /// # Errors
    ///
    /// ENOTTY of a driver that cannot be asked.
    pub fn features(&self) -> Result<abi::udmabuf_query> {
        self.query_number(-1)
    }

    /// As [`Udmabuf::query`], for whatever has this number of a descriptor now.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::query`], and EBADF where there is nothing.
    pub fn query_number(&self, fd: i32) -> Result<abi::udmabuf_query> {
        let mut query = abi::udmabuf_query {
            fd,
            ..Default::default()
        };
        sys::ioctl::call(self, &mut query)?;
        Ok(query)
    }

    /// Begins or ends an access to a part of a buffer, once, with any flags of DMA_BUF_IOCTL_SYNC.
    ///
    /// # Errors
    ///
    /// EINVAL for bad flags, for a range that is not within the buffer and for a dma-buf of another
    /// driver; EINTR or EAGAIN when interrupted; ENOTTY of a driver that syncs whole buffers only.
    pub fn sync_range(&self, buffer: &DmaBuf, flags: u32, offset: u64, length: u64) -> Result<()> {
        sys::ioctl::call(
            self,
            &mut abi::udmabuf_sync_range {
                fd: buffer.as_fd().as_raw_fd(),
                flags,
                offset,
                length,
            },
        )
        .map(drop)
    }

    /// Begins an access to a part of a buffer. Interrupted calls are repeated.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::sync_range`].
    pub fn start_range(&self, buffer: &DmaBuf, access: Access, part: Range<usize>) -> Result<()> {
        self.sync_part(buffer, abi::SYNC_START, access, part)
    }

    /// Ends an access to a part of a buffer. Interrupted calls are repeated.
    ///
    /// # Errors
    ///
    /// As [`Udmabuf::sync_range`].
    pub fn finish_range(&self, buffer: &DmaBuf, access: Access, part: Range<usize>) -> Result<()> {
        self.sync_part(buffer, abi::SYNC_END, access, part)
    }

    fn sync_part(
        &self,
        buffer: &DmaBuf,
        what: u32,
        access: Access,
        part: Range<usize>,
    ) -> Result<()> {
        let (offset, length) = (part.start as u64, part.len() as u64);
        // CAST: The flags have three bits.
        let flags = what | access.sync_flags() as u32;
        loop {
            match self.sync_range(buffer, flags, offset, length) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                result => return result,
            }
        }
    }
}

/// The number of the same request for a structure of another size, as it is in programs that were
/// compiled with another version of the header.
pub fn resized(request: u32, size: usize) -> u32 {
    request & !(SIZES << SIZE_SHIFT) | (size as u32 & SIZES) << SIZE_SHIFT
}

/// The size of what a request takes (`_IOC_SIZE`).
pub fn size(request: u32) -> usize {
    (request >> SIZE_SHIFT & SIZES) as usize
}

/// Where a request's number has the size (`_IOC_SIZESHIFT`), and the largest one.
const SIZE_SHIFT: u32 = 16;
const SIZES: u32 = 0x3fff;

/// The largest structure that a request's number can stand for, in bytes.
pub const LARGEST: usize = SIZES as usize;

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
        assert_eq!(abi::REQUEST_UDMABUF_QUERY, 0xc060_7548);
        assert_eq!(abi::REQUEST_UDMABUF_CREATE_EXT, 0x4018_7549);
        assert_eq!(abi::REQUEST_UDMABUF_SYNC_RANGE, 0x4018_754a);
    }

    #[test]
    fn size_is_a_part_of_the_number() {
        let request = abi::REQUEST_UDMABUF_SYNC_RANGE;
        assert_eq!(resized(request, 24), request);
        assert_eq!(resized(request, 32), 0x4020_754a);
        assert_eq!(resized(request, LARGEST), 0x7fff_754a);
        assert_eq!([size(request), size(!0)], [24, LARGEST]);
    }
}
