// SPDX-License-Identifier: GPL-2.0

//! dma-bufs of pinned pages.

use super::{
    dma_buf::{
        Buffer,
        Kept, //
    },
    dma_buf_ops::{
        Exported,
        Exporter,
        NewMapping,
        Private,
        Vmapped, //
    },
    folio::PinnedPages,
    vma::{
        self,
        FaultHandler,
        Source, //
    },
    vmap::Vmap,
};
use core::ptr::NonNull;
use kernel::prelude::*;

/// The pages of a buffer, and a reference to it.
pub(crate) type SharedPages = Kept<PinnedPages>;

impl<'a> Buffer<'a, PinnedPages> {
    pub(crate) fn pages(self) -> &'a PinnedPages {
        self.memory()
    }
}

impl<'a, T: Exporter<Memory = PinnedPages>> Exported<'a, T> {
    pub(crate) fn pages(&self) -> &'a PinnedPages {
        self.buffer().pages()
    }
}

// SAFETY: It is unmapped when it is dropped.
unsafe impl<'a> Vmapped<'a, PinnedPages> for Vmap<'a> {
    fn memory(&self) -> &'a PinnedPages {
        self.pages()
    }

    fn into_address(self) -> NonNull<c_void> {
        self.into_address()
    }

    unsafe fn from_address(address: NonNull<c_void>, pages: &'a PinnedPages) -> Self {
        // SAFETY: As this function's.
        unsafe { Self::from_address(address, pages) }
    }
}

impl<T: Exporter<Memory = PinnedPages> + FaultHandler> Source for Private<T> {
    type Handler = T;

    fn handler(&self) -> &T {
        &self.exporter
    }

    fn pages(&self) -> &PinnedPages {
        &self.memory
    }
}

impl<T: Exporter<Memory = PinnedPages> + FaultHandler> NewMapping<'_, T> {
    /// The exporter makes its entries, when they are touched.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the mapping is private: the pages could not be the same memory then.
    pub(crate) fn fill_by_faults(self) -> Result {
        // SAFETY: By the type invariant: what is private, the pages among it, lives as long as the file.
        unsafe { vma::map_pages(self.vma, self.private) }
    }
}
