// SPDX-License-Identifier: GPL-2.0

//! Which pages of a buffer the CPU may have touched.

use core::ops::Range;
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    prelude::*, //
};

/// Pages that stand for each other, as a power of two: one bit for each 64 KiB.
///
/// A fault takes about as many instructions as maintaining the lines of 16 pages does.
pub(crate) const CHUNK_ORDER: u32 = 4;

const CHUNK: usize = 1 << CHUNK_ORDER;
const BITS: usize = u64::BITS as usize;

/// A set of page indices, which may have their neighbours in it, too.
pub(crate) struct Touched {
    chunks: KVVec<u64>,
}

impl Touched {
    /// Of a buffer of `pages` pages; none is touched.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(pages: usize) -> Result<Self> {
        let words = pages.div_ceil(CHUNK * BITS);
        // Users say how large: for more than there can be, the kernel would warn.
        let chunks = KVVec::from_elem(0, words, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        Ok(Self { chunks })
    }

    /// Adds some pages.
    pub(crate) fn add(&mut self, pages: &Range<usize>) {
        for chunk in pages.start / CHUNK..pages.end.div_ceil(CHUNK) {
            if let Some(word) = self.chunks.get_mut(chunk / BITS) {
                *word |= 1 << (chunk % BITS);
            }
        }
    }

    /// None is touched any more.
    pub(crate) fn clear(&mut self) {
        self.chunks.fill(0);
    }

    /// All of them, in ranges that do not meet. The last one may go beyond the end of the buffer.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        let end = self.chunks.len() * BITS;
        let mut next = 0;
        core::iter::from_fn(move || {
            let first = self.find(next, |word| word)?;
            let last = self.find(first, |word| !word).unwrap_or(end);
            next = last;
            Some(first * CHUNK..last * CHUNK)
        })
    }

    /// From the first of them to the last.
    pub(crate) fn hull(&self) -> Option<Range<usize>> {
        let mut ranges = self.ranges();
        let first = ranges.next()?;
        Some(first.start..ranges.last().map_or(first.end, |last| last.end))
    }

    /// The first chunk from `from` on whose bit is set in what `of` makes of its word.
    fn find(&self, from: usize, of: impl Fn(u64) -> u64) -> Option<usize> {
        let first = from / BITS;
        let words = self.chunks.iter().enumerate().skip(first);
        words
            .map(|(index, &word)| {
                let before = if index == first { from % BITS } else { 0 };
                (index, of(word) >> before << before)
            })
            .find(|&(_, word)| word != 0)
            .map(|(index, word)| index * BITS + word.trailing_zeros() as usize)
    }
}

#[kunit_tests(udmabuf_touched)]
mod tests {
    use super::*;
    use core::slice;

    fn is(touched: &Touched, expected: &[Range<usize>]) -> bool {
        touched.ranges().eq(expected.iter().cloned())
    }

    #[test]
    fn whole_chunks_that_meet_are_one() -> Result {
        let mut touched = Touched::new(100 * CHUNK)?;
        assert!(is(&touched, &[]) && touched.hull().is_none());
        touched.add(&(0..1));
        touched.add(&(CHUNK..CHUNK + 1));
        touched.add(&(3 * CHUNK - 1..3 * CHUNK));
        assert_eq!(touched.hull(), Some(0..3 * CHUNK));
        touched.add(&(63 * CHUNK..71 * CHUNK + 1));
        assert!(is(&touched, &[0..3 * CHUNK, 63 * CHUNK..72 * CHUNK]));
        assert_eq!(touched.hull(), Some(0..72 * CHUNK));
        touched.clear();
        assert!(is(&touched, &[]));
        Ok(())
    }

    /// The kernel's log would have a warning.
    #[test]
    fn for_more_than_there_can_be_nothing_is_said() {
        drop(Touched::new(1 << 38));
    }

    #[test]
    fn the_last_page_and_what_is_beyond_it() -> Result {
        let mut touched = Touched::new(64 * CHUNK)?;
        touched.add(&(64 * CHUNK - 1..64 * CHUNK));
        touched.add(&(64 * CHUNK..65 * CHUNK));
        assert!(is(&touched, slice::from_ref(&(63 * CHUNK..64 * CHUNK))));
        let mut one = Touched::new(1)?;
        one.add(&(0..1));
        assert!(is(&one, slice::from_ref(&(0..CHUNK))));
        Ok(())
    }
}
