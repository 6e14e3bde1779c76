// SPDX-License-Identifier: GPL-2.0

//! The numbers and structures of `uapi/linux/udmabuf.h`.
//!
//! `ffi::uaccess` proves at build time that they are those of the header.

use kernel::{
    ioctl::{
        _IOC_NR,
        _IOW,
        _IOWR, //
    },
    prelude::*,
};

/// The new descriptor is closed on exec (`UDMABUF_FLAGS_CLOEXEC`). [`CREATE`] and [`CREATE_LIST`]
/// ignore all other bits, [`CREATE_EXT`] refuses those that it does not know.
pub(crate) const FLAGS_CLOEXEC: u32 = 0x01;

/// What programs do wrong with the buffer is told (`UDMABUF_FLAGS_CHECK`).
pub(crate) const FLAGS_CHECK: u32 = 0x02;
/// And a wrong touch gets `SIGBUS` (`UDMABUF_FLAGS_CHECK_STRICT`).
pub(crate) const FLAGS_CHECK_STRICT: u32 = 0x04;
/// The buffer hands itself over (`UDMABUF_FLAGS_AUTO_SYNC`).
pub(crate) const FLAGS_AUTO_SYNC: u32 = 0x08;

/// The flags of [`CREATE_EXT`].
pub(crate) const FLAGS_EXT: u32 =
    FLAGS_CLOEXEC | FLAGS_CHECK | FLAGS_CHECK_STRICT | FLAGS_AUTO_SYNC;

/// Makes a buffer of one range; argument [`Create`].
pub(crate) const CREATE: u32 = _IOW::<Create>('u' as u32, 0x42);

/// Makes a buffer of several ranges; argument [`ListHead`] and [`ListHead::count`] [`Item`]s.
pub(crate) const CREATE_LIST: u32 = _IOW::<ListHead>('u' as u32, 0x43);

/// Makes a buffer in a mode; argument [`CreateExt`].
pub(crate) const CREATE_EXT: u32 = _IOW::<CreateExt>('u' as u32, 0x49);

/// Tells of a buffer, or of the driver; argument [`Query`].
pub(crate) const QUERY: u32 = _IOWR::<Query>('u' as u32, 0x48);

/// `DMA_BUF_IOCTL_SYNC` for a part of a buffer; argument [`SyncRange`].
pub(crate) const SYNC_RANGE: u32 = _IOW::<SyncRange>('u' as u32, 0x4a);

/// `UDMABUF_MODE_DMA_API`
pub(crate) const MODE_DMA_API: u32 = 0;
/// `UDMABUF_MODE_CPU_COHERENT`
pub(crate) const MODE_CPU_COHERENT: u32 = 1;
/// `UDMABUF_MODE_ATOMIC_COHERENT`
pub(crate) const MODE_ATOMIC_COHERENT: u32 = 2;
/// `UDMABUF_MODE_MEMORY_COHERENT`, which is not offered.
pub(crate) const MODE_MEMORY_COHERENT: u32 = 3;

/// Begin and end have something to do (`UDMABUF_STATE_SYNCS`).
pub(crate) const STATE_SYNCS: u32 = 1;
/// They may have, when attached devices are mapped (`UDMABUF_STATE_MAY_SYNC`).
pub(crate) const STATE_MAY_SYNC: u32 = 2;

/// It is checked (`UDMABUF_STATE_CHECKED`).
pub(crate) const STATE_CHECKED: u32 = 4;
/// It hands itself over (`UDMABUF_STATE_AUTO_SYNC`).
pub(crate) const STATE_AUTO_SYNC: u32 = 8;

/// `DMA_BUF_SYNC_READ`
pub(crate) const SYNC_READ: u32 = 1;
/// `DMA_BUF_SYNC_WRITE`
pub(crate) const SYNC_WRITE: u32 = 2;
/// `DMA_BUF_SYNC_RW`
pub(crate) const SYNC_RW: u32 = 3;
/// `DMA_BUF_SYNC_END`
pub(crate) const SYNC_END: u32 = 4;

/// The ioctls of the driver, as [`Query::calls`] has them.
pub(crate) const CALLS: u64 =
    bit(CREATE) | bit(CREATE_LIST) | bit(QUERY) | bit(CREATE_EXT) | bit(SYNC_RANGE);

/// What stands for an ioctl: its number behind that of the first one that is reserved.
const fn bit(cmd: u32) -> u64 {
    1 << (_IOC_NR(cmd) - 0x40)
}

/// Argument of [`CREATE`] (`struct udmabuf_create`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Create {
    pub(crate) memfd: u32,
    pub(crate) flags: u32,
    /// In bytes, in the memfd.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) size: u64,
}

/// One range of one memfd (`struct udmabuf_create_item`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Item {
    pub(crate) memfd: u32,
    pub(crate) pad: u32,
    /// In bytes, in the memfd.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) size: u64,
}

/// What precedes the items of a [`CREATE_LIST`] (`struct udmabuf_create_list`).
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct ListHead {
    pub(crate) flags: u32,
    pub(crate) count: u32,
}

/// Argument of [`CREATE_EXT`] (`struct udmabuf_create_ext`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct CreateExt {
    pub(crate) flags: u32,
    pub(crate) mode: u32,
    /// Number of items.
    pub(crate) count: u32,
    pub(crate) reserved: u32,
    /// Address of the first [`Item`] in the program.
    pub(crate) items: u64,
}

/// Argument and result of [`QUERY`] (`struct udmabuf_query`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Query {
    /// A dma-buf, or -1.
    pub(crate) fd: i32,
    pub(crate) flags: u32,
    pub(crate) version: u32,
    pub(crate) modes: u32,
    pub(crate) calls: u64,
    /// In bytes.
    pub(crate) size: u64,
    pub(crate) extents: u64,
    /// In bytes.
    pub(crate) largest: u64,
    pub(crate) mode: u32,
    pub(crate) state: u32,
    pub(crate) coherent: u32,
    pub(crate) cache: u32,
    pub(crate) shadow: u32,
    pub(crate) own_operations: u32,
    pub(crate) generation: u64,
    pub(crate) start_bytes: u64,
    pub(crate) end_bytes: u64,
}

/// Argument of [`SYNC_RANGE`] (`struct udmabuf_sync_range`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct SyncRange {
    pub(crate) fd: i32,
    pub(crate) flags: u32,
    /// In bytes.
    pub(crate) offset: u64,
    /// In bytes.
    pub(crate) length: u64,
}

impl From<Create> for Item {
    fn from(create: Create) -> Self {
        Self {
            memfd: create.memfd,
            pad: 0,
            offset: create.offset,
            size: create.size,
        }
    }
}

#[kunit_tests(udmabuf_abi)]
mod tests {
    use super::*;
    use core::mem::{
        offset_of,
        size_of, //
    };

    #[test]
    fn ioctl_numbers() {
        assert_eq!(CREATE, 0x4018_7542);
        assert_eq!(CREATE_LIST, 0x4008_7543);
        assert_eq!(QUERY, 0xc060_7548);
        assert_eq!(CREATE_EXT, 0x4018_7549);
        assert_eq!(SYNC_RANGE, 0x4018_754a);
        assert_eq!(CALLS, 0x70c);
    }

    #[test]
    fn layout_of_create() {
        assert_eq!(size_of::<Create>(), 24);
        assert_eq!(offset_of!(Create, flags), 4);
        assert_eq!(offset_of!(Create, offset), 8);
        assert_eq!(offset_of!(Create, size), 16);
    }

    #[test]
    fn layout_of_list() {
        assert_eq!(size_of::<ListHead>(), 8);
        assert_eq!(size_of::<Item>(), 24);
        assert_eq!(offset_of!(Item, offset), 8);
        assert_eq!(offset_of!(Item, size), 16);
    }

    #[test]
    fn create_is_a_list_of_one() {
        let item = Item::from(Create {
            memfd: 3,
            flags: FLAGS_CLOEXEC,
            offset: 4096,
            size: 8192,
        });
        assert_eq!((item.memfd, item.pad), (3, 0));
        assert_eq!((item.offset, item.size), (4096, 8192));
    }
}
