// SPDX-License-Identifier: GPL-2.0

//! Walking the DMA side of a mapped table.
//!
//! The CPU side, the pages, is none of an importer's business: under `CONFIG_DMABUF_DEBUG` the
//! table that an importer sees has no pages at all.
//!
//! C header: [`include/linux/scatterlist.h`](srctree/include/linux/scatterlist.h)

use core::{
    marker::PhantomData,
    ptr::NonNull, //
};

use kernel::bindings;

use crate::range::Segment;

/// Iterator over the DMA segments of a table.
///
/// # Invariants
///
/// `entry` is the next of `left` entries of a mapped table that lives for `'a`, or `left` is zero.
#[derive(Clone)]
pub(crate) struct Segments<'a> {
    entry: *mut bindings::scatterlist,
    left: u32,
    table: PhantomData<&'a bindings::sg_table>,
}

impl Segments<'_> {
    /// The segments of `table`.
    ///
    /// # Safety
    ///
    /// `table` must be valid and mapped for DMA for all of the returned lifetime.
    pub(super) unsafe fn new(table: NonNull<bindings::sg_table>) -> Self {
        // SAFETY: By the safety requirement `table` is valid, and a mapped one is not changed.
        let table = unsafe { table.as_ref() };
        // INVARIANT: A mapped table has `nents` entries from `sgl` on that carry DMA addresses.
        Self {
            entry: table.sgl,
            left: table.nents,
            table: PhantomData,
        }
    }
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        if self.left == 0 {
            return None;
        }
        let entry = self.entry;
        // INVARIANT: One entry less to come; the next one follows it if there is any.
        self.left -= 1;
        if self.left > 0 {
            // SAFETY: By the type invariant `entry` is valid, and it is not the last.
            self.entry = unsafe { bindings::sg_next(entry) };
        }
        // SAFETY: By the type invariant `entry` is valid and mapped.
        let address = unsafe { bindings::sg_dma_address(entry) };
        // SAFETY: As above.
        let length = unsafe { bindings::sg_dma_len(entry) };
        Some(Segment {
            address,
            length: length.into(),
        })
    }
}
