// SPDX-License-Identifier: GPL-2.0

//! Which pages devices may write, over all buffers.
//!
//! A bounce buffer is copied back whole. If anything else wrote to the same pages since it was
//! filled, that is overwritten by an older copy, and the DMA API has no way to copy less. So a
//! device may write to a bounce buffer of some pages only if nothing else writes to those pages:
//! no other device, through whatever dma-buf, and not itself through a second place of the same
//! page in a buffer, which has a bounce buffer of its own.
//!
//! Only the DMA API knows what it bounces, and for a device that does not snoop it does not tell.
//! Such a device counts as bounced if it may be, that is, if it does not reach all memory.
//!
//! What else was considered:
//!
//! - To copy back only what the device wrote: nobody knows what that is. `DMA_BUF_IOCTL_SYNC` has
//!   no ranges, so `dma_sync_single_range_for_cpu()` has none to be called with.
//! - To compare the bounce buffer with what it was filled with: it belongs to the DMA API.
//! - To refill it whenever something else has written: devices do not tell when they do, and
//!   refilling it (`dma_sync_sg_for_device()`) destroys what its own device wrote meanwhile.
//! - To let the other writer bounce too, into the same buffer: the DMA API allots one to each
//!   mapping.
//! - To map for writing, and to bring nothing home until somebody begins a CPU access: that only
//!   puts the copy off.
//!
//! What it costs: importers that map whatever they import as `DMA_BIDIRECTIONAL`, as DRM does
//! (`drm_gem_prime_import_dev()`), count as writers even if they only scan out. If one of two such
//! devices bounces, the second to be mapped is refused. CPU writes need no claim: a bracket
//! refreshes the bounce buffer at its end, and what a device writes while a write bracket is open
//! is that device's mistake, see `attach.rs`.
//!
//! # Locking
//!
//! One mutex for all claims, taken last: under the mutex of a buffer's attachments.

use super::{
    folio::PinnedPages,
    helpers, //
};
use crate::extent::Extents;
use core::{
    mem::size_of,
    ops::Range, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock, Arc,
    }, //
};

global_lock! {
    // SAFETY: `init()` is called when the module is loaded, before the device exists.
    unsafe(uninit) static CLAIMS: Mutex<Claims> = Claims {
        active: KVec::new(),
        bounced: 0,
        next: 0,
    };
}

/// To be called when the module is loaded.
pub(crate) fn init() {
    static DONE: Atomic<bool> = Atomic::new(false);

    if !DONE.xchg(true, Relaxed) {
        // SAFETY: The flag lets just one call through.
        unsafe { CLAIMS.init() };
    }
}

struct Claims {
    active: KVec<Active>,
    /// How many of them are bounced.
    bounced: usize,
    next: u64,
}

struct Active {
    id: u64,
    bounced: bool,
    pages: Arc<PinnedPages>,
}

/// The right of a device to write to all pages of a buffer; given up on drop.
pub(super) struct Claim(u64);

impl Claim {
    /// # Errors
    ///
    /// - `EBUSY` if one of two writers would have to be bounced;
    /// - `ENOMEM`.
    pub(super) fn new(pages: &Arc<PinnedPages>, bounced: bool) -> Result<Self> {
        let mut claims = CLAIMS.lock();
        // Only where something bounces is there anything to compare.
        if bounced || claims.bounced > 0 {
            let ours = pages.extents();
            if bounced && share_frames(&[ours])? {
                return Err(EBUSY);
            }
            for other in &claims.active {
                if (bounced || other.bounced) && share_frames(&[ours, other.pages.extents()])? {
                    return Err(EBUSY);
                }
            }
        }
        let id = claims.next;
        let active = Active {
            id,
            bounced,
            pages: pages.clone(),
        };
        claims.active.push(active, GFP_KERNEL)?;
        claims.next += 1;
        claims.bounced += usize::from(bounced);
        Ok(Self(id))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut claims = CLAIMS.lock();
        // The latest is the likeliest.
        let found = claims.active.iter().rposition(|active| active.id == self.0);
        let Some(active) = found.and_then(|index| claims.active.remove(index).ok()) else {
            return;
        };
        claims.bounced -= usize::from(active.bounced);
        if claims.active.is_empty() {
            // Nothing stays allocated when the module is unloaded.
            claims.active = KVec::new();
        }
    }
}

/// Whether a page frame is in two places of one or several buffers, no matter of which.
///
/// # Errors
///
/// `ENOMEM`.
fn share_frames(buffers: &[&Extents]) -> Result<bool> {
    let extents = buffers.iter().map(|buffer| buffer.len()).sum();
    let mut frames = KVVec::<Range<usize>>::with_capacity(extents, GFP_KERNEL | __GFP_NOWARN)?;
    for run in buffers.iter().flat_map(|buffer| buffer.iter()) {
        frames.push(run.pfn..run.pfn + run.pages, GFP_KERNEL)?;
    }

    // SAFETY: The elements are of that size, and `by_start` compares two of them.
    unsafe {
        helpers::sort(
            frames.as_mut_ptr().cast(),
            frames.len(),
            size_of::<Range<usize>>(),
            Some(by_start),
            None,
        )
    };
    Ok(frames.windows(2).any(|pair| pair[1].start < pair[0].end))
}

/// # Safety
///
/// Called by `sort()` on ranges.
unsafe extern "C" fn by_start(one: *const c_void, other: *const c_void) -> c_int {
    // SAFETY: It is a range.
    let one = unsafe { &*one.cast::<Range<usize>>() };
    // SAFETY: As above.
    let other = unsafe { &*other.cast::<Range<usize>>() };
    one.start.cmp(&other.start) as c_int
}

#[kunit_tests(udmabuf_claim)]
mod tests {
    use super::*;
    use crate::{
        buffer::test::pinned,
        ffi::memfd::test::memfd, //
    };

    /// Whether a claim is refused while others are held.
    fn refused(
        held: &[(&Arc<PinnedPages>, bool)],
        pages: &Arc<PinnedPages>,
        bounced: bool,
    ) -> Result<bool> {
        let mut claims = KVec::new();
        for &(pages, bounced) in held {
            claims.push(Claim::new(pages, bounced)?, GFP_KERNEL)?;
        }
        match Claim::new(pages, bounced) {
            Ok(_) => Ok(false),
            Err(error) if error == EBUSY => Ok(true),
            Err(error) => Err(error),
        }
    }

    #[test]
    fn one_writer_where_anything_bounces() -> Result {
        let memfd = memfd(8)?;
        let pages = pinned(&memfd, &[(0, 8)])?;
        for (old, new) in [(false, false), (false, true), (true, false), (true, true)] {
            assert_eq!(refused(&[(&pages, old)], &pages, new)?, old || new);
        }
        assert!(!refused(&[], &pages, true)?);
        Ok(())
    }

    #[test]
    fn in_another_buffer_over_the_same_pages() -> Result {
        let memfd = memfd(8)?;
        let one = pinned(&memfd, &[(0, 5)])?;
        let two = pinned(&memfd, &[(4, 4)])?;
        let three = pinned(&memfd, &[(5, 3)])?;
        assert!(refused(&[(&one, true)], &two, false)?);
        assert!(refused(&[(&one, false)], &two, true)?);
        assert!(!refused(&[(&one, true)], &three, true)?);
        assert!(refused(&[(&one, false), (&three, true)], &two, false)?);
        Ok(())
    }

    #[test]
    fn the_same_page_twice_in_a_buffer() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 3), (2, 1)])?;
        assert!(refused(&[], &pages, true)?);
        assert!(!refused(&[], &pages, false)?);
        Ok(())
    }

    #[test]
    fn frames_in_two_places() -> Result {
        let extents = |items: &[(usize, usize)]| -> Result<Extents> {
            let mut extents = Extents::new();
            for &(pfn, pages) in items {
                extents.start_item();
                extents.push(pfn, pages)?;
            }
            Ok(extents)
        };
        let one = extents(&[(100, 10), (50, 5)])?;
        let beside = extents(&[(110, 3), (55, 45)])?;
        let inside = extents(&[(1, 1), (104, 1)])?;
        let around = extents(&[(90, 100)])?;
        assert!(!share_frames(&[&one])?);
        assert!(!share_frames(&[&one, &beside])?);
        assert!(share_frames(&[&one, &inside])?);
        assert!(share_frames(&[&inside, &one])?);
        assert!(share_frames(&[&one, &around])?);
        assert!(share_frames(&[&one, &one])?);
        assert!(share_frames(&[&extents(&[(7, 2), (8, 1)])?])?);
        assert!(!share_frames(&[&extents(&[(9, 1), (7, 2)])?])?);
        Ok(())
    }

    #[test]
    fn what_is_given_up_makes_room() -> Result {
        let memfd = memfd(4)?;
        let pages = pinned(&memfd, &[(0, 4)])?;
        for _ in 0..3 {
            assert!(!refused(&[], &pages, true)?);
        }
        drop(Claim::new(&pages, true)?);
        assert!(!refused(&[(&pages, false)], &pages, false)?);
        Ok(())
    }
}
