// SPDX-License-Identifier: GPL-2.0

//! What udmabuf-rs offers to importers beside dma-buf's own calls.
//!
//! The functions are looked up for each call, for this module has to run beside drivers that have
//! none of them, and must not keep the one that has them from being unloaded. All fail with
//! `EOPNOTSUPP` where there are none. The driver answers for attachments to buffers of its own only.
//!
//! C header: `include/linux/udmabuf-importer.h`

use core::{
    ffi::CStr,
    ptr::NonNull,
    slice, //
};

use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::c_int,
    prelude::*,
    sync::Arc, //
};

use super::{
    dma_buf::{
        raw,
        Attachment, //
    },
    symbol::Symbol, //
};
use crate::{
    direction::Direction,
    range::Segment, //
};

/// `struct dma_vec` of `include/linux/dmaengine.h`.
#[repr(C)]
struct DmaVec {
    addr: bindings::dma_addr_t,
    len: usize,
}

/// `struct udmabuf_vecs`
#[repr(C)]
struct UdmabufVecs {
    count: usize,
    vec: *const DmaVec,
}

type Access =
    unsafe extern "C" fn(*mut bindings::dma_buf_attachment, bindings::dma_data_direction) -> c_int;
type Declare = unsafe extern "C" fn(*mut bindings::dma_buf_attachment) -> c_int;
type Map = unsafe extern "C" fn(
    *mut bindings::dma_buf_attachment,
    bindings::dma_data_direction,
) -> *mut UdmabufVecs;
type Unmap = unsafe extern "C" fn(
    *mut bindings::dma_buf_attachment,
    *mut UdmabufVecs,
    bindings::dma_data_direction,
);

/// Which side of an access by the device.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The device is going to start.
    Begin,
    /// It has finished.
    End,
}

/// The device behind `attachment`, which is mapped, is going to access the buffer, or has done so.
pub(crate) fn device_access(attachment: &Attachment, direction: Direction, side: Side) -> Result {
    let name: &CStr = match side {
        Side::Begin => c"udmabuf_begin_device_access",
        Side::End => c"udmabuf_end_device_access",
    };
    // SAFETY: Both have this type in the header.
    let symbol = unsafe { Symbol::<Access>::get(name) }?;
    // SAFETY: The attachment is valid, and any may be asked for.
    to_result(unsafe { symbol.function()(attachment.as_raw(), raw(direction)) })
}

/// The device behind `attachment` takes part in the CPU's atomic operations.
pub(crate) fn declare_atomics(attachment: &Attachment) -> Result {
    // SAFETY: It has this type in the header.
    let symbol = unsafe { Symbol::<Declare>::get(c"udmabuf_declare_atomics") }?;
    // SAFETY: The attachment is valid, and any may be asked for.
    to_result(unsafe { symbol.function()(attachment.as_raw()) })
}

/// A buffer mapped for a device, which learns by an array where it is.
///
/// # Invariants
///
/// `vecs` is the result of mapping `attachment` in `direction`, and `unmap` undoes that.
pub(crate) struct VecMapping {
    vecs: NonNull<UdmabufVecs>,
    direction: Direction,
    /// Found before it is needed, since unmapping cannot fail. The buffer keeps the driver loaded
    /// as well, for as long.
    unmap: Symbol<Unmap>,
    attachment: Arc<Attachment>,
}

// SAFETY: A mapping belongs to no thread.
unsafe impl Send for VecMapping {}
// SAFETY: Through a shared reference the array is only read.
unsafe impl Sync for VecMapping {}

impl VecMapping {
    /// Hands the pages over to the attached device.
    pub(crate) fn new(attachment: Arc<Attachment>, direction: Direction) -> Result<Self> {
        // SAFETY: It has this type in the header.
        let map = unsafe { Symbol::<Map>::get(c"udmabuf_map_vecs_unlocked") }?;
        // SAFETY: As above.
        let unmap = unsafe { Symbol::<Unmap>::get(c"udmabuf_unmap_vecs_unlocked") }?;
        // SAFETY: The attachment is valid, and the reservation lock is not held.
        let vecs = from_err_ptr(unsafe { map.function()(attachment.as_raw(), raw(direction)) })?;
        // INVARIANT: Just mapped.
        Ok(Self {
            vecs: NonNull::new(vecs).ok_or(ENOMEM)?,
            direction,
            unmap,
            attachment,
        })
    }

    /// What the device may do.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    /// The attachment that is mapped.
    pub(crate) fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// Where the device finds the buffer, from the first byte to the last.
    pub(crate) fn segments(&self) -> Vecs<'_> {
        // SAFETY: By the type invariant the array's head is valid until it is unmapped.
        let vecs = unsafe { self.vecs.as_ref() };
        let array = match vecs.count {
            0 => &[],
            // SAFETY: There are so many, which nobody changes until they are unmapped.
            count => unsafe { slice::from_raw_parts(vecs.vec, count) },
        };
        Vecs(array.iter())
    }
}

impl Drop for VecMapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is what was mapped, and in which direction.
        unsafe {
            self.unmap.function()(
                self.attachment.as_raw(),
                self.vecs.as_ptr(),
                raw(self.direction),
            );
        }
    }
}

/// Iterator over the pieces of such a mapping.
#[derive(Clone)]
pub(crate) struct Vecs<'a>(slice::Iter<'a, DmaVec>);

impl Iterator for Vecs<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        let vec = self.0.next()?;
        Some(Segment {
            address: vec.addr,
            // CAST: Widening, on the machines that there are.
            length: vec.len as u64,
        })
    }
}

#[kernel::macros::kunit_tests(edu_importer_udmabuf)]
mod tests {
    use super::*;
    use core::mem::{
        offset_of,
        size_of, //
    };

    extern "C" {
        static edu_importer_vecs_abi: [usize; 5];
    }

    #[test]
    fn layouts_are_the_headers() {
        let rust: [usize; 5] = [
            size_of::<UdmabufVecs>(),
            offset_of!(UdmabufVecs, vec),
            size_of::<DmaVec>(),
            offset_of!(DmaVec, addr),
            offset_of!(DmaVec, len),
        ];
        // SAFETY: `abi_check.c` defines the table with this type, and nobody writes to it.
        assert_eq!(rust, unsafe { edu_importer_vecs_abi });
    }

    #[test]
    fn what_nobody_exports_is_not_supported() {
        // SAFETY: Nobody exports it, with any type.
        let symbol = unsafe { Symbol::<Declare>::get(c"edu_importer_of_nobody") };
        assert!(symbol.is_err());
    }
}
