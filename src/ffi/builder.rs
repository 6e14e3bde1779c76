// SPDX-License-Identifier: GPL-2.0

//! Collecting the pages of a buffer.

use crate::ffi::{
    folio::{
        FolioBatch,
        PinnedPages, //
    },
    memfd::Sealed,
    signal, //
};
use core::mem;
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// A buffer in the making: dropping it unpins what it has so far.
pub(crate) struct Builder {
    pages: PinnedPages,
    // Used again for every batch, so that memory does not grow with the buffer.
    batch: FolioBatch,
}

impl Builder {
    pub(crate) const fn new() -> Self {
        Self {
            pages: PinnedPages::new(),
            batch: FolioBatch::new(),
        }
    }

    /// Appends `size` bytes of `memfd` from `offset` on; both are multiples of the page size.
    ///
    /// # Errors
    ///
    /// As [`Sealed::pin`], and `EINTR` if the process is being killed; part of the range may have
    /// been appended.
    pub(crate) fn append(&mut self, memfd: &Sealed<'_>, offset: u64, size: u64) -> Result {
        let end = offset.checked_add(size).ok_or(EINVAL)?;
        let mut start = offset;

        loop {
            // Between batches, and between the items of a list, which is as long as it is.
            signal::check_killed()?;
            // An empty range is refused here, as in C.
            memfd.pin(start, end, &mut self.batch)?;
            let same_item = start > offset;
            let pages = self.pages.append(same_item, &mut self.batch)?;
            start += (pages as u64) << PAGE_SHIFT;
            if start >= end {
                return Ok(());
            }
        }
    }

    /// The finished buffer; the next one is empty.
    // By reference: a batch is large, and need not be moved.
    pub(crate) fn finish(&mut self) -> PinnedPages {
        self.pages.shrink();
        mem::replace(&mut self.pages, PinnedPages::new())
    }
}

#[cfg(CONFIG_KUNIT = "y")]
pub(crate) mod test {
    use super::*;
    use crate::ffi::memfd::Memfd;
    use kernel::sync::Arc;

    /// Pins items of `memfd`: first page and number of pages.
    pub(crate) fn pinned(memfd: &Memfd, items: &[(u64, u64)]) -> Result<Arc<PinnedPages>> {
        let locked = memfd.lock()?;
        let sealed = locked.check_seals()?;
        let mut builder = Builder::new();
        for &(first, pages) in items {
            builder.append(&sealed, first << PAGE_SHIFT, pages << PAGE_SHIFT)?;
        }
        Ok(Arc::new(builder.finish(), GFP_KERNEL)?)
    }
}

#[kunit_tests(udmabuf_buffer)]
mod tests {
    use super::{
        test::pinned,
        *, //
    };
    use crate::ffi::memfd::test::memfd;

    #[test]
    fn has_all_pages_of_all_items() -> Result {
        let memfd = memfd(1500)?;
        let pages = pinned(&memfd, &[(0, 1), (200, 1300), (1, 3)])?;
        assert_eq!(pages.extents().pages(), 1304);
        Ok(())
    }

    #[test]
    fn the_same_page_twice_is_the_same_frame() -> Result {
        let memfd = memfd(8)?;
        let pages = pinned(&memfd, &[(4, 2), (5, 1)])?;
        let frame = |page| pages.extents().find(page).and_then(|run| run.pfn_of(page));
        let frames = (frame(0), frame(1), frame(2));
        assert!(frames.0.is_some());
        assert!(frames.1 == frames.2);
        assert!(frames.0 != frames.1);
        Ok(())
    }

    #[test]
    fn a_list_in_reverse_has_the_frames_of_the_file_in_reverse() -> Result {
        let memfd = memfd(4)?;
        let forward = pinned(&memfd, &[(0, 4)])?;
        let backward = pinned(&memfd, &[(3, 1), (2, 1), (1, 1), (0, 1)])?;
        let frame =
            |pages: &PinnedPages, page| pages.extents().find(page).and_then(|run| run.pfn_of(page));
        let same = (0..4).all(|page| frame(&forward, page) == frame(&backward, 3 - page));
        let extents = backward.extents().len();
        assert!(same);
        assert_eq!(extents, 4);
        Ok(())
    }

    #[test]
    fn empty_and_beyond_the_end() -> Result {
        let memfd = memfd(4)?;
        for item in [(0, 0), (0, 5), (4, 1), (1 << 40, 1)] {
            let error = pinned(&memfd, &[item]).err();
            assert_eq!(error, Some(EINVAL));
        }
        Ok(())
    }
}
