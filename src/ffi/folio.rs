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
use crate::extent::{
    Extents,
    Run, //
};
use core::{
    mem::size_of,
    ptr, //
};
use kernel::{
    alloc::flags::GFP_KERNEL,
    bindings,
    page::PAGE_SHIFT,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Where the `struct page` of a page frame is.
#[derive(Clone, Copy)]
pub(super) struct Memmap {
    /// Of page frame 0, whether there is one or not.
    origin: *mut bindings::page,
}

impl Memmap {
    /// Whether `struct page`s are as contiguous as page frames.
    const IS_LINEAR: bool = cfg!(any(CONFIG_SPARSEMEM_VMEMMAP, CONFIG_FLATMEM));

    pub(super) fn new() -> Self {
        let origin = match Self::IS_LINEAR {
            // SAFETY: Plain arithmetic then.
            true => unsafe { helpers::pfn_to_page(0) },
            false => ptr::null_mut(),
        };
        Self { origin }
    }

    /// The first frame of a folio.
    ///
    /// # Safety
    ///
    /// The folio is valid.
    #[inline]
    unsafe fn pfn(self, folio: *mut bindings::folio) -> usize {
        match Self::IS_LINEAR {
            // CAST: Both are addresses. The origin may be none, as frame 0 need not exist, and
            // anywhere; the difference wraps to the right number.
            true => {
                (folio as usize).wrapping_sub(self.origin as usize) / size_of::<bindings::page>()
            }
            // SAFETY: The folio is valid.
            false => unsafe { helpers::folio_pfn(folio) },
        }
    }

    /// The page of a frame. Where that is plain arithmetic, it takes no call.
    ///
    /// # Safety
    ///
    /// There is memory at this frame: the kernel's tables may have a hole where there is none.
    #[inline]
    pub(super) unsafe fn page(self, pfn: usize) -> *mut bindings::page {
        match Self::IS_LINEAR {
            true => self.origin.wrapping_add(pfn),
            // SAFETY: There is, says the caller.
            false => unsafe { helpers::pfn_to_page(pfn) },
        }
    }
}

/// Number of pages of a folio. For those of one page, which there may be many of, without a call.
///
/// # Safety
///
/// `folio` is valid.
#[inline]
unsafe fn folio_pages(folio: *mut bindings::folio) -> usize {
    // SAFETY: A folio begins with its first page.
    let flags = unsafe { &raw const (*folio.cast::<bindings::page>()).flags.f };
    // SAFETY: The flags are valid. Others change at any time, so they are loaded once and whole, as
    // `const_folio_flags()` has it; `PG_head` does not while the folio is held.
    let flags = unsafe { flags.read_volatile() };
    if flags & (1 << bindings::pageflags_PG_head) == 0 {
        return 1;
    }
    // SAFETY: As above.
    unsafe { helpers::folio_nr_pages(folio) }
}

/// Whether a folio, which the caller has pinned, has room for more pins.
///
/// A pin of a folio of one page counts as 1024 references, so that the counter overflows after two
/// million. Core refuses only a counter that has overflowed already, with a warning
/// (`try_grab_folio()` in `mm/gup.c`).
///
/// # Safety
///
/// `folio` is valid.
#[inline]
unsafe fn folio_has_room(folio: *mut bindings::folio) -> bool {
    // SAFETY: A folio begins with its first page, whose counter is the folio's.
    let count = unsafe { &raw const (*folio.cast::<bindings::page>())._refcount.counter };
    // SAFETY: The counter is valid. Others change it at any time, so it is loaded once and whole.
    unsafe { count.read_volatile() <= MOST_REFERENCES }
}

/// Half of what the counter can count. The other half is for those who have pinned and not looked
/// yet, each of whom has pinned once: that takes a million at the same moment.
const MOST_REFERENCES: c_int = c_int::MAX / 2;

/// Folios of a contiguous range of a file, pinned by one call.
///
/// # Invariants
///
/// Of all places for folios, those in `next..count` are valid, and pinned once each for this batch.
pub(crate) struct FolioBatch {
    /// The places, if these are enough: an allocation takes longer than pinning a page.
    few: [*mut bindings::folio; Self::FEW],
    /// The places otherwise; empty if not.
    many: KVec<*mut bindings::folio>,
    next: usize,
    count: usize,
    /// Pages of `folios[next]` in front of the range.
    skip: usize,
    /// Pages of the range that are not yet handed out; folios beyond them are cut short.
    pages: usize,
}

impl FolioBatch {
    /// Most folios pinned by one call: 4 KiB of pointers, however large the buffer.
    const MAX: usize = 512;
    const FEW: usize = 4;

    pub(crate) const fn new() -> Self {
        // INVARIANT: `next` is `count`: nothing is pinned.
        Self {
            few: [ptr::null_mut(); Self::FEW],
            many: KVec::new(),
            next: 0,
            count: 0,
            skip: 0,
            pages: 0,
        }
    }

    /// Makes places for the folios of `pages` pages, or as many as there may be at most.
    fn reserve(&mut self, pages: usize) -> Result {
        let wanted = pages.min(Self::MAX);
        if wanted > self.folios().len() {
            self.unpin_rest();
            self.many = KVec::from_elem(ptr::null_mut(), wanted, GFP_KERNEL)?;
        }
        Ok(())
    }

    fn folios(&self) -> &[*mut bindings::folio] {
        match self.many.is_empty() {
            true => &self.few,
            false => &self.many,
        }
    }

    fn folios_mut(&mut self) -> &mut [*mut bindings::folio] {
        match self.many.is_empty() {
            true => &mut self.few,
            false => &mut self.many,
        }
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
        let pages = usize::try_from(size >> PAGE_SHIFT)?;
        self.unpin_rest();
        self.reserve(pages)?;

        let mut offset = 0;
        // CAST: At most `MAX`.
        let room = self.folios().len() as u32;
        let pinned = pin(self.folios_mut().as_mut_ptr(), room, &mut offset);
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
        self.pages = pages;
        Ok(())
    }

    /// Hands the folios over: calls `take` with page frame and length, in pages, of each stretch of
    /// folios that lie side by side. Returns how many pages that were, and whether each folio has
    /// just one.
    ///
    /// # Errors
    ///
    /// The first of `take`, or `EINVAL` for a folio that has too many references; the batch keeps
    /// what was not taken.
    fn hand_over(&mut self, mut take: impl FnMut(usize, usize) -> Result) -> Result<(usize, bool)> {
        let folios = match self.many.is_empty() {
            true => self.few.as_slice(),
            false => self.many.as_slice(),
        };
        let memmap = Memmap::new();
        let mut left = self.pages;
        let mut single = true;
        // The stretch so far, and the page behind it.
        let (mut pfn, mut pages) = (0, 0);
        let mut behind = ptr::null_mut();
        let start = self.next;
        let folios = folios.get(start..self.count).unwrap_or_default();
        for (index, &folio) in folios.iter().enumerate() {
            // SAFETY: The folio is valid by the type invariant.
            if !unsafe { folio_has_room(folio) } {
                // As `memfd_pin_folios()` has it when the counter has overflowed.
                return Err(EINVAL);
            }
            // SAFETY: As above.
            let size = unsafe { folio_pages(folio) };
            single &= size == 1;
            if Memmap::IS_LINEAR && folio.cast() == behind {
                pages += size;
            } else {
                if pages > 0 {
                    take(pfn, pages)?;
                    left -= pages;
                    // INVARIANT: The folios leave the range, and their pins go with them.
                    self.next = start + index;
                    self.skip = 0;
                }
                // SAFETY: As above.
                pfn = unsafe { memmap.pfn(folio) } + self.skip;
                pages = size - self.skip;
            }
            behind = folio.cast::<bindings::page>().wrapping_add(size);
        }
        if pages > 0 {
            let cut = pages.min(left);
            take(pfn, cut)?;
            left -= cut;
            // INVARIANT: As above.
            self.next = self.count;
            self.skip = 0;
        }
        Ok((self.pages - left, single))
    }

    fn unpin_rest(&mut self) {
        let rest = self.next..self.count;
        if let Some(rest) = self.folios_mut().get_mut(rest) {
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
/// spans two items: one pin per folio that an extent touches. If `single`, every folio has one page.
pub(crate) struct PinnedPages {
    extents: Extents,
    single: bool,
    /// That of the dma-buf; 0 until there is one.
    inode: Atomic<u64>,
}

impl PinnedPages {
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no extents.
        Self {
            extents: Extents::new(),
            single: true,
            inode: Atomic::new(0),
        }
    }

    /// The buffer's inode number, by which user space knows it; 0 while it is being made.
    pub(crate) fn inode(&self) -> u64 {
        self.inode.load(Relaxed)
    }

    /// The buffer has this inode number.
    pub(super) fn set_inode(&self, inode: u64) {
        self.inode.store(inode, Relaxed);
    }

    /// Whether somebody maps page index `page` by way of its memfd: user mappings of the buffer do not
    /// count as such.
    pub(crate) fn is_mapped(&self, page: usize) -> bool {
        let pfn = self.extents.contiguous(&(page..page + 1));
        // SAFETY: The page is pinned.
        pfn.is_some_and(|pfn| unsafe { helpers::page_is_mapped(helpers::pfn_to_page(pfn)) })
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
    /// `ENOMEM`, or `EINVAL` for a folio that has too many references; the batch keeps what was not
    /// moved.
    // Its loop wants all registers.
    #[inline(never)]
    pub(crate) fn append(&mut self, batch: &mut FolioBatch) -> Result<usize> {
        // INVARIANT: The pins become those of the extent which now ends in these folios. Pages of one
        // folio lie side by side in the file, so no other extent of this item touches them.
        let result = batch.hand_over(|pfn, pages| self.extents.push(pfn, pages));
        // What was moved before an error may be of any size.
        self.single &= matches!(result, Ok((_, true)));
        let (moved, _) = result?;
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

    /// Unpins the folios of an extent.
    ///
    /// # Safety
    ///
    /// The pins of this extent are not used any more.
    unsafe fn unpin(&self, memmap: Memmap, run: Run) {
        let end = run.pfn + run.pages;
        if self.single {
            for pfn in run.pfn..end {
                // SAFETY: The page frame is of a pinned folio, by the type invariant.
                let page = unsafe { memmap.page(pfn) };
                // SAFETY: The page is a folio, and one pin per folio and extent is ours.
                unsafe { bindings::unpin_folio(page.cast()) };
            }
            return;
        }
        // SAFETY: The page frame is of a pinned folio, by the type invariant.
        let mut folio = unsafe { helpers::pfn_folio(run.pfn) };
        // SAFETY: The folio is still pinned.
        let mut pfn = unsafe { memmap.pfn(folio) };
        loop {
            // SAFETY: As above.
            pfn += unsafe { folio_pages(folio) };
            // SAFETY: One pin per folio and extent is ours.
            unsafe { bindings::unpin_folio(folio) };
            if pfn >= end {
                return;
            }
            // SAFETY: The extent goes on, so there is another folio, which begins here.
            folio = unsafe { memmap.page(pfn) }.cast();
        }
    }
}

impl Drop for PinnedPages {
    fn drop(&mut self) {
        let memmap = Memmap::new();
        for run in self.extents.iter() {
            // SAFETY: Nobody has the pages any more.
            unsafe { self.unpin(memmap, run) };
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
    use kernel::{
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
    fn a_batch_keeps_what_was_refused() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;

        let mut batch = FolioBatch::new();
        let locked = memfd.lock()?;
        locked
            .check_seals()?
            .pin(0, 4 * PAGE_SIZE as u64, &mut batch)?;
        let refused = batch.hand_over(|_, _| Err(ENOMEM)).is_err();
        let during = (pins(&pages, 0), pins(&pages, 3));
        drop(batch);
        let after = (pins(&pages, 0), pins(&pages, 3));
        drop(locked);

        assert!(refused);
        assert_eq!((during, after), ((2, 2), (1, 1)));
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
