// SPDX-License-Identifier: GPL-2.0

//! The importer's side of dma-buf.
//!
//! Every type undoes in `Drop` what made it, and owns or borrows what has to outlive it, so no
//! order of drops is wrong: a [`Mapping`] keeps its [`Attachment`], and that its [`DmaBuf`] and
//! the device.
//!
//! None of these may be made or dropped with the buffer's reservation lock held.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

use core::{
    mem::ManuallyDrop,
    ptr::{
        self,
        copy_nonoverlapping,
        NonNull, //
    },
};

use kernel::{
    bindings,
    dma::DataDirection,
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_ulong,
        c_void, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
};

use super::{
    bound::BoundDevice,
    errno::eopnotsupp,
    scatterlist::Segments, //
};
use crate::{
    direction::Direction,
    range::Range, //
};

#[allow(improper_ctypes)]
extern "C" {
    fn is_vmalloc_addr(x: *const c_void) -> bool;
    fn vmalloc_to_pfn(addr: *const c_void) -> c_ulong;
    #[link_name = "rust_helper_virt_to_phys"]
    fn virt_to_phys(address: *mut c_void) -> bindings::phys_addr_t;
}

/// What C calls `direction`.
pub(super) fn raw(direction: Direction) -> bindings::dma_data_direction {
    DataDirection::from(direction).into()
}

/// A counted reference to a dma-buf.
///
/// # Invariants
///
/// The pointer is valid, and the value owns one reference to it.
pub(crate) struct DmaBuf(NonNull<bindings::dma_buf>);

// SAFETY: A dma-buf belongs to no thread.
unsafe impl Send for DmaBuf {}
// SAFETY: The dma-buf core and the exporter lock what they share.
unsafe impl Sync for DmaBuf {}

impl DmaBuf {
    /// The dma-buf behind a file descriptor of the calling process.
    ///
    /// Fails with [`EBADF`] if `fd` is not open, with [`EINVAL`] if it is something else.
    pub(crate) fn get(fd: i32) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let buffer = from_err_ptr(unsafe { bindings::dma_buf_get(fd) })?;
        // INVARIANT: `dma_buf_get` returns a reference of our own.
        Ok(Self(NonNull::new(buffer).ok_or(EINVAL)?))
    }

    /// Size in bytes; it never changes.
    pub(crate) fn size(&self) -> usize {
        // SAFETY: By the type invariant the pointer is valid.
        unsafe { (*self.0.as_ptr()).size }
    }

    /// Begins an access by the CPU.
    pub(crate) fn begin_cpu_access(&self, direction: Direction) -> Result<CpuAccess<'_>> {
        // SAFETY: By the type invariant the pointer is valid.
        let begun = unsafe { bindings::dma_buf_begin_cpu_access(self.0.as_ptr(), raw(direction)) };
        to_result(begun)?;
        Ok(CpuAccess {
            buffer: self,
            direction,
        })
    }

    /// Maps the whole buffer into the kernel.
    ///
    /// Fails with `EOPNOTSUPP` if it is not memory but some device's registers.
    pub(crate) fn vmap(&self) -> Result<Vmap<'_>> {
        let mut map = bindings::iosys_map::default();
        // SAFETY: By the type invariant the pointer is valid; `map` is valid for writing.
        to_result(unsafe { bindings::dma_buf_vmap_unlocked(self.0.as_ptr(), &mut map) })?;
        // INVARIANT: The mapping was just made.
        let vmap = Vmap { buffer: self, map };
        if vmap.map.is_iomem {
            return Err(eopnotsupp());
        }
        Ok(vmap)
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and it is not used again.
        unsafe { bindings::dma_buf_put(self.0.as_ptr()) };
    }
}

/// What an importer can do with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Importer {
    /// A buffer that stays where it is.
    Static,
    /// One that moves, too.
    Dynamic,
}

/// What makes an importer dynamic. No buffer moves here, so there is nothing to do when one has.
static DYNAMIC: bindings::dma_buf_attach_ops = pin_init::zeroed();

/// An attachment: a device that may map a dma-buf.
///
/// # Invariants
///
/// The pointer is the result of attaching `_device` to `buffer`.
pub(crate) struct Attachment {
    attachment: NonNull<bindings::dma_buf_attachment>,
    // Released by `Drop::drop`, unless it was forgotten.
    buffer: ManuallyDrop<DmaBuf>,
    forgotten: Atomic<bool>,
    // Released after `Drop::drop` has detached it.
    _device: BoundDevice,
}

// SAFETY: An attachment belongs to no thread.
unsafe impl Send for Attachment {}
// SAFETY: The dma-buf core serialises mapping and unmapping by the reservation lock.
unsafe impl Sync for Attachment {}

impl Attachment {
    /// Tells the exporter of `buffer` that `device` is going to access it.
    pub(crate) fn new(buffer: DmaBuf, device: BoundDevice, importer: Importer) -> Result<Self> {
        let operations: *const bindings::dma_buf_attach_ops = match importer {
            Importer::Static => ptr::null(),
            Importer::Dynamic => &DYNAMIC,
        };
        // SAFETY: Both pointers are valid, and stay so while the attachment exists; the operations
        // are static, and their argument is not used.
        let attachment = from_err_ptr(unsafe {
            bindings::dma_buf_dynamic_attach(
                buffer.0.as_ptr(),
                device.as_raw(),
                operations,
                ptr::null_mut(),
            )
        })?;
        // INVARIANT: Just attached.
        Ok(Self {
            attachment: NonNull::new(attachment).ok_or(ENOMEM)?,
            buffer: ManuallyDrop::new(buffer),
            forgotten: Atomic::new(false),
            _device: device,
        })
    }

    /// Gives the reference to the buffer back, although the attachment goes on: a fault of a driver,
    /// which nothing but the exporter's own reference makes up for.
    pub(crate) fn forget_buffer(&self) {
        if !self.forgotten.xchg(true, Full) {
            // SAFETY: The reference was ours, and it is given back once. This is only for callers who
            // want to see what an exporter makes of it.
            unsafe { bindings::dma_buf_put(self.buffer.0.as_ptr()) };
        }
    }

    /// The C side of the attachment, valid while `self` exists.
    pub(super) fn as_raw(&self) -> *mut bindings::dma_buf_attachment {
        self.attachment.as_ptr()
    }

    /// The buffer that the device is attached to.
    pub(crate) fn buffer(&self) -> &DmaBuf {
        &self.buffer
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is an attachment of this buffer. Every `Mapping`
        // keeps the attachment alive, so nothing is mapped through it any more.
        unsafe {
            bindings::dma_buf_detach(self.buffer.0.as_ptr(), self.as_raw());
        }
        if !self.forgotten.load(Relaxed) {
            // SAFETY: It is not used again.
            unsafe { ManuallyDrop::drop(&mut self.buffer) };
        }
    }
}

/// A buffer mapped for a device: while it exists, the pages belong to the device.
///
/// # Invariants
///
/// `table` is the result of mapping `attachment` in `direction`.
pub(crate) struct Mapping {
    table: NonNull<bindings::sg_table>,
    direction: Direction,
    attachment: Arc<Attachment>,
}

// SAFETY: A mapping belongs to no thread.
unsafe impl Send for Mapping {}
// SAFETY: Through a shared reference the table is only read.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Hands the pages over to the attached device.
    pub(crate) fn new(attachment: Arc<Attachment>, direction: Direction) -> Result<Self> {
        // SAFETY: The pointer is valid, and the reservation lock is not held.
        let table = from_err_ptr(unsafe {
            bindings::dma_buf_map_attachment_unlocked(attachment.as_raw(), raw(direction))
        })?;
        // INVARIANT: Just mapped.
        Ok(Self {
            table: NonNull::new(table).ok_or(ENOMEM)?,
            direction,
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
    pub(crate) fn segments(&self) -> Segments<'_> {
        // SAFETY: By the type invariant the table is mapped, and it stays so while `self` is
        // borrowed.
        unsafe { Segments::new(self.table) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is what was mapped, and in which direction.
        unsafe {
            bindings::dma_buf_unmap_attachment_unlocked(
                self.attachment.as_raw(),
                self.table.as_ptr(),
                raw(self.direction),
            );
        }
    }
}

/// An access by the CPU that has begun.
#[must_use = "dropping it ends the access without reporting an error"]
pub(crate) struct CpuAccess<'a> {
    buffer: &'a DmaBuf,
    direction: Direction,
}

impl CpuAccess<'_> {
    /// Ends the access and says whether the exporter managed to.
    pub(crate) fn end(self) -> Result {
        // The end is reached here, so it must not be reached in `Drop` again.
        ManuallyDrop::new(self).end_once()
    }

    fn end_once(&self) -> Result {
        // SAFETY: The buffer is valid, and an access of this direction has begun.
        to_result(unsafe {
            bindings::dma_buf_end_cpu_access(self.buffer.0.as_ptr(), raw(self.direction))
        })
    }
}

impl Drop for CpuAccess<'_> {
    fn drop(&mut self) {
        // Only a caller that fails for another reason comes here; it reports that one.
        let _ = self.end_once();
    }
}

/// A buffer mapped into the kernel's address space.
///
/// Others write to the same pages at any time, so they are only ever copied, never borrowed.
///
/// # Invariants
///
/// `map` is the result of `dma_buf_vmap_unlocked` on `buffer`.
pub(crate) struct Vmap<'a> {
    buffer: &'a DmaBuf,
    map: bindings::iosys_map,
}

impl Vmap<'_> {
    /// The address of `range`, which must have the length of what is copied.
    fn address(&self, range: Range, length: usize) -> Result<*mut u8> {
        // Checks that the range is one of this buffer.
        Range::new(
            range.offset(),
            range.length(),
            self.buffer.size().try_into()?,
        )?;
        if range.length() != length.try_into()? {
            return Err(EINVAL);
        }
        // SAFETY: `vmap` lets no register window through, so this is the valid field.
        let start = unsafe { self.map.__bindgen_anon_1.vaddr };
        Ok(start.cast::<u8>().wrapping_add(range.offset().try_into()?))
    }

    /// Copies `range` of the buffer to `bytes`.
    pub(crate) fn read(&self, range: Range, bytes: &mut [u8]) -> Result {
        let address = self.address(range, bytes.len())?;
        // SAFETY: `address` lies in the mapping with all of `bytes.len()`, and `bytes` is memory
        // of the kernel's own.
        unsafe { copy_nonoverlapping(address, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// The page frame of a page of the buffer.
    pub(crate) fn frame(&self, page: Range) -> Result<u64> {
        let address = self.address(page, PAGE_SIZE)?.cast::<c_void>();
        // SAFETY: Any address may be asked for.
        if unsafe { is_vmalloc_addr(address) } {
            // SAFETY: `address` lies in a mapping of the kernel's, by the type invariant.
            return Ok(unsafe { vmalloc_to_pfn(address) }.try_into()?);
        }
        // SAFETY: What is mapped elsewhere is in the linear map, where one contiguous run of memory
        // need not be mapped once more.
        Ok(unsafe { virt_to_phys(address) } >> PAGE_SHIFT)
    }

    /// Copies `bytes` to `range` of the buffer.
    pub(crate) fn write(&self, range: Range, bytes: &[u8]) -> Result {
        let address = self.address(range, bytes.len())?;
        // SAFETY: As in `read`.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), address, bytes.len()) };
        Ok(())
    }
}

impl Drop for Vmap<'_> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is a mapping of this buffer.
        unsafe { bindings::dma_buf_vunmap_unlocked(self.buffer.0.as_ptr(), &mut self.map) };
    }
}
