// SPDX-License-Identifier: GPL-2.0

//! The pages of a buffer as runs of physically contiguous ones.

use crate::ffi::{
    memory::Array,
    sort::sort, //
};
use core::{
    mem::size_of,
    ops::Range,
    slice, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Where an extent lies, and where the buffer goes on behind it.
#[derive(Clone, Copy)]
struct Extent {
    /// First page frame.
    pfn: usize,
    /// Page index in the buffer behind the last page.
    end: usize,
}

/// An extent, a part of one, or several that follow each other in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Page index in the buffer.
    pub(crate) page: usize,
    /// Page frame of that page.
    pub(crate) pfn: usize,
    /// Length, in pages.
    pub(crate) pages: usize,
}

/// All pages of a buffer, in order; 16 bytes for each extent.
///
/// # Invariants
///
/// - `end` grows strictly from extent to extent.
/// - An extent lies within one item of the request: what was pinned by one call is found again
///   by walking one extent.
/// - `pages` is the last `end`, and `behind` the page frame behind the last extent.
/// - `runs` is the number of extents that do not begin where the one before them ends.
/// - While `many` is empty, there is at most one extent: `first`, if there are pages.
pub(crate) struct Extents {
    /// Most buffers are one piece, which takes no memory of its own.
    first: Extent,
    many: Array<Extent>,
    pages: usize,
    behind: usize,
    runs: usize,
}

/// No page frame has this number.
const NOWHERE: usize = usize::MAX;

impl Extents {
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no extents.
        Self {
            first: Extent { pfn: 0, end: 0 },
            many: Array::new(),
            pages: 0,
            behind: NOWHERE,
            runs: 0,
        }
    }

    fn as_slice(&self) -> &[Extent] {
        match (self.many.is_empty(), self.pages) {
            (false, _) => &self.many,
            (true, 0) => &[],
            (true, _) => slice::from_ref(&self.first),
        }
    }

    /// Size of the buffer, in pages.
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Number of extents.
    pub(crate) fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Appends stretches of page frames: the first one of each, and how many there are, which is not 0.
    /// There are `count` of them, or fewer, all of one item: that of the last extent, or another. Each
    /// becomes an extent, but for the first one if that continues the last extent.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINVAL` if there are more than `count`; nothing was appended then.
    pub(crate) fn append(
        &mut self,
        same_item: bool,
        count: usize,
        mut stretches: impl Iterator<Item = (usize, usize)>,
    ) -> Result {
        let Some((pfn, pages)) = stretches.next() else {
            return Ok(());
        };
        let mut others = count.checked_sub(1).ok_or(EINVAL)?;
        // INVARIANT: Of the same item, says the caller; `end` grows, here and below.
        let grows = same_item && pfn == self.behind;
        if self.pages > 0 || others > 0 {
            self.make_room(others + usize::from(!grows))?;
        }
        let old = self.many.len();
        let first = Extent {
            pfn,
            end: self.pages + pages,
        };
        let is_only = self.pages == 0 && others == 0;
        if !grows && !is_only {
            self.many.push_within_capacity(first)?;
        }
        let mut runs = self.runs + usize::from(pfn != self.behind);
        let mut end = first.end;
        let mut behind = pfn + pages;
        for (pfn, pages) in stretches {
            end += pages;
            runs += usize::from(pfn != behind);
            behind = pfn + pages;
            let is_over = others == 0;
            others = others.wrapping_sub(1);
            if is_over || self.many.push_within_capacity(Extent { pfn, end }).is_err() {
                self.many.truncate(old);
                return Err(EINVAL);
            }
        }
        if is_only {
            self.first = first;
        } else if grows {
            match self.many.get_mut(old.wrapping_sub(1)) {
                Some(last) => last.end = first.end,
                None => self.first.end = first.end,
            }
        }
        self.pages = end;
        self.behind = behind;
        self.runs = runs;
        Ok(())
    }

    /// Appends `pages` > 0 pages from page frame `pfn` on: one stretch, in few steps.
    ///
    /// # Errors
    ///
    /// As of [`append`](Self::append).
    #[inline]
    pub(crate) fn push(&mut self, same_item: bool, pfn: usize, pages: usize) -> Result {
        let end = self.pages + pages;
        let extent = Extent { pfn, end };
        let follows = pfn == self.behind;
        // INVARIANT: As in `append()`.
        match (follows && same_item, self.many.last_mut()) {
            (true, Some(last)) => last.end = end,
            (true, None) => self.first.end = end,
            (false, None) if self.pages == 0 => self.first = extent,
            (false, _) => {
                self.make_room(1)?;
                self.many.push_within_capacity(extent)?;
            }
        }
        self.pages = end;
        self.behind = pfn + pages;
        self.runs += usize::from(!follows);
        Ok(())
    }

    /// Makes room in `many` for more extents, if there are any, and sees to it that all are there.
    fn make_room(&mut self, more: usize) -> Result {
        let has_moved = !self.many.is_empty() || self.pages == 0;
        match has_moved && more <= self.many.capacity() - self.many.len() || more == 0 {
            true => Ok(()),
            false => self.grow(more),
        }
    }

    /// As many again, so that growing takes little of the time; the first ones at once, for most buffers
    /// come in one batch.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) -> Result {
        let old = self.len();
        let additional = more.max(old) + (old - self.many.len());
        self.many
            .reserve(additional, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        if self.many.len() < old {
            // INVARIANT: There is one extent, and it moves.
            self.many.push_within_capacity(self.first)?;
        }
        Ok(())
    }

    /// Gives back the memory kept for growing.
    pub(crate) fn shrink(&mut self) {
        let unused = self.many.capacity() - self.many.len();
        if unused * size_of::<Extent>() >= PAGE_SIZE {
            self.shrink_to_fit();
        }
    }

    #[cold]
    #[inline(never)]
    fn shrink_to_fit(&mut self) {
        // Failure means that the memory is kept, which harms nobody.
        let flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        if let Ok(mut fitting) = Array::with_capacity(self.many.len(), flags) {
            if fitting.extend_from_slice(&self.many, flags).is_ok() {
                self.many = fitting;
            }
        }
    }

    fn run(&self, index: usize) -> Run {
        let page = match index {
            0 => 0,
            _ => self.as_slice()[index - 1].end,
        };
        let Extent { pfn, end } = self.as_slice()[index];
        Run {
            page,
            pfn,
            pages: end - page,
        }
    }

    /// The extent that holds page index `page`, whole.
    pub(crate) fn find(&self, page: usize) -> Option<Run> {
        let index = self.index(page);
        (index < self.len()).then(|| self.run(index))
    }

    /// Calls `each` with the page frame of each page, in order. It makes no [`Run`] of each extent, which shows
    /// where extents are short.
    #[inline]
    pub(crate) fn each_frame(&self, mut each: impl FnMut(usize)) {
        let mut page = 0;
        for &Extent { mut pfn, end } in self.as_slice() {
            while page < end {
                each(pfn);
                pfn = pfn.wrapping_add(1);
                page += 1;
            }
        }
    }

    /// All extents, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Run> + '_ {
        self.iter_from(0)
    }

    /// The extents from the one that holds page index `page` on, in order.
    pub(crate) fn iter_at(&self, page: usize) -> impl Iterator<Item = Run> + '_ {
        self.iter_from(self.index(page))
    }

    /// All pages, in as few pieces as there can be: one may span several items of the request.
    pub(crate) fn runs(&self) -> impl Iterator<Item = Run> + '_ {
        let mut rest = self.as_slice();
        let mut page = 0;
        core::iter::from_fn(move || {
            let (&Extent { pfn, mut end }, mut others) = rest.split_first()?;
            while let Some((next, behind)) = others.split_first() {
                if next.pfn != pfn + (end - page) {
                    break;
                }
                end = next.end;
                others = behind;
            }
            let run = Run {
                page,
                pfn,
                pages: end - page,
            };
            rest = others;
            page = end;
            Some(run)
        })
    }

    /// The first page frame of a range of page indices, if its pages are all there and one piece.
    pub(crate) fn contiguous(&self, range: &Range<usize>) -> Option<usize> {
        let mut parts = self
            .iter_at(range.start)
            .map_while(|extent| extent.within(range));
        let first = parts.next()?;
        let mut end = first.pfn + first.pages;
        for part in parts {
            if part.pfn != end {
                return None;
            }
            end += part.pages;
        }
        (end - first.pfn == range.len()).then_some(first.pfn)
    }

    /// Whether a page is in the buffer more than once.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn has_repeats(&self) -> Result<bool> {
        let mut frames = KVVec::with_capacity(self.run_count(), GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        for run in self.runs() {
            frames.push_within_capacity((run.pfn, run.pfn + run.pages))?;
        }
        sort(&mut frames);
        Ok(frames.windows(2).any(|pair| pair[1].0 < pair[0].1))
    }

    /// How many [`runs`](Self::runs) there are.
    pub(crate) fn run_count(&self) -> usize {
        self.runs
    }

    fn iter_from(&self, index: usize) -> impl Iterator<Item = Run> + '_ {
        let mut page = match index {
            0 => 0,
            _ => self.as_slice()[index - 1].end,
        };
        self.as_slice()[index..]
            .iter()
            .map(move |&Extent { pfn, end }| {
                let run = Run {
                    page,
                    pfn,
                    pages: end - page,
                };
                page = end;
                run
            })
    }

    /// Which extent holds page index `page`; behind the last there is none.
    fn index(&self, page: usize) -> usize {
        self.as_slice().partition_point(|extent| extent.end <= page)
    }
}

impl Run {
    /// The page frame of page index `page`, if the run holds it.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn pfn_of(self, page: usize) -> Option<usize> {
        self.range()
            .contains(&page)
            .then(|| self.pfn + (page - self.page))
    }

    /// The page indices of the run.
    pub(crate) fn range(self) -> Range<usize> {
        self.page..self.page + self.pages
    }

    /// The part of the run that lies in `range` of page indices; not empty, if there is any.
    pub(crate) fn within(self, range: &Range<usize>) -> Option<Run> {
        let page = self.page.max(range.start);
        let end = self.range().end.min(range.end);
        (page < end).then(|| Run {
            page,
            pfn: self.pfn + (page - self.page),
            pages: end - page,
        })
    }

    /// How many [`segments`](Self::segments) there are.
    pub(crate) fn segment_count(self, max: usize, boundary: usize) -> usize {
        match boundary {
            _ if self.fits(max, boundary) => 1,
            0 => self.pages.div_ceil(max.max(1)),
            _ => self.segments(max, boundary).count(),
        }
    }

    /// Whether it need not be cut.
    #[inline]
    fn fits(self, max: usize, boundary: usize) -> bool {
        let in_front = self.pfn & boundary.wrapping_sub(1);
        self.pages <= max && (boundary == 0 || self.pages <= boundary - in_front)
    }

    /// Cuts the run where a device needs it cut: into pieces of at most `max` pages that do not
    /// cross a multiple of `boundary` page frames (a power of two, or 0 for none).
    pub(crate) fn segments(self, max: usize, boundary: usize) -> impl Iterator<Item = Run> {
        let mut rest = self;
        core::iter::from_fn(move || {
            if rest.pages == 0 {
                return None;
            }
            if rest.fits(max, boundary) {
                let whole = rest;
                rest.pages = 0;
                return Some(whole);
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
            for (index, &(pfn, pages)) in item.iter().enumerate() {
                extents.push(index > 0, pfn, pages)?;
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
    fn each_frame_comes_once() -> Result {
        let e = extents(&[&[(7, 3), (20, 1)], &[(21, 2), (7, 1)]])?;
        let mut frames = KVec::with_capacity(e.pages(), GFP_KERNEL)?;
        e.each_frame(|pfn| frames.push_within_capacity(pfn).unwrap_or(()));
        assert_eq!(frames[..], [7, 8, 9, 20, 21, 22, 7]);
        Ok(())
    }

    #[test]
    fn many_at_once_are_as_one_by_one() -> Result {
        // Cut where a stretch ends, or where it might go on.
        let stretches = [(100, 3), (7, 5), (3, 1)];
        let halves = [(100, 2), (102, 1), (7, 5), (3, 1)];
        let one_by_one = extents(&[&halves])?;
        for (some, others) in [
            (&stretches[..0], &stretches[..]),
            (&stretches[..1], &stretches[1..]),
            (&stretches[..2], &stretches[2..]),
            (&stretches[..], &stretches[3..]),
            (&halves[..1], &halves[1..]),
        ] {
            let mut e = Extents::new();
            for part in [some, others] {
                e.append(true, part.len(), part.iter().copied())?;
            }
            assert!(e.iter().eq(one_by_one.iter()));
            assert_eq!(e.run_count(), one_by_one.run_count());
        }
        Ok(())
    }

    #[test]
    fn more_than_was_said_is_not_appended() -> Result {
        let many = || (0..1000).map(|page| (page * 2, 1));
        let mut e = extents(&[&[(100, 1), (200, 1)]])?;
        assert!(e.append(true, 1, many()).is_err());
        assert!(e.iter().eq([run(0, 100, 1), run(1, 200, 1)]));
        e.push(true, 201, 1)?;
        assert!(e.iter().eq([run(0, 100, 1), run(1, 200, 2)]));

        let mut e = Extents::new();
        assert!(e.append(false, 2, many()).is_err());
        e.push(false, 100, 1)?;
        e.push(true, 200, 1)?;
        assert!(e.iter().eq([run(0, 100, 1), run(1, 200, 1)]));

        // Room for two, of which one came.
        let mut e = Extents::new();
        e.append(false, 2, [(100, 1)].into_iter())?;
        let more = e.append(true, 1, [(101, 1), (500, 1)].into_iter());
        assert_eq!(more.err(), Some(EINVAL));
        assert!(e.iter().eq([run(0, 100, 1)]));
        e.append(true, 1, [(101, 1)].into_iter())?;
        assert!(e.iter().eq([run(0, 100, 2)]));
        Ok(())
    }

    #[test]
    fn shrinking_keeps_the_content() -> Result {
        let mut e = Extents::new();
        for page in 0..1000 {
            e.push(true, page * 2, 1)?;
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
    fn iteration_may_begin_in_the_middle() -> Result {
        let e = extents(&[&[(7, 3), (20, 1), (50, 2)]])?;
        assert!(e.iter_at(2).eq(e.iter()));
        assert!(e.iter_at(3).eq(e.iter().skip(1)));
        assert!(e.iter_at(5).eq(e.iter().skip(2)));
        assert_eq!(e.iter_at(6).next(), None);
        Ok(())
    }

    #[test]
    fn runs_span_items() -> Result {
        let e = extents(&[&[(100, 2)], &[(102, 2), (200, 1)], &[(201, 1)], &[(7, 1)]])?;
        assert_eq!(e.len(), 5);
        let runs = [run(0, 100, 4), run(4, 200, 2), run(6, 7, 1)];
        assert!(e.runs().eq(runs));
        assert_eq!(e.run_count(), 3);
        assert_eq!(Extents::new().run_count(), 0);
        Ok(())
    }

    #[test]
    fn contiguous_ranges() -> Result {
        let e = extents(&[&[(100, 2)], &[(102, 2), (200, 1)]])?;
        assert_eq!(e.contiguous(&(0..4)), Some(100));
        assert_eq!(e.contiguous(&(1..4)), Some(101));
        assert_eq!(e.contiguous(&(4..5)), Some(200));
        assert_eq!(e.contiguous(&(3..5)), None);
        // Behind the buffer, and across its end.
        assert_eq!(e.contiguous(&(5..6)), None);
        assert_eq!(e.contiguous(&(4..6)), None);
        Ok(())
    }

    #[test]
    fn the_part_within_a_range() {
        let r = run(10, 100, 4);
        assert_eq!(r.within(&(0..20)), Some(r));
        assert_eq!(r.within(&(11..13)), Some(run(11, 101, 2)));
        assert_eq!(r.within(&(13..99)), Some(run(13, 103, 1)));
        assert_eq!(r.within(&(0..10)), None);
        assert_eq!(r.within(&(14..15)), None);
    }

    #[test]
    fn segments_are_as_many_as_counted_and_within_limits() {
        for pages in [1, 2, 7, 8, 9, 64] {
            for max in [0, 1, 3, 8, usize::MAX] {
                for boundary in [0, 4, 32] {
                    let r = run(5, 1022, pages);
                    let counted = r.segment_count(max, boundary);
                    assert_eq!(counted, r.segments(max, boundary).count());
                    let mut next = r.page;
                    for s in r.segments(max, boundary) {
                        assert!(s.page == next && s.pfn - r.pfn == s.page - r.page);
                        assert!(0 < s.pages && s.pages <= max.max(1));
                        let last = s.pfn + s.pages - 1;
                        assert!(boundary == 0 || s.pfn / boundary == last / boundary);
                        next += s.pages;
                    }
                    assert_eq!(next, r.range().end);
                }
            }
        }
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
