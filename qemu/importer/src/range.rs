// SPDX-License-Identifier: GPL-2.0

//! Byte ranges, and how a range of a buffer falls onto the buffer's DMA segments.

use kernel::prelude::*;

/// A run of bus addresses.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Bus address of the first byte.
    pub(crate) address: u64,
    /// In bytes.
    pub(crate) length: u64,
}

/// A range of bytes inside something whose size was known when the range was made.
///
/// # Invariants
///
/// `length` is not zero, and `offset + length` does not overflow.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    offset: u64,
    length: u64,
}

impl Range {
    /// The `length` bytes from `offset` on, of something that has `size` bytes.
    ///
    /// Fails with [`EINVAL`] if that is no byte at all or goes beyond the end.
    pub(crate) fn new(offset: u64, length: u64, size: u64) -> Result<Self> {
        let end = offset.checked_add(length).ok_or(EINVAL)?;
        if length == 0 || end > size {
            return Err(EINVAL);
        }
        // INVARIANT: Both were just checked.
        Ok(Self { offset, length })
    }

    /// First byte.
    pub(crate) fn offset(self) -> u64 {
        self.offset
    }

    /// Number of bytes, at least one.
    pub(crate) fn length(self) -> u64 {
        self.length
    }

    /// The pieces of `segments`, which lie end to end in the buffer, that make up this range.
    pub(crate) fn split<I>(self, segments: I) -> Pieces<I>
    where
        I: Iterator<Item = Segment>,
    {
        Pieces {
            segments,
            skip: self.offset,
            left: self.length,
        }
    }
}

/// Iterator over the pieces of a range, made by [`Range::split`].
#[derive(Clone)]
pub(crate) struct Pieces<I> {
    segments: I,
    /// Bytes of the buffer before the range, from here on.
    skip: u64,
    /// Bytes of the range that no piece has covered yet.
    left: u64,
}

impl<I: Iterator<Item = Segment>> Iterator for Pieces<I> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        while self.left > 0 {
            let segment = self.segments.next()?;
            if self.skip >= segment.length {
                self.skip -= segment.length;
                continue;
            }
            let length = self.left.min(segment.length - self.skip);
            // A segment never wraps around the end of the bus. Were one to, its pieces end up at
            // the very top, where no mask but the widest admits them.
            let address = segment.address.saturating_add(self.skip);
            self.skip = 0;
            self.left -= length;
            return Some(Segment { address, length });
        }
        None
    }
}

#[kunit_tests(edu_importer_range)]
mod tests {
    use super::*;

    const fn segment(address: u64, length: u64) -> Segment {
        Segment { address, length }
    }

    #[test]
    fn new_at_every_edge() {
        for (offset, length, size, valid) in [
            (0, 1, 1, true),
            (0, 4096, 4096, true),
            (4095, 1, 4096, true),
            (1, 4095, 4096, true),
            (0, 0, 4096, false),
            (4096, 0, 4096, false),
            (0, 4097, 4096, false),
            (4095, 2, 4096, false),
            (4096, 1, 4096, false),
            (0, 1, 0, false),
            (u64::MAX, 1, u64::MAX, false),
            (u64::MAX, 2, u64::MAX, false),
            (2, u64::MAX - 1, u64::MAX, false),
            (1, u64::MAX - 1, u64::MAX, true),
        ] {
            assert_eq!(Range::new(offset, length, size).is_ok(), valid);
        }
    }

    #[test]
    fn split_at_every_edge() -> Result {
        let segments = [
            segment(0x1000, 4096),
            segment(0x9000, 8192),
            segment(0x4000, 4096),
        ];
        let cases: [(u64, u64, &[Segment]); 9] = [
            (0, 4096, &[segment(0x1000, 4096)]),
            (0, 1, &[segment(0x1000, 1)]),
            (4095, 1, &[segment(0x1fff, 1)]),
            (4095, 2, &[segment(0x1fff, 1), segment(0x9000, 1)]),
            (4096, 8192, &[segment(0x9000, 8192)]),
            (8000, 4096, &[segment(0x9f40, 4096)]),
            (12287, 3, &[segment(0xafff, 1), segment(0x4000, 2)]),
            (16383, 1, &[segment(0x4fff, 1)]),
            (
                0,
                16384,
                &[
                    segment(0x1000, 4096),
                    segment(0x9000, 8192),
                    segment(0x4000, 4096),
                ],
            ),
        ];
        for (offset, length, pieces) in cases {
            let range = Range::new(offset, length, 16384)?;
            assert!(range
                .split(segments.iter().copied())
                .eq(pieces.iter().copied()));
        }
        Ok(())
    }

    #[test]
    fn split_stops_with_the_segments() -> Result {
        let range = Range::new(4000, 4096, 8192)?;
        let short = [segment(0x1000, 4096)];
        assert!(range
            .split(short.iter().copied())
            .eq([segment(0x1fa0, 96)].iter().copied()));
        assert!(range.split(core::iter::empty()).next().is_none());
        Ok(())
    }
}
