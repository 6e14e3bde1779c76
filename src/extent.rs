// SPDX-License-Identifier: GPL-2.0

//! The pages of a buffer as runs of physically contiguous ones.

use core::ops::Range;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*, //
};

/// Where an extent lies, and where the buffer goes on behind it.
struct Extent {
    /// First page frame.
    pfn: usize,
    /// Page index in the buffer behind the last page.
    end: usize,
}

/// A piece of an extent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Page index in the buffer.
    pub(crate) page: usize,
    /// Page frame of that page.
    pub(crate) pfn: usize,
    /// Length, in pages.
    pub(crate) pages: usize,
}

/// All pages of a buffer, in order; 16 bytes per physically contiguous run.
///
/// # Invariants
///
/// - `end` grows strictly from extent to extent.
/// - An extent lies within one item of the request: what was pinned by one call is found again
///   by walking one extent.
pub(crate) struct Extents {
    extents: KVVec<Extent>,
    /// Whether the next page may continue the last extent.
    open: bool,
}

impl Extents {
    pub(crate) const fn new() -> Self {
        Self {
            extents: KVVec::new(),
            open: false,
        }
    }

    /// Size of the buffer, in pages.
    pub(crate) fn pages(&self) -> usize {
        self.extents.last().map_or(0, |extent| extent.end)
    }

    /// Number of extents.
    pub(crate) fn len(&self) -> usize {
        self.extents.len()
    }

    /// What comes next belongs to another item of the request.
    pub(crate) fn start_item(&mut self) {
        self.open = false;
    }

    /// Appends `pages` > 0 pages from page frame `pfn` on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing was appended then.
    pub(crate) fn push(&mut self, pfn: usize, pages: usize) -> Result {
        let start = self.pages();
        let end = start + pages;
        if self.open && self.next_pfn() == Some(pfn) {
            if let Some(last) = self.extents.last_mut() {
                // INVARIANT: Still of the same item, since `open` is; `end` has grown.
                last.end = end;
                return Ok(());
            }
        }
        // INVARIANT: `pages` > 0, so `end` grows; a new extent is of one item.
        self.extents
            .push(Extent { pfn, end }, GFP_KERNEL | __GFP_NOWARN)?;
        self.open = true;
        Ok(())
    }

    /// Gives back the memory kept for growing.
    pub(crate) fn shrink(&mut self) {
        // Failure means that the memory is kept, which harms nobody.
        let _ = self.extents.shrink_to(0, GFP_KERNEL);
    }

    /// The page frame that would continue the last extent.
    fn next_pfn(&self) -> Option<usize> {
        let last = self.extents.len().checked_sub(1)?;
        let run = self.run(last);
        Some(run.pfn + run.pages)
    }

    fn run(&self, index: usize) -> Run {
        let page = match index {
            0 => 0,
            _ => self.extents[index - 1].end,
        };
        let Extent { pfn, end } = self.extents[index];
        Run {
            page,
            pfn,
            pages: end - page,
        }
    }

    /// The extent that holds page index `page`, whole.
    pub(crate) fn find(&self, page: usize) -> Option<Run> {
        let index = self.extents.partition_point(|extent| extent.end <= page);
        (index < self.extents.len()).then(|| self.run(index))
    }

    /// All extents, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        (0..self.extents.len()).map(|index| self.run(index))
    }
}

impl Run {
    /// The page frame of page index `page`, if the run holds it.
    pub(crate) fn pfn_of(self, page: usize) -> Option<usize> {
        self.range()
            .contains(&page)
            .then(|| self.pfn + (page - self.page))
    }

    /// The page indices of the run.
    pub(crate) fn range(self) -> Range<usize> {
        self.page..self.page + self.pages
    }

    /// Cuts the run where a device needs it cut: into pieces of at most `max` pages that do not
    /// cross a multiple of `boundary` page frames (a power of two, or 0 for none).
    pub(crate) fn segments(self, max: usize, boundary: usize) -> impl Iterator<Item = Run> {
        let mut rest = self;
        core::iter::from_fn(move || {
            if rest.pages == 0 {
                return None;
            }
            let mut pages = rest.pages.min(max.max(1));
            if boundary != 0 {
                pages = pages.min(boundary - (rest.pfn & (boundary - 1)));
            }
            let piece = Run { pages, ..rest };
            rest = Run {
                page: rest.page + pages,
                pfn: rest.pfn + pages,
                pages: rest.pages - pages,
            };
            Some(piece)
        })
    }
}

#[kunit_tests(udmabuf_extent)]
mod tests {
    use super::*;

    fn extents(items: &[&[(usize, usize)]]) -> Result<Extents> {
        let mut extents = Extents::new();
        for item in items {
            extents.start_item();
            for &(pfn, pages) in *item {
                extents.push(pfn, pages)?;
            }
        }
        Ok(extents)
    }

    fn run(page: usize, pfn: usize, pages: usize) -> Run {
        Run { page, pfn, pages }
    }

    #[test]
    fn empty() {
        let e = Extents::new();
        assert_eq!((e.len(), e.pages()), (0, 0));
        assert_eq!(e.find(0), None);
        assert!(e.iter().next().is_none());
    }

    #[test]
    fn contiguous_pages_are_one_extent() -> Result {
        let e = extents(&[&[(100, 1), (101, 1), (102, 512)]])?;
        assert_eq!((e.len(), e.pages()), (1, 514));
        assert_eq!(e.find(513), Some(run(0, 100, 514)));
        assert_eq!(e.find(514), None);
        Ok(())
    }

    #[test]
    fn a_gap_a_step_back_and_a_repeat_begin_another() -> Result {
        let e = extents(&[&[(100, 2), (103, 1), (102, 1), (102, 1)]])?;
        assert_eq!((e.len(), e.pages()), (4, 5));
        assert_eq!(e.find(1), Some(run(0, 100, 2)));
        assert_eq!(e.find(2), Some(run(2, 103, 1)));
        assert_eq!(e.find(3), Some(run(3, 102, 1)));
        assert_eq!(e.find(4), Some(run(4, 102, 1)));
        Ok(())
    }

    #[test]
    fn items_are_never_merged() -> Result {
        let e = extents(&[&[(100, 2)], &[(102, 2)], &[], &[(104, 1)]])?;
        assert_eq!((e.len(), e.pages()), (3, 5));
        assert_eq!(e.find(2), Some(run(2, 102, 2)));
        Ok(())
    }

    #[test]
    fn iteration_visits_every_page_once_in_order() -> Result {
        let e = extents(&[&[(7, 3), (20, 1)], &[(21, 5)]])?;
        let mut next = 0;
        for run in e.iter() {
            assert_eq!(run.page, next);
            next += run.pages;
        }
        assert_eq!(next, e.pages());
        Ok(())
    }

    #[test]
    fn shrinking_keeps_the_content() -> Result {
        let mut e = Extents::new();
        for page in 0..1000 {
            e.push(page * 2, 1)?;
        }
        e.shrink();
        assert_eq!((e.len(), e.pages()), (1000, 1000));
        assert_eq!(e.find(999), Some(run(999, 1998, 1)));
        Ok(())
    }

    #[test]
    fn pfn_of_pages_inside_and_outside() {
        let r = run(10, 100, 4);
        assert_eq!(r.pfn_of(9), None);
        assert_eq!(r.pfn_of(10), Some(100));
        assert_eq!(r.pfn_of(13), Some(103));
        assert_eq!(r.pfn_of(14), None);
    }

    #[test]
    fn segments_of_at_most_max_pages() {
        let mut s = run(10, 100, 9).segments(4, 0);
        assert_eq!(s.next(), Some(run(10, 100, 4)));
        assert_eq!(s.next(), Some(run(14, 104, 4)));
        assert_eq!(s.next(), Some(run(18, 108, 1)));
        assert_eq!(s.next(), None);
        assert_eq!(run(0, 0, 8).segments(8, 0).count(), 1);
        assert_eq!(run(0, 0, 3).segments(0, 0).count(), 3);
    }

    #[test]
    fn segments_stop_at_a_boundary() {
        let mut s = run(0, 1022, 5).segments(usize::MAX, 1024);
        assert_eq!(s.next(), Some(run(0, 1022, 2)));
        assert_eq!(s.next(), Some(run(2, 1024, 3)));
        assert_eq!(s.next(), None);
        assert_eq!(run(0, 1024, 1024).segments(usize::MAX, 1024).count(), 1);
    }
}
