// SPDX-License-Identifier: GPL-2.0

//! Pinned folios: where they come from, where they are kept, and how they are let go.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h); functions in `mm/gup.c`.
//!
//! A pin is owned by exactly one of [`FolioBatch`] (just pinned) and [`PinnedPages`] (part of a
//! buffer), and each releases on drop what it owns. A pinned folio is not split, for a split
//! wants no references but its own (`folio_expected_ref_count()` in `mm/huge_memory.c`), so the
//! folios of an extent can be found again by walking its page frames.

use super::helpers;
use crate::extent::Extents;
use core::ptr;
use kernel::{
    alloc::flags::GFP_KERNEL,
    bindings,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// Folios of a contiguous range of a file, pinned by one call.
///
/// # Invariants
///
/// `folios[next..count]` are valid, and pinned once each for this batch.
pub(crate) struct FolioBatch {
    folios: KVec<*mut bindings::folio>,
    next: usize,
    count: usize,
    /// Pages of `folios[next]` in front of the range.
    skip: usize,
    /// Pages of the range that are not yet handed out; folios beyond them are cut short.
    pages: usize,
}

impl FolioBatch {
    /// Most folios pinned by one call: one page of pointers, however large the buffer.
    const MAX: usize = 512;

    /// A batch for pinning `pages` pages, piece by piece.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        // INVARIANT: `next` is `count`: nothing is pinned.
        Ok(Self {
            folios: KVec::from_elem(ptr::null_mut(), pages.clamp(1, Self::MAX), GFP_KERNEL)?,
            next: 0,
            count: 0,
            skip: 0,
            pages: 0,
        })
    }

    /// Replaces the content by what `pin` pins of a range of `size` bytes.
    ///
    /// `pin` gets room for folios, its length, and a place for the offset in bytes into the first
    /// folio; it returns how many it pinned, or an error.
    ///
    /// # Safety
    ///
    /// `pin` does what it says, and the folios are those of a contiguous range of `size` bytes
    /// at most.
    pub(super) unsafe fn fill(
        &mut self,
        size: u64,
        pin: impl FnOnce(*mut *mut bindings::folio, u32, *mut usize) -> isize,
    ) -> Result {
        self.unpin_rest();

        let mut offset = 0;
        // CAST: At most `MAX`.
        let room = self.folios.len() as u32;
        let pinned = pin(self.folios.as_mut_ptr(), room, &mut offset);
        if pinned < 0 {
            // CAST: An errno.
            return Err(Error::from_errno(pinned as i32));
        }
        if pinned == 0 {
            return Err(EINVAL);
        }
        // INVARIANT: The first `pinned` entries are pinned, and nobody else knows of them.
        self.next = 0;
        self.count = pinned as usize;
        self.skip = offset >> PAGE_SHIFT;
        self.pages = usize::try_from(size >> PAGE_SHIFT)?;
        Ok(())
    }

    /// Page frame and length of the next folio's part of the range.
    fn peek(&self) -> Option<(usize, usize)> {
        let &folio = self.folios.get(self.next..self.count)?.first()?;
        // SAFETY: The folio is valid by the type invariant.
        let pages = unsafe { helpers::folio_nr_pages(folio) };
        // SAFETY: As above.
        let pfn = unsafe { helpers::folio_pfn(folio) };
        Some((pfn + self.skip, (pages - self.skip).min(self.pages)))
    }

    /// Passes the pin of the next folio on to the caller, who has taken `pages` pages of it.
    fn keep(&mut self, pages: usize) {
        // INVARIANT: The folio leaves the range, and its pin goes with it.
        self.next += 1;
        self.skip = 0;
        self.pages -= pages;
    }

    fn unpin_rest(&mut self) {
        if let Some(rest) = self.folios.get_mut(self.next..self.count) {
            if !rest.is_empty() {
                // SAFETY: These folios are pinned for us by the type invariant.
                unsafe { bindings::unpin_folios(rest.as_mut_ptr(), rest.len()) };
            }
        }
        // INVARIANT: The range is empty.
        self.next = self.count;
    }
}

impl Drop for FolioBatch {
    fn drop(&mut self) {
        self.unpin_rest();
    }
}

/// The pages of a buffer, pinned for as long as it lives.
///
/// # Invariants
///
/// Every folio is pinned once for each item of the request that lies in it, and an extent never
/// spans two items: one pin per folio that an extent touches.
pub(crate) struct PinnedPages {
    extents: Extents,
}

impl PinnedPages {
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no extents.
        Self {
            extents: Extents::new(),
        }
    }

    /// The next folios belong to another item of the request.
    pub(crate) fn start_item(&mut self) {
        self.extents.start_item();
    }

    /// Moves the folios of `batch`, the continuation of the current item, into the buffer.
    /// Returns how many pages that were.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the batch keeps what was not moved.
    pub(crate) fn append(&mut self, batch: &mut FolioBatch) -> Result<usize> {
        let mut moved = 0;
        while let Some((pfn, pages)) = batch.peek() {
            self.extents.push(pfn, pages)?;
            // INVARIANT: The pin becomes that of the extent which now ends in this folio. Pages of
            // one folio lie side by side in the file, so no other extent of this item touches it.
            batch.keep(pages);
            moved += pages;
        }
        Ok(moved)
    }

    /// Gives back the memory kept for growing.
    pub(crate) fn shrink(&mut self) {
        self.extents.shrink();
    }

    /// Where the pages are.
    pub(crate) fn extents(&self) -> &Extents {
        &self.extents
    }
}

impl Drop for PinnedPages {
    fn drop(&mut self) {
        for run in self.extents.iter() {
            let mut pfn = run.pfn;
            while pfn < run.pfn + run.pages {
                // SAFETY: The page frame is of a pinned folio, by the type invariant.
                let folio = unsafe { helpers::pfn_folio(pfn) };
                // SAFETY: The folio is still pinned.
                let first = unsafe { helpers::folio_pfn(folio) };
                // SAFETY: As above.
                let pages = unsafe { helpers::folio_nr_pages(folio) };
                // SAFETY: One pin per folio and extent is ours; the walk goes on behind the folio.
                unsafe { bindings::unpin_folio(folio) };
                pfn = first + pages;
            }
        }
    }
}

#[kunit_tests(udmabuf_folio)]
mod tests {
    use super::*;
    use crate::{
        buffer::test::pinned,
        ffi::memfd::test::memfd, //
    };
    use kernel::page::PAGE_SIZE;

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

    #[test]
    fn a_batch_lets_go_of_what_nobody_took() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        let before = pins(&pages, 3);

        let mut batch = FolioBatch::new(4)?;
        let locked = memfd.lock();
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

        let mut batch = FolioBatch::new(4)?;
        let locked = memfd.lock();
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
