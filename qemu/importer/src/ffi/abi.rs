// SPDX-License-Identifier: GPL-2.0

//! The user ABI: `uapi/edu_importer.h`, where every field is described.
//!
//! The KUnit suite below compares numbers and layouts with what the C compiler makes of that
//! header.

use kernel::{
    ioctl::{
        _IOW,
        _IOWR, //
    },
    transmute::{
        AsBytes,
        FromBytes, //
    },
};

/// Size of the memory inside one edu device, in bytes.
pub(crate) const EDU_MEMORY_SIZE: usize = 4096;

/// The most words of one `EDU_NOTE`.
pub(crate) const EDU_NOTE_LONGEST: usize = 65;

/// The importer can do with a buffer that moves.
pub(crate) const EDU_DYNAMIC: u32 = 1;

/// The device is going to access a buffer, or has done so.
pub(crate) const EDU_ACCESS_BEGIN: u32 = 0;
pub(crate) const EDU_ACCESS_END: u32 = 1;

/// `struct edu_query`
#[repr(C)]
pub(crate) struct Query {
    pub(crate) device: u32,
    pub(crate) dma_bits: u32,
    pub(crate) name: [u8; 32],
}

/// `struct edu_mask`
#[repr(C)]
pub(crate) struct Mask {
    pub(crate) device: u32,
    pub(crate) dma_bits: u32,
}

/// `struct edu_memory`
#[repr(C)]
pub(crate) struct Memory {
    pub(crate) device: u32,
    pub(crate) offset: u32,
    pub(crate) length: u32,
    pub(crate) reserved: u32,
    pub(crate) data: u64,
}

/// `struct edu_attach`
#[repr(C)]
pub(crate) struct Attach {
    pub(crate) fd: i32,
    pub(crate) device: u32,
    pub(crate) attachment: u32,
    pub(crate) flags: u32,
}

/// `struct edu_map`
#[repr(C)]
pub(crate) struct Map {
    pub(crate) attachment: u32,
    pub(crate) direction: u32,
    pub(crate) mapping: u32,
    pub(crate) segments: u32,
}

/// `struct edu_dma`
#[repr(C)]
pub(crate) struct Dma {
    pub(crate) mapping: u32,
    pub(crate) direction: u32,
    pub(crate) offset: u64,
    pub(crate) device_offset: u32,
    pub(crate) length: u32,
}

/// `struct edu_access`
#[repr(C)]
pub(crate) struct Access {
    pub(crate) mapping: u32,
    pub(crate) direction: u32,
    pub(crate) side: u32,
    pub(crate) reserved: u32,
}

/// `struct edu_vmap`
#[repr(C)]
pub(crate) struct Vmap {
    pub(crate) fd: i32,
    pub(crate) direction: u32,
    pub(crate) offset: u64,
    pub(crate) length: u32,
    pub(crate) reserved: u32,
    pub(crate) data: u64,
}

/// `struct edu_frames`
#[repr(C)]
pub(crate) struct Frames {
    pub(crate) fd: i32,
    pub(crate) count: u32,
    pub(crate) first: u64,
    pub(crate) frames: u64,
}

/// `struct edu_note`
#[repr(C)]
pub(crate) struct Note {
    pub(crate) device: u32,
    pub(crate) count: u32,
    pub(crate) words: u64,
}

/// Lets a structure of the ABI be copied from and to user space.
macro_rules! plain {
    ($($name:ident),*) => {$(
        // SAFETY: Only integers and arrays of integers, for which every bit pattern is valid.
        unsafe impl FromBytes for $name {}
        // SAFETY: The fields fill the structure; the layout check below sees to it.
        unsafe impl AsBytes for $name {}
    )*};
}

plain!(Query, Mask, Memory, Attach, Map, Dma, Access, Vmap, Frames, Note);

const EDU: u32 = b'e' as u32;

pub(crate) const EDU_QUERY: u32 = _IOWR::<Query>(EDU, 0x00);
pub(crate) const EDU_SET_MASK: u32 = _IOW::<Mask>(EDU, 0x01);
pub(crate) const EDU_LOAD: u32 = _IOW::<Memory>(EDU, 0x02);
pub(crate) const EDU_STORE: u32 = _IOW::<Memory>(EDU, 0x03);
pub(crate) const EDU_NOTE: u32 = _IOW::<Note>(EDU, 0x05);
pub(crate) const EDU_ATTACH: u32 = _IOWR::<Attach>(EDU, 0x10);
pub(crate) const EDU_DETACH: u32 = _IOW::<u32>(EDU, 0x11);
pub(crate) const EDU_MAP: u32 = _IOWR::<Map>(EDU, 0x12);
pub(crate) const EDU_UNMAP: u32 = _IOW::<u32>(EDU, 0x13);
pub(crate) const EDU_DMA: u32 = _IOW::<Dma>(EDU, 0x14);
pub(crate) const EDU_MAP_VECS: u32 = _IOWR::<Map>(EDU, 0x15);
pub(crate) const EDU_ACCESS: u32 = _IOW::<Access>(EDU, 0x16);
pub(crate) const EDU_DECLARE_ATOMICS: u32 = _IOW::<u32>(EDU, 0x17);
pub(crate) const EDU_FORGET: u32 = _IOW::<u32>(EDU, 0x18);
pub(crate) const EDU_VMAP: u32 = _IOW::<Vmap>(EDU, 0x20);
pub(crate) const EDU_FRAMES: u32 = _IOW::<Frames>(EDU, 0x21);

#[kernel::macros::kunit_tests(edu_importer_abi)]
mod tests {
    use super::*;
    use core::mem::{
        offset_of,
        size_of, //
    };

    extern "C" {
        static edu_importer_abi: [usize; 50];
    }

    #[test]
    fn numbers_and_layouts_are_the_headers() {
        let rust: [usize; 50] = [
            EDU_MEMORY_SIZE,
            EDU_NOTE_LONGEST,
            EDU_DYNAMIC as usize,
            EDU_ACCESS_BEGIN as usize,
            EDU_ACCESS_END as usize,
            EDU_QUERY as usize,
            EDU_SET_MASK as usize,
            EDU_LOAD as usize,
            EDU_STORE as usize,
            EDU_NOTE as usize,
            EDU_ATTACH as usize,
            EDU_DETACH as usize,
            EDU_MAP as usize,
            EDU_UNMAP as usize,
            EDU_DMA as usize,
            EDU_MAP_VECS as usize,
            EDU_ACCESS as usize,
            EDU_DECLARE_ATOMICS as usize,
            EDU_FORGET as usize,
            EDU_VMAP as usize,
            EDU_FRAMES as usize,
            offset_of!(Query, dma_bits),
            offset_of!(Query, name),
            offset_of!(Mask, dma_bits),
            offset_of!(Memory, offset),
            offset_of!(Memory, length),
            offset_of!(Memory, reserved),
            offset_of!(Memory, data),
            offset_of!(Attach, device),
            offset_of!(Attach, attachment),
            offset_of!(Attach, flags),
            offset_of!(Map, direction),
            offset_of!(Map, mapping),
            offset_of!(Map, segments),
            offset_of!(Dma, direction),
            offset_of!(Dma, offset),
            offset_of!(Dma, device_offset),
            offset_of!(Dma, length),
            offset_of!(Access, direction),
            offset_of!(Access, side),
            offset_of!(Access, reserved),
            offset_of!(Vmap, direction),
            offset_of!(Vmap, offset),
            offset_of!(Vmap, length),
            offset_of!(Vmap, data),
            offset_of!(Frames, count),
            offset_of!(Frames, first),
            offset_of!(Frames, frames),
            offset_of!(Note, count),
            offset_of!(Note, words),
        ];
        // SAFETY: `abi_check.c` defines the table with this type, and nobody writes to it.
        assert_eq!(rust, unsafe { edu_importer_abi });
    }

    #[test]
    fn fields_fill_the_structures() {
        assert_eq!(size_of::<Query>(), 4 + 4 + 32);
        assert_eq!(size_of::<Mask>(), 4 + 4);
        assert_eq!(size_of::<Memory>(), 4 + 4 + 4 + 4 + 8);
        assert_eq!(size_of::<Attach>(), 4 + 4 + 4 + 4);
        assert_eq!(size_of::<Map>(), 4 + 4 + 4 + 4);
        assert_eq!(size_of::<Dma>(), 4 + 4 + 8 + 4 + 4);
        assert_eq!(size_of::<Access>(), 4 + 4 + 4 + 4);
        assert_eq!(size_of::<Vmap>(), 4 + 4 + 8 + 4 + 4 + 8);
        assert_eq!(size_of::<Frames>(), 4 + 4 + 8 + 8);
        assert_eq!(size_of::<Note>(), 4 + 4 + 8);
    }
}
