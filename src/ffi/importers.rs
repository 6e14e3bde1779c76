// SPDX-License-Identifier: GPL-2.0

//! What importers in the kernel can ask for besides dma-buf's own calls.
//!
//! C header: `include/linux/udmabuf-importer.h`; `exports.c` makes the symbols known.

use super::{
    compat::eopnotsupp,
    device::Device,
    dma_buf::Buffer,
    dma_buf_ops::{
        errno,
        Exported,
        Exporter,
        Operations, //
    },
};
use crate::direction::Direction;
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        flags::__GFP_NOWARN,
        Flags, //
    },
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::SetOnce, //
};

/// An exporter whose buffers are for devices that keep their mappings.
pub(crate) trait KeptMappings: Exporter {
    /// A device that keeps its mapping is about to access the buffer.
    fn begin_device_access(&self, buffer: Buffer<'_, Self::Memory>, device: &Device) -> Result;

    /// It has accessed the buffer.
    fn end_device_access(
        &self,
        buffer: Buffer<'_, Self::Memory>,
        device: &Device,
        direction: Direction,
    ) -> Result;

    /// An attached device takes part in the CPU's atomic operations.
    fn declare_atomics(&self, device: &Device) -> Result;
}

type Attachment = *mut bindings::dma_buf_attachment;

/// What is done for an attachment, whoever has exported the buffer.
struct Calls {
    begin: unsafe fn(Attachment, Direction) -> Result,
    end: unsafe fn(Attachment, Direction) -> Result,
    declare_atomics: unsafe fn(Attachment) -> Result,
    /// Whether it is of a buffer of ours.
    check: unsafe fn(Attachment) -> Result,
}

/// A symbol of C has no type parameter, so it asks here who is behind it.
static CALLS: SetOnce<Calls> = SetOnce::new();

/// From now on the calls below are for buffers of `T`.
pub(crate) fn serve<T: KeptMappings>() {
    CALLS.populate(Calls {
        begin: Behind::<T>::begin,
        end: Behind::<T>::end,
        declare_atomics: Behind::<T>::declare_atomics,
        check: Behind::<T>::check,
    });
}

/// The calls for buffers of `T`. All fail with `EINVAL` for another exporter's, and are given an
/// attachment that is valid meanwhile.
struct Behind<T>(PhantomData<T>);

impl<T: KeptMappings> Behind<T> {
    /// # Safety
    ///
    /// `attachment` is valid.
    unsafe fn check(attachment: Attachment) -> Result {
        // SAFETY: Says the caller.
        unsafe { Operations::<T>::imported(attachment) }.map(|_| ())
    }

    /// Buffer and device; `EOPNOTSUPP` for a dynamic importer.
    ///
    /// # Safety
    ///
    /// `attachment` is valid for all of `'a`.
    unsafe fn with_static_importer<'a>(
        attachment: Attachment,
    ) -> Result<(Exported<'a, T>, &'a Device)> {
        // SAFETY: Says the caller.
        let exported = unsafe { Operations::<T>::imported(attachment) }?;
        // SAFETY: As above.
        let device = unsafe { Operations::<T>::device(attachment) }?;
        // SAFETY: As above (`dma_buf_attachment_is_dynamic()`).
        match unsafe { (*attachment).importer_ops }.is_null() {
            true => Ok((exported, device)),
            false => Err(eopnotsupp()),
        }
    }

    /// # Safety
    ///
    /// `attachment` is valid.
    unsafe fn begin(attachment: Attachment, _direction: Direction) -> Result {
        // SAFETY: Says the caller.
        let (exported, device) = unsafe { Self::with_static_importer(attachment) }?;
        // Whatever it will do: a device that only writes leaves bytes as they are.
        exported
            .exporter()
            .begin_device_access(exported.buffer(), device)
    }

    /// # Safety
    ///
    /// `attachment` is valid.
    unsafe fn end(attachment: Attachment, direction: Direction) -> Result {
        // SAFETY: Says the caller.
        let (exported, device) = unsafe { Self::with_static_importer(attachment) }?;
        exported
            .exporter()
            .end_device_access(exported.buffer(), device, direction)
    }

    /// # Safety
    ///
    /// `attachment` is valid.
    unsafe fn declare_atomics(attachment: Attachment) -> Result {
        // SAFETY: Says the caller.
        let exported = unsafe { Operations::<T>::imported(attachment) }?;
        // SAFETY: As above.
        let device = unsafe { Operations::<T>::device(attachment) }?;
        exported.exporter().declare_atomics(device)
    }
}

fn calls() -> Result<&'static Calls> {
    CALLS.as_ref().ok_or(EINVAL)
}

/// The attached device is about to access the buffer, which it has mapped: it will see what the CPU
/// and other devices wrote. `direction` is what it will do.
///
/// Returns 0; `EINVAL` for another driver's buffer, or a direction that is none; `EOPNOTSUPP` for a
/// dynamic importer, which orders its accesses by fences alone; `EINTR` if the process is being killed.
///
/// # Safety
///
/// `attach` is valid; the caller may sleep, and is not in the fence-signalling path.
#[no_mangle]
pub(crate) unsafe extern "C" fn udmabuf_begin_device_access(
    attach: Attachment,
    direction: bindings::dma_data_direction,
) -> c_int {
    errno(Direction::from_raw(direction).and_then(|direction| {
        // SAFETY: As this function's.
        unsafe { (calls()?.begin)(attach, direction) }
    }))
}

/// The attached device has accessed the buffer: others will see what it wrote. Returns as
/// [`udmabuf_begin_device_access`].
///
/// # Safety
///
/// As of [`udmabuf_begin_device_access`].
#[no_mangle]
pub(crate) unsafe extern "C" fn udmabuf_end_device_access(
    attach: Attachment,
    direction: bindings::dma_data_direction,
) -> c_int {
    errno(Direction::from_raw(direction).and_then(|direction| {
        // SAFETY: As this function's.
        unsafe { (calls()?.end)(attach, direction) }
    }))
}

/// The attached device takes part in the CPU's atomic operations, though its bus does not say so: it
/// may be mapped for a buffer in mode `ATOMIC_COHERENT` from now on, until it is detached.
///
/// Returns 0; `EINVAL` for another driver's buffer; `EINTR` if the process is being killed.
///
/// # Safety
///
/// `attach` is valid; the caller may sleep.
#[no_mangle]
pub(crate) unsafe extern "C" fn udmabuf_declare_atomics(attach: Attachment) -> c_int {
    // SAFETY: As this function's.
    errno(calls().and_then(|calls| unsafe { (calls.declare_atomics)(attach) }))
}

/// Where a device finds a piece of a buffer (`struct dma_vec`).
#[repr(C)]
struct Vec {
    address: bindings::dma_addr_t,
    /// In bytes.
    length: usize,
}

/// `struct udmabuf_vecs`, and what it is made of.
#[repr(C)]
pub(crate) struct Vecs {
    count: usize,
    first: *const Vec,
    // The C structure ends here.
    table: NonNull<bindings::sg_table>,
    _all: KVVec<Vec>,
}

impl Vecs {
    /// Whoever maps pays for it, and is told if there is none.
    fn flags() -> Flags {
        GFP_KERNEL_ACCOUNT | __GFP_NOWARN
    }

    /// # Safety
    ///
    /// `table` is mapped for a device.
    unsafe fn new(table: NonNull<bindings::sg_table>) -> Result<KBox<Self>> {
        // SAFETY: The table is valid.
        let (mut entry, count) = unsafe { ((*table.as_ptr()).sgl, (*table.as_ptr()).nents) };
        // CAST: A number of entries in memory.
        let mut all = KVVec::with_capacity(count as usize, Self::flags())?;
        for _ in 0..count {
            // SAFETY: The table has so many entries that are mapped.
            let (address, length) =
                unsafe { (bindings::sg_dma_address(entry), bindings::sg_dma_len(entry)) };
            all.push_within_capacity(Vec {
                address,
                // CAST: 32 bits.
                length: length as usize,
            })?;
            // SAFETY: `entry` is one of the table; what is behind the last is not looked at.
            entry = unsafe { bindings::sg_next(entry) };
        }
        Ok(KBox::new(
            Self {
                count: all.len(),
                first: all.as_ptr(),
                table,
                _all: all,
            },
            Self::flags(),
        )?)
    }
}

/// As `dma_buf_map_attachment_unlocked()`, but returns DMA addresses and lengths, and no table: pages
/// are nobody's business but the exporter's.
///
/// Returns an error pointer: `EINVAL` for another driver's buffer, `ENOMEM`, and those of
/// `dma_buf_map_attachment()`.
///
/// # Safety
///
/// `attach` is valid, and the caller does not hold the reservation lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn udmabuf_map_vecs_unlocked(
    attach: Attachment,
    direction: bindings::dma_data_direction,
) -> *mut Vecs {
    let map = || {
        // SAFETY: The attachment is valid.
        unsafe { (calls()?.check)(attach) }?;
        // SAFETY: As above, and the lock is not held.
        let table =
            from_err_ptr(unsafe { bindings::dma_buf_map_attachment_unlocked(attach, direction) })?;
        let table = NonNull::new(table).ok_or(ENOMEM)?;
        // SAFETY: Just mapped.
        unsafe { Vecs::new(table) }.inspect_err(|_| {
            // SAFETY: Just mapped, and nobody has it.
            unsafe {
                bindings::dma_buf_unmap_attachment_unlocked(attach, table.as_ptr(), direction)
            }
        })
    };
    map().map_or_else(|error| error.to_ptr(), KBox::into_raw)
}

/// The reverse of [`udmabuf_map_vecs_unlocked`].
///
/// # Safety
///
/// `vecs` was returned for the same attachment and direction, and not unmapped since; the caller does
/// not hold the reservation lock.
#[no_mangle]
pub(crate) unsafe extern "C" fn udmabuf_unmap_vecs_unlocked(
    attach: Attachment,
    vecs: *mut Vecs,
    direction: bindings::dma_data_direction,
) {
    // SAFETY: It came from `into_raw()`.
    let vecs = unsafe { KBox::from_raw(vecs) };
    // SAFETY: Mapped so.
    unsafe { bindings::dma_buf_unmap_attachment_unlocked(attach, vecs.table.as_ptr(), direction) };
}
