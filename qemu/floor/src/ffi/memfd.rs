// SPDX-License-Identifier: GPL-2.0

//! Pinning the pages of a memfd.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/memfd.h`](srctree/include/linux/memfd.h); functions in `mm/gup.c`.

use core::ptr;
use kernel::{
    alloc::flags::GFP_KERNEL,
    bindings,
    ffi::c_ulong,
    fs::file::LocalFile,
    page::PAGE_SHIFT,
    prelude::*,
    sync::aref::ARef, //
};

use super::clock;
use crate::range::FileRange;

#[allow(improper_ctypes)] // Structures are only pointed to.
extern "C" {
    #[link_name = "rust_helper_folio_nr_pages"]
    fn folio_nr_pages(folio: *const bindings::folio) -> c_ulong;
}

/// An open file that should be a memfd.
pub(crate) struct Memfd(ARef<LocalFile>);

impl Memfd {
    /// Of the calling process.
    ///
    /// # Errors
    ///
    /// `EBADF` if the descriptor is not open.
    pub(crate) fn get(fd: u32) -> Result<Self> {
        Ok(Self(LocalFile::fget(fd)?))
    }
}

/// Folios of a contiguous range of a file, pinned by one call.
///
/// # Invariants
///
/// `folios[..count]` are valid, and pinned once each for this batch. They hold a contiguous range
/// of a file that starts `skip` bytes into the first.
pub(crate) struct Batch {
    folios: KVec<*mut bindings::folio>,
    count: usize,
    skip: usize,
}

impl Batch {
    /// Most folios pinned by one call: one page of pointers.
    const MAX: usize = 512;

    /// An empty batch with all the room it will need.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        // INVARIANT: Nothing is pinned.
        Ok(Self {
            folios: KVec::from_elem(ptr::null_mut(), Self::MAX, GFP_KERNEL)?,
            count: 0,
            skip: 0,
        })
    }

    /// Pins the first folios of a range, as many as there is room for. What was pinned before is
    /// let go. Returns the ticks spent in `memfd_pin_folios()`.
    ///
    /// # Errors
    ///
    /// What `memfd_pin_folios()` says. Nothing is pinned then.
    pub(crate) fn pin(&mut self, memfd: &Memfd, range: FileRange) -> Result<u64> {
        self.unpin();

        let file = memfd.0.as_ptr();
        let (start, last) = (range.start(), range.last());
        let room = self.folios.as_mut_ptr();
        let mut skip = 0;
        let (pinned, ticks) = clock::timed(|| {
            // SAFETY: The file is open; there is room for `MAX` pointers; the function checks the
            // rest. CAST: `MAX` is small.
            unsafe {
                bindings::memfd_pin_folios(file, start, last, room, Self::MAX as u32, &mut skip)
            }
        });
        if pinned < 0 {
            // CAST: An errno.
            return Err(Error::from_errno(pinned as i32));
        }
        if pinned == 0 {
            return Err(EINVAL);
        }
        // INVARIANT: The function says so. CAST: Positive.
        self.count = pinned as usize;
        self.skip = skip;
        Ok(ticks)
    }

    /// How many folios are pinned.
    pub(crate) fn folios(&self) -> u64 {
        // CAST: At most `MAX`.
        self.count as u64
    }

    /// How many bytes of the file they hold from the range's start on, perhaps beyond its end.
    pub(crate) fn bytes(&self) -> i64 {
        let pinned = self.folios.iter().take(self.count);
        let bytes: usize = pinned
            // SAFETY: The folio is valid by the type invariant.
            .map(|&folio| unsafe { folio_nr_pages(folio) } << PAGE_SHIFT)
            .sum();
        // CAST: `MAX` folios are far smaller.
        (bytes - self.skip) as i64
    }

    /// Lets all of them go. Returns the ticks spent in `unpin_folios()`.
    pub(crate) fn unpin(&mut self) -> u64 {
        if self.count == 0 {
            return 0;
        }
        let (folios, count) = (self.folios.as_mut_ptr(), self.count);
        // INVARIANT: Pinned no longer, by the next statement.
        self.count = 0;
        // SAFETY: They were pinned for us, by the type invariant.
        let ((), ticks) = clock::timed(|| unsafe { bindings::unpin_folios(folios, count) });
        ticks
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.unpin();
    }
}
