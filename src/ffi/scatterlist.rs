// SPDX-License-Identifier: GPL-2.0

//! Scatter-gather tables of pinned pages.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)
//!
//! `kernel::scatterlist::SGTable` takes vmalloc memory only, and maps for a bound device.

use super::{
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

impl SgTable {
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
        let count = u32::try_from(count).map_err(|_| EINVAL)?;

        let table = Opaque::zeroed();
        // SAFETY: `table` is memory for a table; `count` is not 0, for a buffer is not empty.
        to_result(unsafe { bindings::sg_alloc_table(table.get(), count, bindings::GFP_KERNEL) })?;
        // INVARIANT: Allocated; filled just below, before anybody sees it.
        let table = Self(table);

        let mut entry = table.first();
        let memmap = Memmap::new();
        for run in extents.runs() {
            for segment in run.segments(max, boundary) {
                let page = memmap.page(segment.pfn);
                // CAST: `max` pages fit into 32 bits of bytes, see `SegmentLimits` in `dma`.
                let len = (segment.pages << PAGE_SHIFT) as u32;
                // SAFETY: The table has as many entries as there are segments.
                unsafe { helpers::sg_set_page(entry, page, len, 0) };
                // SAFETY: `entry` is one of the table; behind the last comes null, and no segment.
                entry = unsafe { bindings::sg_next(entry) };
            }
        }
        Ok(table)
    }

    pub(super) fn as_raw(&self) -> *mut bindings::sg_table {
        self.0.get()
    }

    fn first(&self) -> *mut bindings::scatterlist {
        // SAFETY: The table is allocated by the type invariant.
        unsafe { (*self.as_raw()).sgl }
    }

    /// The bus address of each DMA segment, once the table is mapped.
    pub(super) fn dma_addresses(&self) -> impl Iterator<Item = bindings::dma_addr_t> + '_ {
        // SAFETY: The table is allocated by the type invariant.
        let count = unsafe { (*self.as_raw()).nents };
        let mut entry = self.first();
        (0..count).map(move |_| {
            // SAFETY: A table has `nents` DMA segments or more entries.
            let address = unsafe { bindings::sg_dma_address(entry) };
            // SAFETY: As above.
            entry = unsafe { bindings::sg_next(entry) };
            address
        })
    }
}

impl Drop for SgTable {
    fn drop(&mut self) {
        // SAFETY: The table is allocated by the type invariant, and no longer mapped: `Mapping`
        // unmaps before its fields are dropped.
        unsafe { bindings::sg_free_table(self.as_raw()) };
    }
}
