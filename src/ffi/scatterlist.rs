// SPDX-License-Identifier: GPL-2.0

//! Scatter-gather tables of pinned pages.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)
//!
//! `kernel::scatterlist::SGTable` takes vmalloc memory only, and maps for a bound device.

use super::{
    device_memory::DeviceMemory,
    folio::{
        Memmap,
        PinnedPages, //
    },
    helpers, //
};
use crate::extent::Run;
use kernel::{
    bindings,
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    types::Opaque, //
};

/// How a device wants its segments, in pages.
#[derive(Clone, Copy)]
pub(super) struct SegmentLimits {
    /// Longest segment.
    pub(super) max: usize,
    /// What a segment must not cross a multiple of: a power of two, or 0 for no such thing.
    pub(super) boundary: usize,
}

/// A `struct sg_table` over all pages of a buffer.
///
/// # Invariants
///
/// `raw` is a table whose entries are the pages it was made of, which somebody else keeps pinned. They
/// are either `one`, or allocated.
#[pin_data(PinnedDrop)]
#[repr(C)]
pub(super) struct SgTable {
    #[pin]
    raw: Opaque<bindings::sg_table>,
    /// The entry, if one is enough: then it takes no memory of its own.
    #[pin]
    one: Opaque<bindings::scatterlist>,
}

/// The entries of a table, one after the other.
struct Entries {
    /// The next one; null behind the last.
    next: *mut bindings::scatterlist,
    memmap: Memmap,
}

impl Entries {
    /// Makes the next entry of pages from frame `pfn` on, all of one buffer; `address` is where the device
    /// sees them, if that is known before they are mapped.
    #[inline]
    fn add(&mut self, pfn: usize, pages: usize, address: Option<bindings::dma_addr_t>) {
        if self.next.is_null() {
            return;
        }
        // SAFETY: The pages of a buffer are pinned.
        let page = unsafe { self.memmap.page(pfn) };
        // CAST: `max` pages fit into 32 bits of bytes, see `SegmentLimits` in `device`.
        let len = (pages << PAGE_SHIFT) as u32;
        // SAFETY: It is an entry of a table.
        unsafe { helpers::sg_set_page(self.next, page, len, 0) };
        if let Some(address) = address {
            // SAFETY: As above.
            unsafe { helpers::sg_set_dma(self.next, address, len) };
        }
        // SAFETY: As above; behind the last comes null.
        self.next = unsafe { bindings::sg_next(self.next) };
    }
}

impl SgTable {
    /// A table that is to be mapped.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`;
    /// - `EINVAL` if there are more segments than a table can have.
    pub(super) fn new(
        pages: &PinnedPages,
        limits: SegmentLimits,
    ) -> impl PinInit<Self, Error> + '_ {
        let SegmentLimits { max, boundary } = limits;
        let extents = pages.extents();
        let count = match extents.pages() <= max && boundary == 0 {
            true => extents.run_count(),
            false => {
                let segments = |run: Run| run.segment_count(max, boundary);
                extents.runs().map(segments).sum()
            }
        };
        Self::of(count, move |entries| {
            for run in extents.runs() {
                for segment in run.segments(max, boundary) {
                    entries.add(segment.pfn, segment.pages, None);
                }
            }
        })
    }

    /// A table that is mapped already: of `pages`, at the addresses of their shadow.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(super) fn of_shadow<'a>(
        pages: &'a PinnedPages,
        shadow: &'a DeviceMemory,
        limits: SegmentLimits,
    ) -> impl PinInit<Self, Error> + 'a {
        let SegmentLimits { max, boundary } = limits;
        let segments = move || {
            pages.extents().runs().flat_map(move |run| {
                let blocks = shadow.blocks_at(run.page);
                let parts = blocks.map_while(move |(page, count, address)| {
                    let part = run.within(&(page..page + count))?;
                    // As the device sees it, which is what the limits are for.
                    let pfn = (address >> PAGE_SHIFT) as usize + (part.page - page);
                    Some((part, Run { pfn, ..part }))
                });
                parts.flat_map(move |(part, seen)| {
                    seen.segments(max, boundary).map(move |segment| {
                        let pfn = part.pfn + (segment.page - part.page);
                        (pfn, segment.pages, (segment.pfn as u64) << PAGE_SHIFT)
                    })
                })
            })
        };
        Self::of(segments().count(), move |entries| {
            for (pfn, pages, address) in segments() {
                entries.add(pfn, pages, Some(address));
            }
        })
    }

    /// A table of `count` entries, each of which `fill` makes.
    fn of<'a>(
        count: usize,
        fill: impl FnOnce(&mut Entries) + 'a,
    ) -> impl PinInit<Self, Error> + 'a {
        let init = move |slot: *mut Self| {
            let count = u32::try_from(count).map_err(|_| EINVAL)?;
            // SAFETY: `slot` is memory for all of it, that does not move.
            let (table, one) = unsafe {
                (
                    Opaque::cast_into(&raw const (*slot).raw),
                    Opaque::cast_into(&raw const (*slot).one),
                )
            };
            // SAFETY: As above; `count` is not 0, for a buffer is not empty.
            unsafe { Self::allocate(table, one, count) }?;
            // INVARIANT: Allocated; filled just here, before anybody sees it.
            fill(&mut Entries {
                // SAFETY: It has an entry.
                next: unsafe { (*table).sgl },
                memmap: Memmap::new(),
            });
            Ok(())
        };
        // SAFETY: It initialises all fields, or fails with nothing to be undone.
        unsafe { pin_init::pin_init_from_closure(init) }
    }

    /// Makes an empty table of `count` entries.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// `table` and `one` are memory for what they are, which does not move while the table is used, and
    /// `count` is not 0.
    unsafe fn allocate(
        table: *mut bindings::sg_table,
        one: *mut bindings::scatterlist,
        count: u32,
    ) -> Result {
        if count > 1 {
            // SAFETY: Says the caller.
            return to_result(unsafe {
                bindings::sg_alloc_table(table, count, bindings::GFP_KERNEL_ACCOUNT)
            });
        }
        // SAFETY: Says the caller.
        unsafe { bindings::sg_init_table(one, count) };
        // SAFETY: As above.
        unsafe {
            table.write(bindings::sg_table {
                sgl: one,
                nents: count,
                orig_nents: count,
            })
        };
        Ok(())
    }

    pub(super) fn as_raw(&self) -> *mut bindings::sg_table {
        self.raw.get()
    }

    /// Whether any entry is such.
    pub(super) fn any(&self, is: impl Fn(*mut bindings::scatterlist) -> bool) -> bool {
        let mut entry = self.first();
        while !entry.is_null() {
            if is(entry) {
                return true;
            }
            // SAFETY: `entry` is one of the table; behind the last comes null.
            entry = unsafe { bindings::sg_next(entry) };
        }
        false
    }

    fn first(&self) -> *mut bindings::scatterlist {
        // SAFETY: The table is allocated by the type invariant.
        unsafe { (*self.as_raw()).sgl }
    }
}

#[pinned_drop]
impl PinnedDrop for SgTable {
    fn drop(self: Pin<&mut Self>) {
        if self.first() == self.one.get() {
            return;
        }
        // SAFETY: The table is allocated by the type invariant, and no longer mapped: `Mapping`
        // unmaps before its fields are dropped.
        unsafe { bindings::sg_free_table(self.as_raw()) };
    }
}
