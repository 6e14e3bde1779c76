// SPDX-License-Identifier: GPL-2.0

//! A part of a buffer.

use crate::merge::Word;
use core::{
    mem::size_of,
    ops::Range, //
};
use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
};

/// Bytes of a buffer, from `start` to before `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    start: usize,
    end: usize,
}

impl Span {
    /// All of a buffer of `pages` pages.
    pub(crate) const fn whole(pages: usize) -> Self {
        Self {
            start: 0,
            end: pages << PAGE_SHIFT,
        }
    }

    /// All of some pages.
    pub(crate) fn of_pages(pages: &Range<usize>) -> Self {
        Self {
            start: pages.start << PAGE_SHIFT,
            end: pages.end << PAGE_SHIFT,
        }
    }

    /// What `whole` has of it; something, says the caller.
    pub(crate) fn within(self, whole: Self) -> Self {
        let start = self.start.max(whole.start);
        Self {
            start,
            end: self.end.min(whole.end).max(start),
        }
    }

    /// `length` bytes from `offset` on, of a buffer of `pages` pages.
    ///
    /// # Errors
    ///
    /// `EINVAL` if that is not all within the buffer.
    pub(crate) fn new(offset: u64, length: u64, pages: usize) -> Result<Self> {
        let end = offset.checked_add(length).ok_or(EINVAL)?;
        let all = Self::whole(pages);
        if end > all.end as u64 {
            return Err(EINVAL);
        }
        // CAST: Not beyond the end of the buffer.
        Ok(Self {
            start: offset as usize,
            end: end as usize,
        })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// Its first byte.
    pub(crate) fn start(self) -> usize {
        self.start
    }

    /// Its length, in bytes.
    pub(crate) fn len(self) -> usize {
        self.end - self.start
    }

    /// The page indices of which it has a part.
    pub(crate) fn pages(self) -> Range<usize> {
        self.start >> PAGE_SHIFT..self.end.div_ceil(PAGE_SIZE)
    }

    /// The bytes of page index `page` that it has, counted from the start of the page.
    pub(crate) fn bytes_of(self, page: usize) -> Range<usize> {
        let first = page << PAGE_SHIFT;
        let within = |byte: usize| byte.saturating_sub(first).min(PAGE_SIZE);
        within(self.start)..within(self.end)
    }

    /// The words of page index `page` of which it has a part.
    pub(crate) fn words_of(self, page: usize) -> Range<usize> {
        const SIZE: usize = size_of::<Word>();
        let bytes = self.bytes_of(page);
        bytes.start / SIZE..bytes.end.div_ceil(SIZE)
    }
}

#[kunit_tests(udmabuf_span)]
mod tests {
    use super::*;

    const SIZE: u64 = PAGE_SIZE as u64;

    #[test]
    fn ends_with_the_buffer() {
        let new = |offset, length| Span::new(offset, length, 2).ok();
        assert_eq!(new(0, 2 * SIZE), Some(Span::whole(2)));
        assert!(new(2 * SIZE, 0).is_some_and(Span::is_empty));
        assert!(new(2 * SIZE - 1, 1).is_some_and(|span| span.len() == 1));
        for (offset, length) in [
            (0, 2 * SIZE + 1),
            (2 * SIZE, 1),
            (2 * SIZE + 1, 0),
            (1, u64::MAX),
            (u64::MAX, 1),
            (u64::MAX, 2),
            (u64::MAX, u64::MAX),
        ] {
            let error = Span::new(offset, length, 2).err();
            assert_eq!(error, Some(EINVAL));
        }
    }

    #[test]
    fn pages_and_words_are_rounded_outwards() -> Result {
        let words = PAGE_SIZE / size_of::<Word>();
        let span = Span::new(SIZE - 9, 18, 3)?;
        assert_eq!(span.pages(), 0..2);
        assert_eq!(span.bytes_of(0), PAGE_SIZE - 9..PAGE_SIZE);
        assert_eq!(span.words_of(0), words - 2..words);
        assert_eq!(span.words_of(1), 0..2);
        assert!(span.words_of(2).is_empty());
        let whole = Span::whole(3);
        assert_eq!(whole.pages(), 0..3);
        assert_eq!(whole.words_of(2), 0..words);
        let byte = Span::new(8, 1, 1)?;
        assert_eq!(byte.words_of(0), 1..2);
        let none = Span::new(8, 0, 1)?;
        assert!(none.is_empty() && none.words_of(0).is_empty());
        Ok(())
    }
}
