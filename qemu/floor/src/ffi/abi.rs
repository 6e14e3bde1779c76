// SPDX-License-Identifier: GPL-2.0

//! The user ABI: `uapi/udmabuf_floor.h`, where every field is described.
//!
//! Number and layout are compared with those in `abi_check.c`, by either compiler.

use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    ioctl::_IOWR,
    transmute::{
        AsBytes,
        FromBytes, //
    },
};

/// `struct floor_pin`
#[repr(C)]
pub(crate) struct Pin {
    pub(crate) memfd: u32,
    pub(crate) pad: u32,
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) pin: u64,
    pub(crate) unpin: u64,
    pub(crate) folios: u64,
}

// SAFETY: Only integers, for which every bit pattern is valid.
unsafe impl FromBytes for Pin {}
// SAFETY: The fields fill the structure, see below.
unsafe impl AsBytes for Pin {}

pub(crate) const FLOOR_PIN: u32 = _IOWR::<Pin>(b'f' as u32, 0x00);

const _: () = {
    assert!(FLOOR_PIN == 0xc030_6600);
    assert!(size_of::<Pin>() == 2 * 4 + 5 * 8);
    assert!(offset_of!(Pin, memfd) == 0);
    assert!(offset_of!(Pin, pad) == 4);
    assert!(offset_of!(Pin, offset) == 8);
    assert!(offset_of!(Pin, size) == 16);
    assert!(offset_of!(Pin, pin) == 24);
    assert!(offset_of!(Pin, unpin) == 32);
    assert!(offset_of!(Pin, folios) == 40);
};
