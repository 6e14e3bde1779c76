// SPDX-License-Identifier: GPL-2.0

//! Memory of a size that a user chooses, for which nobody is killed.
//!
//! C headers: [`include/linux/slab.h`](srctree/include/linux/slab.h),
//! [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)
//!
//! `kernel::alloc` has no flag for that: where memory is short, single pages never fail, and the OOM
//! killer makes room, at whoever's cost.

use super::helpers;
use crate::merge::Word;
use core::{
    mem::size_of,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// Words of zeroes, charged to the caller's memory cgroup; freed on drop.
///
/// # Invariants
///
/// `start` is valid for `len` words that are ours.
pub(crate) struct Zeroes {
    start: NonNull<Word>,
    len: usize,
}

// SAFETY: The words are ours alone.
unsafe impl Send for Zeroes {}

impl Zeroes {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(len: usize) -> Result<Self> {
        let flags = bindings::GFP_KERNEL_ACCOUNT
            | bindings::__GFP_NOWARN
            | 1 << bindings::___GFP_RETRY_MAYFAIL_BIT;
        let size = len.checked_mul(size_of::<Word>()).ok_or(ENOMEM)?;
        // What is larger than a page need not be one piece, and others' memory is not moved for it.
        let start = match size <= PAGE_SIZE {
            // SAFETY: May sleep.
            true => unsafe { helpers::kvzalloc(size, flags) },
            // SAFETY: As above.
            false => unsafe { helpers::vmalloc(size, flags | bindings::__GFP_ZERO) },
        };
        // INVARIANT: Just allocated.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
            len,
        })
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Word] {
        // SAFETY: Valid and ours by the type invariant; zeroes are words.
        unsafe { core::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Zeroes {
    fn drop(&mut self) {
        // SAFETY: Allocated by `kvzalloc()` or `__vmalloc()`.
        unsafe { bindings::kvfree(self.start.as_ptr().cast()) };
    }
}
