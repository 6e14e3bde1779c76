// SPDX-License-Identifier: GPL-2.0

//! Memory that user space and devices may write while it is looked at.
//!
//! C counterparts: `READ_ONCE()` and `WRITE_ONCE()` in
//! [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h).

use crate::merge::{
    Memory,
    Word, //
};
use core::{
    marker::PhantomData,
    mem::size_of,
    ops::Range,
    ptr::NonNull, //
};
use kernel::page::PAGE_SIZE;

/// What has to be told of bytes that were stored, if anything.
pub(crate) trait Told {
    /// These bytes of the memory, counted from its start.
    fn stored(&self, bytes: Range<usize>);
}

/// Nobody has to be told.
pub(crate) struct Nobody;

impl Told for Nobody {
    fn stored(&self, _bytes: Range<usize>) {}
}

/// Words of a page.
pub(crate) const WORDS: usize = PAGE_SIZE / size_of::<Word>();

/// The words of a page of memory.
///
/// # Invariants
///
/// `start` is aligned and valid for [`WORDS`] words, for all of `'a`.
pub(crate) struct Words<'a, T> {
    start: NonNull<Word>,
    told: T,
    _memory: PhantomData<&'a Word>,
}

impl<T: Told> Words<'_, T> {
    /// # Safety
    ///
    /// `start` is aligned to words, and valid for reading and writing [`WORDS`] of them for all of
    /// `'_`, whoever else writes there.
    pub(super) unsafe fn new(start: NonNull<Word>, told: T) -> Self {
        // INVARIANT: Says the caller.
        Self {
            start,
            told,
            _memory: PhantomData,
        }
    }

    #[inline]
    fn at(&self, index: usize) -> *mut Word {
        // SAFETY: Within the page, whatever the index: there is a power of two of words.
        unsafe { self.start.as_ptr().add(index & (WORDS - 1)) }
    }
}

impl<T: Told> Memory for Words<'_, T> {
    #[inline]
    fn load(&self, index: usize) -> Word {
        // SAFETY: Valid and aligned by the type invariant.
        unsafe { self.at(index).read_volatile() }
    }

    #[inline]
    fn store(&self, index: usize, value: Word, bytes: Word) {
        const SIZE: usize = size_of::<Word>();
        let at = self.at(index);
        if bytes == !0 {
            // SAFETY: As above.
            unsafe { at.write_volatile(value) };
            return self.told.stored(index * SIZE..(index + 1) * SIZE);
        }
        let selected = bytes.to_ne_bytes();
        let mut first = 0;
        for (byte, value) in value.to_ne_bytes().into_iter().enumerate() {
            if selected[byte] == 0 {
                first = byte + 1;
                continue;
            }
            // SAFETY: A byte of the word.
            unsafe { at.cast::<u8>().add(byte).write_volatile(value) };
            // The end of a run of bytes.
            if selected.get(byte + 1).is_none_or(|next| *next == 0) {
                self.told
                    .stored(index * SIZE + first..index * SIZE + byte + 1);
            }
        }
    }
}
