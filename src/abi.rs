// SPDX-License-Identifier: GPL-2.0

//! The numbers and structures of `uapi/linux/udmabuf.h`.
//!
//! `ffi::uapi` proves at build time that they are those of the header.

use kernel::{
    ioctl::_IOW,
    prelude::*, //
};

/// The new descriptor is closed on exec (`UDMABUF_FLAGS_CLOEXEC`). Other bits are ignored.
pub(crate) const FLAGS_CLOEXEC: u32 = 0x01;

/// Makes a buffer of one range; argument [`Create`].
pub(crate) const CREATE: u32 = _IOW::<Create>('u' as u32, 0x42);

/// Makes a buffer of several ranges; argument [`ListHead`] and [`ListHead::count`] [`Item`]s.
pub(crate) const CREATE_LIST: u32 = _IOW::<ListHead>('u' as u32, 0x43);

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
