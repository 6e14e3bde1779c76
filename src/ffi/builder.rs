// SPDX-License-Identifier: GPL-2.0

//! Collecting the pages of a buffer.

use super::{
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
    use super::{
        super::memfd::Memfd,
        *, //
    };
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

#[kunit_tests(udmabuf_builder)]
mod tests {
    use super::{
        super::{
            folio::MOST_REFERENCES,
            helpers,
            memfd::test::memfd, //
        },
        test::pinned,
        *, //
    };
    use kernel::{
        bindings,
        page::PAGE_SIZE,
        sync::atomic::{
            Atomic,
            Relaxed, //
        }, //
    };

    /// Pins of the folio of a buffer's page. Each is worth `GUP_PIN_COUNTING_BIAS` references of a
    /// folio of one page; those that others hold for a while are far fewer.
    fn pins(pages: &PinnedPages, page: usize) -> i32 {
        let pfn = pages.extents().find(page).and_then(|run| run.pfn_of(page));
        pfn.map_or(0, |pfn| {
            // SAFETY: The page frame is of a pinned folio.
            let folio = unsafe { helpers::pfn_folio(pfn) };
            // SAFETY: As above.
            let references = unsafe { helpers::folio_ref_count(folio) };
            // CAST: 1024.
            references / bindings::GUP_PIN_COUNTING_BIAS as i32
        })
    }

    /// Adds references to the folio of a buffer's page, or takes them away, and returns how many it
    /// has then.
    fn add_references(pages: &PinnedPages, page: usize, more: i32) -> i32 {
        let pfn = pages.extents().find(page).and_then(|run| run.pfn_of(page));
        pfn.map_or(0, |pfn| {
            // SAFETY: The page frame is of a pinned folio.
            let folio = unsafe { helpers::pfn_folio(pfn) };
            // SAFETY: A folio begins with its first page, whose counter is the folio's.
            let count = unsafe { &raw mut (*folio.cast::<bindings::page>())._refcount.counter };
            // SAFETY: The counter is an `atomic_t`, which all change by atomic operations.
            let count = unsafe { Atomic::<i32>::from_ptr(count) };
            count.fetch_add(more, Relaxed) + more
        })
    }

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

    #[test]
    fn a_batch_lets_go_of_what_nobody_took() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        let before = pins(&pages, 3);

        let mut batch = FolioBatch::new();
        let locked = memfd.lock()?;
        locked
            .check_seals()?
            .pin(0, 4 * PAGE_SIZE as u64, &mut batch)?;
        let during = pins(&pages, 3);
        drop(batch);
        let after = pins(&pages, 3);
        drop(locked);

        assert_eq!((before, during, after), (1, 2, 1));
        Ok(())
    }

    #[test]
    fn a_batch_that_is_filled_again_lets_go_first() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        let before = pins(&pages, 0);

        let mut batch = FolioBatch::new();
        let locked = memfd.lock()?;
        let sealed = locked.check_seals()?;
        sealed.pin(0, 4 * PAGE_SIZE as u64, &mut batch)?;
        sealed.pin(0, PAGE_SIZE as u64, &mut batch)?;
        let during = (pins(&pages, 0), pins(&pages, 3));
        drop(batch);
        let after = pins(&pages, 0);
        drop(locked);

        assert_eq!((before, during, after), (1, (2, 1), 1));
        Ok(())
    }

    #[test]
    fn a_batch_that_nobody_takes_lets_go() -> Result {
        const FEW: usize = FolioBatch::FEW;
        const MAX: usize = FolioBatch::MAX;
        let memfd = memfd(MAX + 1)?;
        let pages = pinned(&memfd, &[(0, MAX as u64 + 1)])?;

        let locked = memfd.lock()?;
        let sealed = locked.check_seals()?;
        // In the batch itself, and in memory of its own; of what is more than it holds, the first.
        for count in [1, FEW, FEW + 1, MAX, MAX + 1] {
            let last = count.min(MAX) - 1;
            let mut batch = FolioBatch::new();
            sealed.pin(0, (count * PAGE_SIZE) as u64, &mut batch)?;
            let during = (pins(&pages, 0), pins(&pages, last));
            drop(batch);
            let after = (pins(&pages, 0), pins(&pages, last));
            assert_eq!((during, after), ((2, 2), (1, 1)));
        }
        Ok(())
    }

    #[test]
    fn a_page_is_pinned_once_for_each_item() -> Result {
        let memfd = memfd(4)?;
        let once = pinned(&memfd, &[(0, 4)])?;
        let before = pins(&once, 1);

        // Both neighbours in the file and the same page again: three items, three pins.
        let pages = pinned(&memfd, &[(0, 2), (1, 1), (1, 3)])?;
        let during = pins(&once, 1);
        drop(pages);
        let after = pins(&once, 1);

        assert_eq!((before, during, after), (1, 4, 1));
        Ok(())
    }

    #[test]
    fn a_page_is_not_pinned_more_often_than_can_be_counted() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        // Of the two neighbours, only the second one has hardly any room.
        let pin = bindings::GUP_PIN_COUNTING_BIAS as i32;
        let before = add_references(&pages, 2, 0);
        // Those that core holds for a moment must not matter.
        let more = MOST_REFERENCES - before - 3 * pin / 2;
        add_references(&pages, 2, more);

        let one = pinned(&memfd, &[(1, 2)]);
        let two = pinned(&memfd, &[(1, 2)]).err();
        let all = pinned(&memfd, &[(0, 4)]).err();
        let neighbour = pinned(&memfd, &[(1, 1)]).is_ok();
        let during = (pins(&pages, 0), pins(&pages, 1));
        let one = one.map(drop).is_ok();
        let again = pinned(&memfd, &[(1, 2)]).is_ok();
        let after = add_references(&pages, 2, -more);

        assert_eq!((one, two, all), (true, Some(EINVAL), Some(EINVAL)));
        assert!(neighbour);
        assert_eq!(during, (1, 2));
        assert!(again);
        assert_eq!(before / pin, after / pin);
        Ok(())
    }

    #[test]
    fn a_failed_request_pins_nothing() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        let before = pins(&pages, 0);
        let failed = pinned(&memfd, &[(0, 2), (2, 3)]).is_err();
        let after = pins(&pages, 0);
        assert_eq!((before, failed, after), (1, true, 1));
        Ok(())
    }
}
