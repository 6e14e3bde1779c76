// SPDX-License-Identifier: GPL-2.0

//! The tracepoints of `trace.h`, where the fields are described.
//!
//! C header: [`include/linux/tracepoint.h`](srctree/include/linux/tracepoint.h)
//!
//! `kernel::tracepoint::declare_trace!` is for those that bindgen knows, which are the kernel's own.
//! As there, an event that is off costs an instruction that does nothing, where the architecture has
//! static keys.

use super::{
    device::Device,
    dma::Mapping,
    folio::PinnedPages, //
};
use crate::{
    coherency::Coherency,
    direction::Direction,
    mode::Mode,
    moved::Moved,
    report::Report,
    span::Span, //
};
use core::ops::Range;
use kernel::{
    bindings,
    page::PAGE_SHIFT,
    prelude::*,
    sync::aref::ARef,
    time::{
        Instant,
        Monotonic, //
    },
};

macro_rules! events {
    ($($name:ident($($argument:ident: $type:ty),*);)*) => {
        $(kernel::macros::paste! {
            mod $name {
                #[allow(unused_imports, reason = "not all have something of it")]
                use super::*;

                #[cfg(CONFIG_TRACEPOINTS)]
                // Whether C structures have empty members depends on the configuration.
                #[allow(improper_ctypes)]
                extern "C" {
                    static [<__tracepoint_ $name>]: bindings::tracepoint;
                    fn [<rust_do_trace_ $name>]($($argument: $type),*);
                }

                /// Whether somebody listens.
                #[inline(always)]
                pub(super) fn is_on() -> bool {
                    #[cfg(CONFIG_TRACEPOINTS)]
                    // SAFETY: `trace.c` defines it, and a tracepoint has a static key.
                    return unsafe {
                        kernel::jump_label::static_branch_unlikely!(
                            [<__tracepoint_ $name>],
                            bindings::tracepoint,
                            key
                        )
                    };
                    #[cfg(not(CONFIG_TRACEPOINTS))]
                    false
                }

                /// Tells whoever listens.
                ///
                /// # Safety
                ///
                /// Pointers are to valid devices.
                #[cold]
                #[allow(clippy::too_many_arguments, reason = "as many as it has fields")]
                pub(super) unsafe fn emit($($argument: $type),*) {
                    #[cfg(CONFIG_TRACEPOINTS)]
                    // SAFETY: The types are those of `trace.h`; devices are valid, says the caller.
                    unsafe { [<rust_do_trace_ $name>]($($argument),*) };
                    #[cfg(not(CONFIG_TRACEPOINTS))]
                    { $(let _ = $argument;)* }
                }
            }
        })*
    };
}

type Dev = *mut bindings::device;

events! {
    udmabuf_create(ino: u64, size: usize, extents: usize, mode: u32);
    udmabuf_release(ino: u64);
    udmabuf_map(ino: u64, dev: Dev, direction: u32, class: u32, duration: i64, error: c_int);
    udmabuf_unmap(ino: u64, dev: Dev, class: u32, duration: i64);
    udmabuf_refuse(ino: u64, dev: Dev, mode: u32);
    udmabuf_begin(
        ino: u64, access: u32, offset: usize, length: usize, cleaned: usize, invalidated: usize,
        collected: usize, published: usize, duration: i64, error: c_int
    );
    udmabuf_end(
        ino: u64, access: u32, offset: usize, length: usize, cleaned: usize, invalidated: usize,
        collected: usize, published: usize, duration: i64, error: c_int
    );
    udmabuf_begin_device(
        ino: u64, dev: Dev, cleaned: usize, invalidated: usize, collected: usize,
        published: usize, duration: i64, error: c_int
    );
    udmabuf_end_device(
        ino: u64, dev: Dev, cleaned: usize, invalidated: usize, collected: usize,
        published: usize, duration: i64, error: c_int
    );
    udmabuf_fault(ino: u64, page: usize, first: usize, pages: usize, order: u32);
    udmabuf_collect(
        ino: u64, dev: Dev, offset: usize, length: usize, changed: usize, duration: i64
    );
    udmabuf_publish(
        ino: u64, dev: Dev, offset: usize, length: usize, changed: usize, duration: i64
    );
    udmabuf_wrong(
        ino: u64, wrong: u32, write: bool, offset: usize, instruction: usize, place: usize,
        process: c_int, open: u32, mapped: usize, memfd: bool
    );
}

/// Does `work`, and calls `tell` with what came of it, and how many nanoseconds it took, if somebody
/// listens.
#[inline(always)]
fn timed<T>(is_on: bool, work: impl FnOnce() -> T, tell: impl FnOnce(&T, i64)) -> T {
    if !is_on {
        return work();
    }
    let start = Instant::<Monotonic>::now();
    let result = work();
    tell(&result, start.elapsed().as_nanos());
    result
}

/// What an event says of how something went: 0, or an errno.
fn error<T>(result: &Result<T>) -> c_int {
    result.as_ref().map_or_else(|error| error.to_errno(), |_| 0)
}

/// A buffer was made.
#[inline(always)]
pub(crate) fn create(pages: &PinnedPages, mode: Mode) {
    if udmabuf_create::is_on() {
        let extents = pages.extents();
        let size = extents.pages() << PAGE_SHIFT;
        // SAFETY: There is no pointer.
        unsafe { udmabuf_create::emit(pages.inode(), size, extents.len(), mode.number()) };
    }
}

/// A buffer is no more.
#[inline(always)]
pub(crate) fn release(pages: &PinnedPages) {
    if udmabuf_release::is_on() {
        // SAFETY: There is no pointer.
        unsafe { udmabuf_release::emit(pages.inode()) };
    }
}

/// A device was refused for the mode of a buffer.
#[inline(always)]
pub(crate) fn refuse(pages: &PinnedPages, device: &Device, mode: Mode) {
    if udmabuf_refuse::is_on() {
        // SAFETY: The device is valid.
        unsafe { udmabuf_refuse::emit(pages.inode(), device.as_raw(), mode.number()) };
    }
}

/// `work` maps for a device.
#[inline(always)]
pub(crate) fn map<T>(
    pages: &PinnedPages,
    device: &Device,
    direction: Direction,
    coherency: Coherency,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    timed(udmabuf_map::is_on(), work, |result, duration| {
        // CAST: The numbers of variants.
        let (direction, class) = (direction as u32, coherency as u32);
        let (ino, dev) = (pages.inode(), device.as_raw());
        // SAFETY: The device is valid.
        unsafe { udmabuf_map::emit(ino, dev, direction, class, duration, error(result)) }
    })
}

/// `work` unmaps for a device.
#[inline(always)]
pub(crate) fn unmap(pages: &PinnedPages, mapping: ARef<Mapping>, work: impl FnOnce(ARef<Mapping>)) {
    if !udmabuf_unmap::is_on() {
        return work(mapping);
    }
    let device = mapping.device().clone();
    // CAST: The number of a variant.
    let class = mapping.coherency() as u32;
    timed(
        true,
        || work(mapping),
        |(), duration| {
            // SAFETY: The device is valid.
            unsafe { udmabuf_unmap::emit(pages.inode(), device.as_raw(), class, duration) }
        },
    )
}

/// Whether somebody wants to hear of all begins, also of those that have nothing to do.
#[inline(always)]
pub(crate) fn wants_begin() -> bool {
    udmabuf_begin::is_on()
}

/// Whether somebody wants to hear of all ends, also of those that have nothing to do.
#[inline(always)]
pub(crate) fn wants_end() -> bool {
    udmabuf_end::is_on()
}

/// With `work`, the CPU begins an access to `span`.
#[inline(always)]
pub(crate) fn begin(
    pages: &PinnedPages,
    access: Direction,
    span: Span,
    work: impl FnOnce() -> Result<Moved>,
) -> Result<Moved> {
    timed(udmabuf_begin::is_on(), work, |result, duration| {
        tell_of_cpu(udmabuf_begin::emit, pages, access, span, result, duration)
    })
}

/// With `work`, the CPU ends an access to `span`.
#[inline(always)]
pub(crate) fn end(
    pages: &PinnedPages,
    access: Direction,
    span: Span,
    work: impl FnOnce() -> Result<Moved>,
) -> Result<Moved> {
    timed(udmabuf_end::is_on(), work, |result, duration| {
        tell_of_cpu(udmabuf_end::emit, pages, access, span, result, duration)
    })
}

/// With `work`, a device that keeps its mapping begins an access.
#[inline(always)]
pub(crate) fn begin_device(
    pages: &PinnedPages,
    device: &Device,
    work: impl FnOnce() -> Result<Moved>,
) -> Result<Moved> {
    timed(udmabuf_begin_device::is_on(), work, |result, duration| {
        tell_of_device(udmabuf_begin_device::emit, pages, device, result, duration)
    })
}

/// With `work`, a device that keeps its mapping ends an access.
#[inline(always)]
pub(crate) fn end_device(
    pages: &PinnedPages,
    device: &Device,
    work: impl FnOnce() -> Result<Moved>,
) -> Result<Moved> {
    timed(udmabuf_end_device::is_on(), work, |result, duration| {
        tell_of_device(udmabuf_end_device::emit, pages, device, result, duration)
    })
}

/// Page index `page` was touched where it had no entry. Now there is one for each page of `filled`, or
/// a single one for these 2^`order` pages.
#[inline(always)]
pub(crate) fn fault(
    pages: &PinnedPages,
    page: usize,
    filled: impl FnOnce() -> Range<usize>,
    order: u32,
) {
    if udmabuf_fault::is_on() {
        let filled = filled();
        // SAFETY: There is no pointer.
        unsafe { udmabuf_fault::emit(pages.inode(), page, filled.start, filled.len(), order) };
    }
}

/// `work` collects what a device has changed in `span`, and counts the bytes.
#[inline(always)]
pub(crate) fn collect(
    pages: &PinnedPages,
    device: &Device,
    span: Span,
    work: impl FnOnce() -> usize,
) -> usize {
    timed(udmabuf_collect::is_on(), work, |&changed, duration| {
        let (ino, dev) = (pages.inode(), device.as_raw());
        // SAFETY: The device is valid.
        unsafe { udmabuf_collect::emit(ino, dev, span.start(), span.len(), changed, duration) }
    })
}

/// `work` publishes to a device what has changed in `span`, and counts the bytes.
#[inline(always)]
pub(crate) fn publish(
    pages: &PinnedPages,
    device: &Device,
    span: Span,
    work: impl FnOnce() -> usize,
) -> usize {
    timed(udmabuf_publish::is_on(), work, |&changed, duration| {
        let (ino, dev) = (pages.inode(), device.as_raw());
        // SAFETY: The device is valid.
        unsafe { udmabuf_publish::emit(ino, dev, span.start(), span.len(), changed, duration) }
    })
}

/// A program did something wrong.
pub(crate) fn wrong(report: &Report) {
    /// No [`Direction`].
    const NOTHING: u32 = 3;

    if udmabuf_wrong::is_on() {
        // SAFETY: There is no pointer.
        unsafe {
            udmabuf_wrong::emit(
                report.inode,
                // CAST: The number of a variant, here and below.
                report.wrong as u32,
                report.is_write,
                report.offset,
                report.site.instruction,
                report.site.place,
                report.process.0,
                report.open.map_or(NOTHING, |access| access as u32),
                report.mapped,
                report.has_memfd_mapped,
            )
        };
    }
}

#[cold]
fn tell_of_cpu(
    emit: unsafe fn(u64, u32, usize, usize, usize, usize, usize, usize, i64, c_int),
    pages: &PinnedPages,
    access: Direction,
    span: Span,
    result: &Result<Moved>,
    duration: i64,
) {
    let moved = result.unwrap_or_default();
    // SAFETY: There is no pointer.
    unsafe {
        emit(
            pages.inode(),
            // CAST: The number of a variant.
            access as u32,
            span.start(),
            span.len(),
            moved.cleaned,
            moved.invalidated,
            moved.collected,
            moved.published,
            duration,
            error(result),
        )
    }
}

#[cold]
fn tell_of_device(
    emit: unsafe fn(u64, Dev, usize, usize, usize, usize, i64, c_int),
    pages: &PinnedPages,
    device: &Device,
    result: &Result<Moved>,
    duration: i64,
) {
    let moved = result.unwrap_or_default();
    // SAFETY: The device is valid.
    unsafe {
        emit(
            pages.inode(),
            device.as_raw(),
            moved.cleaned,
            moved.invalidated,
            moved.collected,
            moved.published,
            duration,
            error(result),
        )
    }
}
