// SPDX-License-Identifier: GPL-2.0

//! Pinned folios: where they come from, where they are kept, and how they are let go.
//!
//! C header: [`include/linux/mm.h`](srctree/include/linux/mm.h); functions in `mm/gup.c`.
//!
//! A pin is owned by exactly one of [`FolioBatch`] (just pinned) and [`PinnedPages`] (part of a
//! buffer), and each releases on drop what it owns. A pinned folio is not split, for a split
//! wants no references but its own (`folio_expected_ref_count()` in `mm/huge_memory.c`), so the
//! folios of an extent can be found again by walking its page frames.
//!
//! What is in a folio that nobody has accessed, as `fallocate()` leaves one, is not cleared before
//! somebody does: it shows what was there before, and loses later what is written past its file
//! system (`SGP_FALLOC` in `mm/shmem.c`). And a folio that is clean may be dropped once its pins are
//! gone: what user mappings and devices write marks nothing. `memfd_pin_folios()` looks for neither,
//! so a folio is [made ready](make_ready) before it belongs to a buffer.

use super::{
    compat::smp_rmb,
    helpers,
    memory::Array, //
};
use crate::extent::{
    Extents,
    Run, //
};
use core::{
    iter,
    mem::{
        size_of,
        MaybeUninit, //
    },
    ptr,
    slice, //
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

/// In the flags of a folio of several pages (`PG_head`).
const HEAD: c_ulong = 1 << bindings::pageflags_PG_head;
/// In the flags of a folio whose content is what it should be (`PG_uptodate`).
const UPTODATE: c_ulong = 1 << bindings::pageflags_PG_uptodate;
/// In the flags of a folio that must not be dropped (`PG_dirty`). It stays: what is pinned is not
/// written to swap (`shrink_folio_list()` in `mm/vmscan.c`).
const DIRTY: c_ulong = 1 << bindings::pageflags_PG_dirty;
/// In the flags of a folio that somebody has locked (`PG_locked`): reclaim may have found it without a
/// pin, and be about to clear its `PG_dirty` (`pageout()`).
const LOCKED: c_ulong = 1 << bindings::pageflags_PG_locked;

/// Whether a folio with these flags, which has been pinned before they were looked at, has the flags in
/// `ready`, and keeps them.
const fn is_ready(flags: c_ulong, ready: c_ulong) -> bool {
    flags & (ready | LOCKED) == ready
}

/// The flags of a folio. Who finds `PG_uptodate` finds the content behind an `smp_rmb()`
/// (`folio_test_uptodate()`).
///
/// # Safety
///
/// `folio` is valid.
#[inline]
unsafe fn folio_flags(folio: *mut bindings::folio) -> c_ulong {
    // SAFETY: A folio begins with its first page.
    let flags = unsafe { &raw const (*folio.cast::<bindings::page>()).flags.f };
    // SAFETY: The flags are valid. Others change them at any time, so they are loaded once and whole.
    // `PG_head` stays while the folio is held.
    unsafe { flags.read_volatile() }
}

/// Clears a folio that nobody has accessed yet, as whoever did so first would (`shmem_get_folio_gfp()`
/// in `mm/shmem.c`), and has it kept when its pins are gone.
///
/// # Safety
///
/// `folio` is pinned, and its file open. The folio is not locked by this task.
#[cold]
#[inline(never)]
unsafe fn make_ready(folio: *mut bindings::folio) {
    // SAFETY: Valid, says the caller, as below; nobody locks a folio for longer than it takes to read or
    // write it.
    unsafe { helpers::folio_lock(folio) };
    // SAFETY: As above.
    if unsafe { folio_flags(folio) } & UPTODATE == 0 {
        // SAFETY: As above.
        let bytes = unsafe { folio_pages(folio) } << PAGE_SHIFT;
        // SAFETY: That is all of it, and it is locked: nobody but us is the first.
        unsafe { helpers::folio_zero_range(folio, 0, bytes) };
        // SAFETY: It has just been cleared.
        unsafe { helpers::folio_mark_uptodate(folio) };
    }
    // SAFETY: The lock keeps its file system from letting go of it.
    unsafe { bindings::folio_mark_dirty(folio) };
    // SAFETY: Locked above.
    unsafe { bindings::folio_unlock(folio) };
}

/// Whether a folio has one page (`!folio_test_large()`).
///
/// # Safety
///
/// `folio` is valid.
#[inline]
unsafe fn folio_is_single(folio: *mut bindings::folio) -> bool {
    // SAFETY: Says the caller.
    unsafe { folio_flags(folio) & HEAD == 0 }
}

/// Number of pages of a folio. For those of one page, which there may be many of, without a call.
///
/// # Safety
///
/// `folio` is valid.
#[inline]
unsafe fn folio_pages(folio: *mut bindings::folio) -> usize {
    // SAFETY: The folio is valid, here and below.
    match unsafe { folio_is_single(folio) } {
        true => 1,
        // SAFETY: As above.
        false => unsafe { helpers::folio_nr_pages(folio) },
    }
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
pub(super) const MOST_REFERENCES: c_int = c_int::MAX / 2;

/// Folios of a contiguous range of a file, pinned by one call.
///
/// # Invariants
///
/// Of all places for folios, those in `next..count` are valid, and pinned once each for this batch.
pub(crate) struct FolioBatch {
    /// The places, if these are enough: an allocation takes longer than pinning a page.
    few: [MaybeUninit<*mut bindings::folio>; Self::FEW],
    /// The places otherwise, as memory that is written by C; none if not.
    many: Array<*mut bindings::folio>,
    next: usize,
    count: usize,
    /// Pages of the first folio in front of the range.
    skip: usize,
    /// Pages of the range that are not yet handed out; folios beyond them are cut short.
    pages: usize,
    /// The flags that a folio of this file has when it is ready.
    ready: c_ulong,
}

impl FolioBatch {
    /// Most folios pinned by one call: 4 KiB of pointers, however large the buffer.
    pub(super) const MAX: usize = 512;
    /// So many need no memory besides the batch.
    pub(super) const FEW: usize = 16;

    pub(crate) const fn new() -> Self {
        // INVARIANT: `next` is `count`: nothing is pinned.
        Self {
            few: [MaybeUninit::uninit(); Self::FEW],
            many: Array::new(),
            next: 0,
            count: 0,
            skip: 0,
            pages: 0,
            ready: UPTODATE | DIRTY,
        }
    }

    /// The places.
    fn places(&mut self) -> (*mut *mut bindings::folio, usize) {
        match self.many.capacity() {
            0 => (self.few.as_mut_ptr().cast(), Self::FEW),
            room => (self.many.as_mut_ptr(), room),
        }
    }

    /// Makes places for the folios of `pages` pages, or as many as there may be at most.
    fn reserve(&mut self, pages: usize) -> Result {
        let wanted = pages.min(Self::MAX);
        if wanted > self.places().1 {
            self.unpin_rest();
            self.many = Array::with_capacity(wanted, GFP_KERNEL)?;
        }
        Ok(())
    }

    /// Replaces the content by what `pin` pins of a range of `size` bytes, of a file whose folios may be
    /// reclaimed or not.
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
        is_reclaimed: bool,
        pin: impl FnOnce(*mut *mut bindings::folio, u32, *mut usize) -> isize,
    ) -> Result {
        let pages = usize::try_from(size >> PAGE_SHIFT)?;
        self.unpin_rest();
        self.reserve(pages)?;

        let mut offset = 0;
        // CAST: At most `MAX`, below.
        let (places, room) = self.places();
        let pinned = pin(places, room.min(Self::MAX) as u32, &mut offset);
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
        self.ready = match is_reclaimed {
            true => UPTODATE | DIRTY,
            false => UPTODATE,
        };
        Ok(())
    }

    /// Those that are pinned.
    fn pinned(&self) -> &[*mut bindings::folio] {
        let places = match self.many.capacity() {
            0 => self.few.as_ptr().cast(),
            _ => self.many.as_ptr(),
        };
        // SAFETY: There are more places than that, and these are valid, by the type invariant.
        unsafe { slice::from_raw_parts(places.add(self.next), self.count - self.next) }
    }

    /// Makes all folios ready. Returns how many stretches there are of folios that lie side by side, if
    /// each folio has just one page.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a folio that has too many references, as `memfd_pin_folios()` has it when the counter
    /// has overflowed.
    fn check(&self) -> Result<Option<usize>> {
        let (mut any, mut all) = (0, self.ready);
        let mut stretches = 0;
        let mut before = ptr::null_mut();
        for &folio in self.pinned() {
            // SAFETY: The folio is valid by the type invariant.
            if !unsafe { folio_has_room(folio) } {
                return Err(EINVAL);
            }
            // SAFETY: As above.
            let flags = unsafe { folio_flags(folio) };
            any |= flags;
            all &= flags;
            // SAFETY: Both are valid by the type invariant, or the first is null.
            stretches += usize::from(!unsafe { follows(before, 1, folio) });
            before = folio;
        }
        if !is_ready(all | any & LOCKED, self.ready) {
            self.make_ready();
        }
        // Behind all looks at flags.
        smp_rmb();
        Ok((any & HEAD == 0).then_some(stretches))
    }

    /// Makes those folios ready that are not.
    #[cold]
    fn make_ready(&self) {
        for &folio in self.pinned() {
            // SAFETY: The folio is pinned by the type invariant, here and below.
            if !is_ready(unsafe { folio_flags(folio) }, self.ready) {
                // SAFETY: Its file is open while a batch is taken from it.
                unsafe { make_ready(folio) };
            }
        }
    }

    /// The stretches of folios that have just one page: page frame and length, in pages, of each.
    #[inline]
    fn stretches_of_single(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let memmap = Memmap::new();
        let mut folios = self.pinned().iter();
        iter::from_fn(move || {
            let &first = folios.next()?;
            let mut pages = 1;
            while let Some(&folio) = folios.as_slice().first() {
                // SAFETY: Both are valid by the type invariant.
                if !unsafe { follows(first, pages, folio) } {
                    break;
                }
                folios.next();
                pages += 1;
            }
            // SAFETY: The folio is valid by the type invariant.
            Some((unsafe { memmap.pfn(first) }, pages))
        })
    }

    /// The same for folios of any size, of which those at both ends may be cut, and how many there are.
    /// None is beyond the end: the lock of the inode, held for all of an item, keeps holes from being
    /// punched between two batches.
    fn stretches(&self) -> (usize, impl Iterator<Item = (usize, usize)> + '_) {
        let memmap = Memmap::new();
        let side_by_side = || {
            self.pinned().chunk_by(|&before, &folio| {
                // SAFETY: The folios are valid by the type invariant, here and below.
                let pages = unsafe { folio_pages(before) };
                // SAFETY: As above.
                unsafe { follows(before, pages, folio) }
            })
        };
        let (mut skip, mut left) = (self.skip, self.pages);
        let stretches = side_by_side().map(move |folios| {
            let (first, last) = (folios[0], folios[folios.len() - 1]);
            // SAFETY: As above.
            let first = unsafe { memmap.pfn(first) };
            // SAFETY: As above.
            let end = unsafe { memmap.pfn(last) + folio_pages(last) };
            let pfn = first + skip;
            let pages = (end - pfn).min(left);
            skip = 0;
            left -= pages;
            (pfn, pages)
        });
        (side_by_side().count(), stretches)
    }

    /// Lets go of the folios, whose pins are somebody else's now.
    fn hand_over(&mut self) {
        // INVARIANT: The folios leave the range.
        self.next = self.count;
    }

    fn unpin_rest(&mut self) {
        let rest = self.pinned();
        if !rest.is_empty() {
            // SAFETY: These folios are pinned for us by the type invariant; the array is only read.
            unsafe { bindings::unpin_folios(rest.as_ptr().cast_mut(), rest.len()) };
        }
        self.hand_over();
    }
}

/// Whether a folio lies behind another one of so many pages.
///
/// # Safety
///
/// `folio` is valid, and `before` is, or null.
#[inline]
unsafe fn follows(before: *mut bindings::folio, pages: usize, folio: *mut bindings::folio) -> bool {
    match Memmap::IS_LINEAR {
        true => folio.cast() == before.cast::<bindings::page>().wrapping_add(pages),
        false if before.is_null() => false,
        // SAFETY: Both are valid, says the caller.
        false => unsafe { helpers::folio_pfn(before) + pages == helpers::folio_pfn(folio) },
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
    pub(crate) fn set_inode(&self, inode: u64) {
        self.inode.store(inode, Relaxed);
    }

    /// Whether somebody maps page index `page` by way of its memfd: user mappings of the buffer do not
    /// count as such.
    pub(crate) fn is_mapped(&self, page: usize) -> bool {
        let pfn = self.extents.contiguous(&(page..page + 1));
        // SAFETY: The page is pinned.
        pfn.is_some_and(|pfn| unsafe { helpers::page_is_mapped(helpers::pfn_to_page(pfn)) })
    }

    /// Moves the folios of `batch` into the buffer: the continuation of the same item of the request, or the
    /// beginning of another. Returns how many pages that were.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, or `EINVAL` for a folio that has too many references; the batch keeps everything then.
    #[inline]
    pub(crate) fn append(&mut self, same_item: bool, batch: &mut FolioBatch) -> Result<usize> {
        match (batch.pages, batch.pinned()) {
            // A list may have very many of these.
            (1, &[folio]) => {
                // SAFETY: The folio is valid by the type invariant of the batch.
                unsafe { self.append_page(same_item, folio, batch.skip, batch.ready) }?;
                // INVARIANT: The pin becomes that of the extent which now ends there.
                batch.hand_over();
                Ok(1)
            }
            _ => self.append_all(same_item, batch),
        }
    }

    /// # Safety
    ///
    /// `folio` is pinned, has more than `skip` pages, and its file is open.
    #[inline]
    unsafe fn append_page(
        &mut self,
        same_item: bool,
        folio: *mut bindings::folio,
        skip: usize,
        ready: c_ulong,
    ) -> Result {
        // SAFETY: The folio is valid, says the caller, here and below.
        if !unsafe { folio_has_room(folio) } {
            return Err(EINVAL);
        }
        // SAFETY: As above.
        let flags = unsafe { folio_flags(folio) };
        if !is_ready(flags, ready) {
            // SAFETY: As above.
            unsafe { make_ready(folio) };
        }
        smp_rmb();
        self.single &= flags & HEAD == 0;
        // SAFETY: As above.
        let pfn = unsafe { Memmap::new().pfn(folio) };
        self.extents.push(same_item, pfn + skip, 1)
    }

    // Its loops want all registers.
    #[inline(never)]
    fn append_all(&mut self, same_item: bool, batch: &mut FolioBatch) -> Result<usize> {
        let single = batch.check()?;
        let before = self.extents.pages();
        match single {
            Some(count) => {
                let stretches = batch.stretches_of_single();
                self.extents.append(same_item, count, stretches)?;
            }
            None => {
                let (count, stretches) = batch.stretches();
                self.extents.append(same_item, count, stretches)?;
                self.single = false;
            }
        }
        // INVARIANT: The pins become those of the extent which now ends in these folios. Pages of one
        // folio lie side by side in the file, so no other extent of this item touches them.
        batch.hand_over();
        Ok(self.extents.pages() - before)
    }

    /// Gives back the memory kept for growing.
    pub(crate) fn shrink(&mut self) {
        self.extents.shrink();
    }

    /// Where the pages are.
    pub(crate) fn extents(&self) -> &Extents {
        &self.extents
    }

    /// How many pages are pinned: all of each folio, for each pin of it.
    pub(crate) fn pinned(&self) -> usize {
        if self.single {
            return self.extents.pages();
        }
        let memmap = Memmap::new();
        let mut pinned = 0;
        for run in self.extents.iter() {
            let end = run.pfn + run.pages;
            // SAFETY: The page frame is of a pinned folio, by the type invariant.
            let folio = unsafe { helpers::pfn_folio(run.pfn) };
            // SAFETY: As above.
            let mut pfn = unsafe { memmap.pfn(folio) };
            while pfn < end {
                // SAFETY: The extent goes on, so there is a folio, which begins here and is pinned.
                let pages = unsafe { folio_pages(memmap.page(pfn).cast()) };
                pinned += pages;
                pfn += pages;
            }
        }
        pinned
    }

    /// Unpins the folios of an extent.
    ///
    /// # Safety
    ///
    /// The pins of this extent are not used any more.
    unsafe fn unpin(memmap: Memmap, run: Run) {
        let end = run.pfn + run.pages;
        // SAFETY: The page frame is of a pinned folio, by the type invariant.
        let mut folio = unsafe { helpers::pfn_folio(run.pfn) };
        if run.pages == 1 {
            // SAFETY: One pin per folio and extent is ours.
            return unsafe { bindings::unpin_folio(folio) };
        }
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
        if self.extents.pages() == 0 {
            return;
        }
        let memmap = Memmap::new();
        match self.single {
            true => self.extents.each_frame(|pfn| {
                // SAFETY: The page frame is of a pinned folio, by the type invariant.
                let page = unsafe { memmap.page(pfn) };
                // SAFETY: The page is a folio, and nobody has it any more; one pin of it is ours for each
                // extent.
                unsafe { bindings::unpin_folio(page.cast()) };
            }),
            false => {
                for run in self.extents.iter() {
                    // SAFETY: Nobody has the pages any more.
                    unsafe { Self::unpin(memmap, run) };
                }
            }
        }
    }
}

#[kunit_tests(udmabuf_folio)]
mod tests {
    use super::*;

    #[test]
    fn who_is_locked_may_lose_its_flags() {
        let both = UPTODATE | DIRTY;
        assert!(is_ready(both | HEAD, both) && is_ready(both, UPTODATE));
        assert!(!is_ready(UPTODATE, both) && !is_ready(DIRTY, both));
        assert!(!is_ready(both | LOCKED, both));
    }
}
