// SPDX-License-Identifier: GPL-2.0

//! Looking into pinned pages.
//!
//! C header: [`include/linux/highmem.h`](srctree/include/linux/highmem.h)

use super::{
    folio::PinnedPages,
    helpers,
    words::{
        Nobody,
        Words, //
    },
};
use crate::span::Span;
use core::ptr::NonNull;
use kernel::{
    bindings,
    page::PAGE_SHIFT, //
};

/// After how many pages others may run: 2 MiB.
const WITHOUT_PAUSE: usize = 0x20_0000 >> PAGE_SHIFT;

impl PinnedPages {
    /// Calls `action` with page index and words of each page that has a part of `span`, but of those
    /// whose memory has failed: looking there would bring the machine down.
    pub(crate) fn for_each_page(
        &self,
        span: Span,
        mut action: impl FnMut(usize, &Words<'_, Nobody>),
    ) {
        let pages = span.pages();
        let mut done = 0;
        let runs = self.extents().iter_at(pages.start);
        for run in runs.map_while(|run| run.within(&pages)) {
            for page in run.range() {
                // SAFETY: The page frame is of a pinned page.
                let raw = unsafe { helpers::pfn_to_page(run.pfn + (page - run.page)) };
                // SAFETY: The page is valid.
                if !unsafe { helpers::is_page_hwpoison(raw) } {
                    // SAFETY: As above. Unmapped below, in reverse order.
                    let address = unsafe { bindings::kmap_local_page(raw) };
                    if let Some(start) = NonNull::new(address.cast()) {
                        // SAFETY: The page is mapped there.
                        let words = unsafe { Words::new(start, Nobody) };
                        action(page, &words);
                    }
                    // SAFETY: Mapped above.
                    unsafe { bindings::kunmap_local(address) };
                }
                done += 1;
                if done % WITHOUT_PAUSE == 0 {
                    // SAFETY: Nothing is held that forbids sleeping: the pages are used by
                    // hand-overs, which hold mutexes only.
                    unsafe { helpers::cond_resched() };
                }
            }
        }
    }

    /// Calls `action` with kernel address and length, in bytes, of each piece of `span` that is
    /// contiguous, or of parts of it.
    pub(super) fn for_each_range(&self, span: Span, action: impl Fn(usize, usize)) {
        let pages = span.pages();
        let runs = self.extents().iter_at(pages.start);
        for run in runs.map_while(|run| run.within(&pages)) {
            for piece in run.segments(WITHOUT_PAUSE, 0) {
                // SAFETY: The page frame is of a pinned page.
                let raw = unsafe { helpers::pfn_to_page(piece.pfn) };
                // SAFETY: The page is valid.
                let address = unsafe { helpers::page_address(raw) };
                let start = span.bytes_of(piece.page).start;
                let last = piece.pages - 1;
                let end = (last << PAGE_SHIFT) + span.bytes_of(piece.page + last).end;
                action(address as usize + start, end - start);
                // SAFETY: As above.
                unsafe { helpers::cond_resched() };
            }
        }
    }
}

#[cfg(CONFIG_MEMORY_FAILURE)]
#[kernel::prelude::kunit_tests(udmabuf_page)]
mod tests {
    use super::{
        super::{
            builder::test::pinned,
            memfd::test::memfd, //
        },
        *, //
    };
    use kernel::prelude::*;

    #[test]
    fn failed_memory_is_not_looked_at() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        let run = pages.extents().find(2).ok_or(EINVAL)?;
        // SAFETY: The page frame is of a pinned page.
        let failing = unsafe { helpers::pfn_to_page(run.pfn + (2 - run.page)) };
        let looked_at = || {
            let mut seen = [false; 4];
            pages.for_each_page(Span::whole(4), |page, _| seen[page] = true);
            seen
        };
        let before = looked_at();
        // SAFETY: The page is ours, and good again before anybody else could mind.
        unsafe { helpers::assign_page_hwpoison(failing, true) };
        let during = looked_at();
        // SAFETY: As above.
        unsafe { helpers::assign_page_hwpoison(failing, false) };
        assert_eq!(before, [true; 4]);
        assert_eq!(during, [true, true, false, true]);
        Ok(())
    }
}
