// SPDX-License-Identifier: GPL-2.0

//! dma-bufs, from the exporter's side.
//!
//! A driver implements [`Exporter`], and makes a buffer by [`DmaBuf::export`]. Core calls back: attach, any
//! number of map and unmap, detach; begin and end at any time; release once.
//!
//! - [`Exported`]: a buffer that is known to be `T`'s, with its exporter.
//! - [`NewMapping`]: a user mapping that is being set up.
//! - [`Operations`]: what core calls, one table for each exporter.
//! - [`Private`]: what `priv` points to; the dma-buf owns it.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

use super::{
    compat::THIS_MODULE,
    device::Device,
    dma_buf::{
        Buffer,
        DmaBuf, //
    },
    dma_resv::Held,
    memory::Boxed, //
};
use crate::{
    direction::Direction,
    span::Span, //
};
use core::{
    convert::Infallible,
    marker::PhantomData,
    mem,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    bindings,
    error::{
        from_result,
        VTABLE_DEFAULT_ERROR, //
    },
    page::PAGE_SHIFT,
    prelude::*,
    types::ForeignOwnable, //
};

/// What an exporter does (`struct dma_buf_ops`).
///
/// Which methods run with the buffer's reservation lock held is said by their [`Held`] argument.
/// The value is dropped when the last reference to the buffer is gone (`release`). Methods with
/// a default may be left out.
#[vtable]
pub(crate) trait Exporter: HasOperations + Send + Sync + Sized + 'static {
    /// The exporter's name, which user space reads (`exp_name`).
    const NAME: &'static CStr;

    /// What a buffer is made of. It outlives the exporter, and every user mapping of the buffer.
    type Memory: Send + Sync + 'static;

    /// What an importer gets.
    type Mapping: Mapped;

    /// A mapping into the kernel; [`Infallible`] where there is none.
    type Vmap<'a>: Vmapped<'a, Self::Memory>;

    /// An importer attaches its device (`attach`).
    fn attach(&self, _buffer: Buffer<'_, Self::Memory>, _device: &Device) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Undoes [`attach`](Self::attach) (`detach`).
    fn detach(&self, _device: &Device) {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Maps the buffer for an importer's device (`map_dma_buf`), which is attached.
    fn map(
        &self,
        buffer: Buffer<'_, Self::Memory>,
        device: &Device,
        direction: Direction,
        held: &Held<'_>,
    ) -> Result<Self::Mapping>;

    /// Takes back what [`map`](Self::map) returned (`unmap_dma_buf`).
    fn unmap(&self, buffer: Buffer<'_, Self::Memory>, mapping: Self::Mapping, held: &Held<'_>);

    /// Whether [`begin_cpu_access`](Self::begin_cpu_access) has anything to do, or may be left out.
    fn needs_begin(&self) -> bool {
        Self::HAS_BEGIN_CPU_ACCESS
    }

    /// Whether [`end_cpu_access`](Self::end_cpu_access) has anything to do, or may be left out.
    fn needs_end(&self) -> bool {
        Self::HAS_END_CPU_ACCESS
    }

    /// The CPU is about to access `span` of the buffer (`begin_cpu_access`). Core waits for the
    /// fences only after this.
    fn begin_cpu_access(
        &self,
        _buffer: Buffer<'_, Self::Memory>,
        _direction: Direction,
        _span: Span,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The CPU has accessed `span` of the buffer (`end_cpu_access`).
    fn end_cpu_access(
        &self,
        _buffer: Buffer<'_, Self::Memory>,
        _direction: Direction,
        _span: Span,
    ) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// User space maps the buffer (`mmap`).
    fn mmap(_mapping: NewMapping<'_, Self>) -> Result {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// Maps the buffer into the kernel (`vmap`), until the mapping is dropped (`vunmap`); asked for once
    /// until then.
    fn vmap<'a>(
        &self,
        _buffer: Buffer<'a, Self::Memory>,
        _held: &Held<'_>,
    ) -> Result<Self::Vmap<'a>> {
        build_error!(VTABLE_DEFAULT_ERROR)
    }

    /// The buffer is about to go away.
    fn release(&self, _memory: &Self::Memory) {}
}

/// What an importer gets for its device: a table that is there as long as this is. One task may map, and
/// another unmap.
///
/// # Safety
///
/// The table that [`into_table`](Self::into_table) returns is valid until it comes back.
pub(crate) unsafe trait Mapped: Sized + Send {
    /// The table, with all that it needs.
    fn into_table(self) -> *mut bindings::sg_table;

    /// The reverse of [`into_table`](Self::into_table).
    ///
    /// # Safety
    ///
    /// `table` came from there, and comes here once.
    unsafe fn from_table(table: *mut bindings::sg_table) -> Self;
}

/// A mapping of memory into the kernel. The address is all that core keeps of it; one task may map, and
/// another unmap.
///
/// # Safety
///
/// What is at the address that [`into_address`](Self::into_address) returns is mapped until that comes back,
/// as long as the memory lives.
pub(crate) unsafe trait Vmapped<'a, M>: Sized + Send {
    /// What is mapped.
    fn memory(&self) -> &'a M;

    /// Where the first byte is.
    fn into_address(self) -> NonNull<c_void>;

    /// The reverse of [`into_address`](Self::into_address).
    ///
    /// # Safety
    ///
    /// `address` came from there, of a mapping of `memory`, and comes here once.
    unsafe fn from_address(address: NonNull<c_void>, memory: &'a M) -> Self;
}

// SAFETY: `Infallible` has no value.
unsafe impl<'a, M> Vmapped<'a, M> for Infallible {
    fn memory(&self) -> &'a M {
        match *self {}
    }

    fn into_address(self) -> NonNull<c_void> {
        match self {}
    }

    unsafe fn from_address(_: NonNull<c_void>, _: &'a M) -> Self {
        unreachable!()
    }
}

/// What a dma-buf's `priv` points to.
#[pin_data]
pub(super) struct Private<T: Exporter> {
    #[pin]
    pub(super) exporter: T,
    // Outlives the exporter, and every user mapping of the buffer.
    pub(super) memory: T::Memory,
}

/// A user mapping of a buffer of `T`'s that is being set up.
///
/// # Invariants
///
/// `vma` is valid, and nobody else reads or changes it; it is of the file of the buffer that `private` is
/// of, which lives as long as that file does.
pub(crate) struct NewMapping<'a, T: Exporter> {
    pub(super) vma: *mut bindings::vm_area_struct,
    pub(super) private: &'a Private<T>,
}

impl DmaBuf {
    /// Makes a dma-buf of `memory`, which has `pages` pages. It holds a reference to the module as long
    /// as it lives.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENFILE`, or `ENOENT` if the module is being unloaded.
    pub(crate) fn export<T: Exporter>(
        memory: T::Memory,
        pages: usize,
        exporter: impl PinInit<T>,
    ) -> Result<Self> {
        let private = Boxed::pin_init(
            pin_init!(Private {
                exporter <- exporter,
                memory,
            }),
            GFP_KERNEL_ACCOUNT,
        )?
        .into_foreign();
        let info = bindings::dma_buf_export_info {
            exp_name: T::NAME.as_char_ptr(),
            owner: THIS_MODULE,
            ops: T::operations().as_raw(),
            size: pages << PAGE_SHIFT,
            flags: bindings::O_RDWR as c_int,
            resv: ptr::null_mut(),
            priv_: private.cast(),
        };
        // SAFETY: All fields are set; name and operations are static.
        let buf = unsafe { bindings::dma_buf_export(&info) };
        // SAFETY: The first reference is ours.
        unsafe { Self::from_raw(buf) }.inspect_err(|_| {
            // SAFETY: It came from `into_foreign()`, and nobody has it: the export failed.
            drop(unsafe { Pin::<Boxed<Private<T>>>::from_foreign(private) });
        })
    }

    /// What the exporter knows of the buffer, if it is one of `T`'s.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is another driver's, of which nothing more is looked at.
    pub(crate) fn exported_by<T: Exporter>(&self) -> Result<Exported<'_, T>> {
        // SAFETY: The reference is owned, by the type invariant.
        unsafe { Exported::of(self.as_raw()) }
    }
}

/// A buffer that `T` has exported.
pub(crate) struct Exported<'a, T: Exporter> {
    buffer: Buffer<'a, T::Memory>,
    exporter: &'a T,
}

impl<'a, T: Exporter> Exported<'a, T> {
    /// # Errors
    ///
    /// `EINVAL` if it is another exporter's.
    ///
    /// # Safety
    ///
    /// `buf` is live for all of `'a`.
    pub(super) unsafe fn of(buf: *mut bindings::dma_buf) -> Result<Self> {
        // SAFETY: The buffer is live, and its operations do not change.
        if !ptr::eq(unsafe { (*buf).ops }, T::operations().as_raw()) {
            return Err(EINVAL);
        }
        // SAFETY: The buffer is live, and `T` alone has these operations.
        Ok(unsafe { Operations::<T>::exported(buf) })
    }

    pub(crate) fn exporter(&self) -> &'a T {
        self.exporter
    }

    pub(crate) fn buffer(&self) -> Buffer<'a, T::Memory> {
        self.buffer
    }

    /// As `dma_buf_begin_cpu_access()`, for a part.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal arrives first, and the exporter's.
    pub(crate) fn begin_cpu_access(&self, access: Direction, span: Span) -> Result {
        let exporter = self.exporter();
        if exporter.needs_begin() {
            exporter.begin_cpu_access(self.buffer, access, span)?;
        }
        self.buffer.fences().wait(access)
    }

    /// As `dma_buf_end_cpu_access()`, for a part.
    ///
    /// # Errors
    ///
    /// The exporter's.
    pub(crate) fn end_cpu_access(&self, access: Direction, span: Span) -> Result {
        let exporter = self.exporter();
        match exporter.needs_end() {
            true => exporter.end_cpu_access(self.buffer, access, span),
            false => Ok(()),
        }
    }
}

/// What a callback, or an exported function, returns.
pub(super) fn errno(result: Result) -> c_int {
    result.map_or_else(|error| error.to_errno(), |()| 0)
}

/// `callback`, if the exporter has that method.
const fn when<F: Copy>(has: bool, callback: F) -> Option<F> {
    match has {
        true => Some(callback),
        false => None,
    }
}

/// The operations of a dma-buf whose `priv` is a `Pin<Boxed<Private<T>>>`. Their address tells whose buffer
/// it is.
#[repr(transparent)]
pub(crate) struct Operations<T> {
    raw: bindings::dma_buf_ops,
    _exporter: PhantomData<T>,
}

/// What [`operations!`](crate::ffi::dma_buf_ops::operations) gives an exporter.
///
/// # Safety
///
/// The operations are always the same `static`, and no other exporter's. Constants would not do: two that are
/// equal may have one address, as those of exporters whose callbacks are the same code.
pub(crate) unsafe trait HasOperations: Sized {
    /// Those of its buffers.
    fn operations() -> &'static Operations<Self>;
}

/// Gives an exporter its [`Operations`].
macro_rules! operations {
    ($exporter:ty) => {
        // What is unsafe is here, wherever the exporter is.
        #[allow(unsafe_code)]
        // SAFETY: It is made here, for this exporter alone.
        unsafe impl $crate::ffi::dma_buf_ops::HasOperations for $exporter {
            fn operations() -> &'static $crate::ffi::dma_buf_ops::Operations<Self> {
                static OPERATIONS: $crate::ffi::dma_buf_ops::Operations<$exporter> =
                    $crate::ffi::dma_buf_ops::Operations::new();
                &OPERATIONS
            }
        }
    };
}
pub(crate) use operations;

impl<T: Exporter> Operations<T> {
    /// For [`operations!`](crate::ffi::dma_buf_ops::operations).
    pub(crate) const fn new() -> Self {
        let raw = bindings::dma_buf_ops {
            attach: when(T::HAS_ATTACH, Self::attach),
            detach: when(T::HAS_DETACH, Self::detach),
            map_dma_buf: Some(Self::map_dma_buf),
            unmap_dma_buf: Some(Self::unmap_dma_buf),
            release: Some(Self::release),
            begin_cpu_access: when(T::HAS_BEGIN_CPU_ACCESS, Self::begin_cpu_access),
            end_cpu_access: when(T::HAS_END_CPU_ACCESS, Self::end_cpu_access),
            mmap: when(T::HAS_MMAP, Self::mmap),
            vmap: when(T::HAS_VMAP, Self::vmap),
            vunmap: when(T::HAS_VMAP, Self::vunmap),
            ..pin_init::zeroed()
        };
        Self {
            raw,
            _exporter: PhantomData,
        }
    }

    pub(super) fn as_raw(&self) -> *const bindings::dma_buf_ops {
        &self.raw
    }

    /// # Safety
    ///
    /// `buf` is a live buffer with these operations, for all of `'a`.
    unsafe fn private<'a>(buf: *mut bindings::dma_buf) -> &'a Private<T> {
        // SAFETY: The buffer is valid, and its `priv` does not change.
        let private = unsafe { (*buf).priv_ };
        // SAFETY: `priv` came from `into_foreign()`, and is taken back in `release()` only.
        unsafe { Pin::<Boxed<Private<T>>>::borrow(private.cast()) }.get_ref()
    }

    /// # Safety
    ///
    /// As of [`private`](Self::private).
    unsafe fn exported<'a>(buf: *mut bindings::dma_buf) -> Exported<'a, T> {
        // SAFETY: Says the caller.
        let private = unsafe { Self::private(buf) };
        Exported {
            // SAFETY: Live, says the caller; the memory is what it was made with.
            buffer: unsafe { Buffer::new(buf, &private.memory) },
            exporter: &private.exporter,
        }
    }

    /// # Safety
    ///
    /// `buf` is valid, and its reservation lock held by the current task for all of `'a`.
    unsafe fn held<'a>(buf: *mut bindings::dma_buf) -> Held<'a> {
        // SAFETY: The buffer is valid, and has a reservation object for all its life.
        let resv = unsafe { (*buf).resv };
        // SAFETY: Held, says the caller.
        unsafe { Held::assume(resv) }
    }

    /// The buffer of an attachment.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is another exporter's.
    ///
    /// # Safety
    ///
    /// `attachment` is valid for all of `'a`.
    pub(super) unsafe fn imported<'a>(
        attachment: *mut bindings::dma_buf_attachment,
    ) -> Result<Exported<'a, T>> {
        // SAFETY: The attachment is valid, and holds its buffer.
        unsafe { Exported::of((*attachment).dmabuf) }
    }

    /// The device of an attachment.
    ///
    /// # Safety
    ///
    /// `attachment` is valid for all of `'a`.
    pub(super) unsafe fn device<'a>(
        attachment: *mut bindings::dma_buf_attachment,
    ) -> Result<&'a Device> {
        // SAFETY: The attachment is valid.
        let device = unsafe { &raw const (*attachment).dev };
        // SAFETY: As above.
        if unsafe { *device }.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: It is not null, and an importer keeps its device while it is attached.
        Ok(unsafe { Device::borrow(device.cast()) })
    }

    /// # Safety
    ///
    /// Called by `dma_buf_dynamic_attach()` on a live buffer with these operations; `attachment`
    /// is valid.
    unsafe extern "C" fn attach(
        buf: *mut bindings::dma_buf,
        attachment: *mut bindings::dma_buf_attachment,
    ) -> c_int {
        // SAFETY: As this function's.
        let Exported { buffer, exporter } = unsafe { Self::exported(buf) };
        // SAFETY: As above.
        let device = unsafe { Self::device(attachment) };
        errno(device.and_then(|device| exporter.attach(buffer, device)))
    }

    /// # Safety
    ///
    /// Called by `dma_buf_detach()` on what [`attach`](Self::attach) returned 0 for.
    unsafe extern "C" fn detach(
        buf: *mut bindings::dma_buf,
        attachment: *mut bindings::dma_buf_attachment,
    ) {
        // SAFETY: As this function's.
        let private = unsafe { Self::private(buf) };
        // SAFETY: As above.
        if let Ok(device) = unsafe { Self::device(attachment) } {
            private.exporter.detach(device);
        }
    }

    /// # Safety
    ///
    /// Called by `dma_buf_map_attachment()`: `attachment` is valid, its buffer has these
    /// operations, and the reservation lock is held.
    unsafe extern "C" fn map_dma_buf(
        attachment: *mut bindings::dma_buf_attachment,
        direction: bindings::dma_data_direction,
    ) -> *mut bindings::sg_table {
        let map = || {
            // SAFETY: The attachment is valid.
            let buf = unsafe { (*attachment).dmabuf };
            // SAFETY: An attachment holds its buffer.
            let Exported { buffer, exporter } = unsafe { Self::exported(buf) };
            // SAFETY: The lock is held.
            let held = unsafe { Self::held(buf) };
            // SAFETY: The attachment is valid.
            let device = unsafe { Self::device(attachment) }?;
            let direction = Direction::from_raw(direction)?;
            exporter.map(buffer, device, direction, &held)
        };
        match map() {
            // It is the importer's until it unmaps.
            Ok(mapping) => mapping.into_table(),
            Err(error) => error.to_ptr(),
        }
    }

    /// # Safety
    ///
    /// Called by `dma_buf_unmap_attachment()`: as of [`map_dma_buf`](Self::map_dma_buf), and
    /// `table` was returned by it and not unmapped since.
    unsafe extern "C" fn unmap_dma_buf(
        attachment: *mut bindings::dma_buf_attachment,
        table: *mut bindings::sg_table,
        _direction: bindings::dma_data_direction,
    ) {
        // SAFETY: The attachment is valid.
        let buf = unsafe { (*attachment).dmabuf };
        // SAFETY: An attachment holds its buffer.
        let Exported { buffer, exporter } = unsafe { Self::exported(buf) };
        // SAFETY: The lock is held.
        let held = unsafe { Self::held(buf) };
        // SAFETY: The table came from `map_dma_buf()`.
        let mapping = unsafe { T::Mapping::from_table(table) };
        exporter.unmap(buffer, mapping, &held);
    }

    /// # Safety
    ///
    /// Called by `dma_buf_release()`, once, when nobody else has the buffer.
    unsafe extern "C" fn release(buf: *mut bindings::dma_buf) {
        // SAFETY: The buffer is valid.
        let private = unsafe { (*buf).priv_ };
        // SAFETY: It came from `into_foreign()`, and this is the one place that takes it back.
        let private = unsafe { Pin::<Boxed<Private<T>>>::from_foreign(private.cast()) };
        private.exporter.release(&private.memory);
    }

    /// Mostly there is nothing to do, which has to be quick: all else is elsewhere.
    ///
    /// # Safety
    ///
    /// Called by `dma_buf_begin_cpu_access()` on a live buffer with these operations.
    unsafe extern "C" fn begin_cpu_access(
        buf: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: As this function's.
        match unsafe { Self::private(buf) }.exporter.needs_begin() {
            false => 0,
            // SAFETY: As this function's.
            true => unsafe { Self::begin(buf, direction) },
        }
    }

    /// # Safety
    ///
    /// As of [`begin_cpu_access`](Self::begin_cpu_access).
    #[inline(never)]
    unsafe extern "C" fn begin(
        buf: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: As this function's.
        let Exported { buffer, exporter } = unsafe { Self::exported(buf) };
        let direction = Direction::from_raw(direction);
        errno(
            direction
                .and_then(|direction| exporter.begin_cpu_access(buffer, direction, buffer.whole())),
        )
    }

    /// As [`begin_cpu_access`](Self::begin_cpu_access).
    ///
    /// # Safety
    ///
    /// Called by `dma_buf_end_cpu_access()` on a live buffer with these operations.
    unsafe extern "C" fn end_cpu_access(
        buf: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: As this function's.
        match unsafe { Self::private(buf) }.exporter.needs_end() {
            false => 0,
            // SAFETY: As this function's.
            true => unsafe { Self::end(buf, direction) },
        }
    }

    /// # Safety
    ///
    /// As of [`end_cpu_access`](Self::end_cpu_access).
    #[inline(never)]
    unsafe extern "C" fn end(
        buf: *mut bindings::dma_buf,
        direction: bindings::dma_data_direction,
    ) -> c_int {
        // SAFETY: As this function's.
        let Exported { buffer, exporter } = unsafe { Self::exported(buf) };
        let direction = Direction::from_raw(direction);
        errno(
            direction
                .and_then(|direction| exporter.end_cpu_access(buffer, direction, buffer.whole())),
        )
    }

    /// # Safety
    ///
    /// Called by `dma_buf_mmap()` or its file operation on a live buffer with these operations;
    /// `vma` is being set up for the buffer's file.
    unsafe extern "C" fn mmap(
        buf: *mut bindings::dma_buf,
        vma: *mut bindings::vm_area_struct,
    ) -> c_int {
        // SAFETY: As this function's.
        let private = unsafe { Self::private(buf) };
        // INVARIANT: As this function's. The file holds the buffer, and the buffer what is private.
        errno(T::mmap(NewMapping { vma, private }))
    }

    /// # Safety
    ///
    /// Called by `dma_buf_vmap()` on a live buffer with these operations, the reservation lock
    /// held; `map` is valid for writing.
    unsafe extern "C" fn vmap(buf: *mut bindings::dma_buf, map: *mut bindings::iosys_map) -> c_int {
        // SAFETY: As this function's.
        let Exported { buffer, exporter } = unsafe { Self::exported(buf) };
        // SAFETY: The lock is held.
        let held = unsafe { Self::held(buf) };
        from_result(|| {
            let vmap = exporter.vmap(buffer, &held)?;
            if !ptr::eq(vmap.memory(), buffer.memory()) {
                return Err(EINVAL);
            }
            // What is not unmapped is not freed, as with a device's mapping.
            mem::forget(buffer.keep());
            let address = vmap.into_address();
            // SAFETY: `map` is valid for writing. It is what `iosys_map_set_vaddr()` writes.
            unsafe {
                map.write(bindings::iosys_map {
                    __bindgen_anon_1: bindings::iosys_map__bindgen_ty_1 {
                        vaddr: address.as_ptr(),
                    },
                    is_iomem: false,
                })
            };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// Called by `dma_buf_vunmap()` on a live buffer with these operations, the reservation lock
    /// held, with what [`vmap`](Self::vmap) has written.
    unsafe extern "C" fn vunmap(buf: *mut bindings::dma_buf, map: *mut bindings::iosys_map) {
        // SAFETY: As this function's.
        let Exported { buffer, .. } = unsafe { Self::exported(buf) };
        // SAFETY: `vmap()` forgot one; core asks once.
        let _kept = unsafe { buffer.kept() };
        // SAFETY: It is what `vmap()` has written.
        let address = unsafe { (*map).__bindgen_anon_1.vaddr };
        if let Some(address) = NonNull::new(address) {
            // SAFETY: It is of this memory, which `vmap()` has seen to, and has lived since.
            drop(unsafe { T::Vmap::from_address(address, buffer.memory()) });
        }
    }
}
