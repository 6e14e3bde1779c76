// SPDX-License-Identifier: GPL-2.0

//! dma-bufs of pinned pages.

use super::{
    dma_buf::{
        Buffer,
        Exported,
        Exporter,
        Kept,
        NewMapping,
        Private, //
    },
    folio::PinnedPages,
    vma::{
        self,
        FaultHandler,
        Source, //
    },
};
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
