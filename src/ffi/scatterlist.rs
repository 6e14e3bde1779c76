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
/// The table is allocated, and its entries are the pages it was made of, which somebody else
/// keeps pinned.
#[repr(transparent)]
pub(super) struct SgTable(Opaque<bindings::sg_table>);

/// A segment in the making.
struct Segment {
    /// First page frame.
    pfn: usize,
    /// Length, in pages.
    pages: usize,
    /// Where the device sees it, if that is known before it is mapped.
    address: Option<bindings::dma_addr_t>,
}

impl SgTable {
    /// A table that is to be mapped.
    ///
    /// # Errors
    ///
    /// - `ENOMEM`;
    /// - `EINVAL` if there are more segments than a table can have.
    pub(super) fn new(pages: &PinnedPages, limits: SegmentLimits) -> Result<Self> {
        let SegmentLimits { max, boundary } = limits;
        let extents = pages.extents();
        let count = match extents.pages() <= max && boundary == 0 {
            true => extents.run_count(),
            false => {
                let segments = |run: Run| run.segment_count(max, boundary);
                extents.runs().map(segments).sum()
            }
        };
        let segments = extents.runs().flat_map(|run| {
            run.segments(max, boundary).map(|segment| Segment {
                pfn: segment.pfn,
                pages: segment.pages,
                address: None,
            })
        });
        Self::of(count, segments)
    }

    /// A table that is mapped already: of `pages`, at the addresses of their shadow.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(super) fn of_shadow(
        pages: &PinnedPages,
        shadow: &DeviceMemory,
        limits: SegmentLimits,
    ) -> Result<Self> {
        let SegmentLimits { max, boundary } = limits;
        let segments = || {
            pages.extents().runs().flat_map(move |run| {
                let blocks = shadow.blocks_at(run.page);
                let parts = blocks.map_while(move |(page, count, address)| {
                    let part = run.within(&(page..page + count))?;
                    // As the device sees it, which is what the limits are for.
                    let pfn = (address >> PAGE_SHIFT) as usize + (part.page - page);
                    Some((part, Run { pfn, ..part }))
                });
                parts.flat_map(move |(part, seen)| {
                    seen.segments(max, boundary).map(move |segment| Segment {
                        pfn: part.pfn + (segment.page - part.page),
                        pages: segment.pages,
                        address: Some((segment.pfn as u64) << PAGE_SHIFT),
                    })
                })
            })
        };
        Self::of(segments().count(), segments())
    }

    /// A table of `count` segments.
    fn of(count: usize, segments: impl Iterator<Item = Segment>) -> Result<Self> {
        let count = u32::try_from(count).map_err(|_| EINVAL)?;
        let table = Opaque::zeroed();
        // SAFETY: `table` is memory for a table; `count` is not 0, for a buffer is not empty.
        to_result(unsafe {
            bindings::sg_alloc_table(table.get(), count, bindings::GFP_KERNEL_ACCOUNT)
        })?;
        // INVARIANT: Allocated; filled just below, before anybody sees it.
        let table = Self(table);

        let mut entry = table.first();
        let memmap = Memmap::new();
        for segment in segments {
            // SAFETY: The segments of a buffer are of pinned folios.
            let page = unsafe { memmap.page(segment.pfn) };
            // CAST: `max` pages fit into 32 bits of bytes, see `SegmentLimits` in `device`.
            let len = (segment.pages << PAGE_SHIFT) as u32;
            // SAFETY: The table has as many entries as there are segments.
            unsafe { helpers::sg_set_page(entry, page, len, 0) };
            if let Some(address) = segment.address {
                // SAFETY: As above.
                unsafe { helpers::sg_set_dma(entry, address, len) };
            }
            // SAFETY: `entry` is one of the table; behind the last comes null, and no segment.
            entry = unsafe { bindings::sg_next(entry) };
        }
        Ok(table)
    }

    pub(super) fn as_raw(&self) -> *mut bindings::sg_table {
        self.0.get()
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

impl Drop for SgTable {
    fn drop(&mut self) {
        // SAFETY: The table is allocated by the type invariant, and no longer mapped: `Mapping`
        // unmaps before its fields are dropped.
        unsafe { bindings::sg_free_table(self.as_raw()) };
    }
}
