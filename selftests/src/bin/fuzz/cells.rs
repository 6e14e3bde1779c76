// SPDX-License-Identifier: GPL-2.0

//! The pieces of a page that have owners of their own.
//!
//! Where devices snoop, a cell ends in the middle of a word, so that two owners share one. Where they
//! do not, a cell is of whole cache lines.

use serde::Deserialize;
use serde::Serialize;

use crate::call::Spot;

use selftests::PAGE;
use selftests::Pattern;
use selftests::pattern::Mismatch;

/// Cells of a page.
pub const CELLS: usize = 8;

/// All cells of a page.
pub const ALL: u8 = u8::MAX;

const WHOLE: usize = PAGE / CELLS;

/// How far behind a whole eighth a cell begins.
const BEYOND: [usize; CELLS + 1] = [0, 3, 1, 7, 2, 5, 6, 3, 0];

/// What a cell holds: zeroes at first, and something else after every write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version(pub u16);

impl Version {
    /// Nobody can tell: whoever wrote was killed meanwhile.
    pub const UNKNOWN: Version = Version(u16::MAX);

    /// What the cell holds after the next write.
    pub fn advance(&mut self) -> Version {
        self.0 = if self.0 + 1 == Self::UNKNOWN.0 {
            1
        } else {
            self.0 + 1
        };
        *self
    }
}

/// Where the cells begin.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub whole_lines: bool,
}

impl Grid {
    /// The offset of a cell in its page.
    pub fn start(self, cell: usize) -> usize {
        cell * WHOLE + if self.whole_lines { 0 } else { BEYOND[cell] }
    }

    /// The bytes of a [`part`] of a buffer: offset and length.
    pub fn range(self, spot: Spot, further: usize) -> (u64, u64) {
        let page = usize::from(spot.page);
        let [first, cells] = [spot.first, spot.cells].map(usize::from);
        let start = page * PAGE + self.start(first);
        let end = (page + further) * PAGE + self.start(first + cells);
        (start as u64, (end - start) as u64)
    }
}

/// The cells of a mask that has `count` from `first` on.
pub fn mask(first: u8, count: u8) -> u8 {
    let run = ((1u16 << count.min(CELLS as u8)) - 1) as u8;
    run.checked_shl(first.into()).unwrap_or(0)
}

/// The cells of a page that lie in a range: from the first cell of a spot to the last one of the same
/// spot so many pages further on.
pub fn part(page: usize, spot: Spot, further: usize) -> u8 {
    let first = usize::from(spot.page);
    if !(first..=first + further).contains(&page) {
        return 0;
    }
    let end = usize::from(spot.first) + usize::from(spot.cells);
    let from_first = if page == first { spot.first } else { 0 };
    let to_end = if page == first + further { end } else { CELLS };
    mask(from_first, CELLS as u8) & mask(0, to_end.min(CELLS) as u8)
}

/// Bytes of one version, or what is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Where they are in what is accessed.
    pub at: u64,
    pub len: u32,
    /// Where they are in the sequence of the version, which is elsewhere for every page.
    pub position: u64,
    pub version: Version,
}

impl Piece {
    /// What is there.
    pub fn bytes(&self) -> Vec<u8> {
        match self.version {
            Version(0) => vec![0; self.len as usize],
            Version(seed) => {
                Pattern::new(seed.into()).bytes(self.position as usize, self.len as usize)
            }
        }
    }

    /// Says what is wrong with the bytes that were found, if anything.
    pub fn check(&self, found: &[u8]) -> Option<String> {
        if self.version == Version::UNKNOWN {
            return None;
        }
        let at = self.at as usize;
        let mismatch = Mismatch::first(at, found, &self.bytes()).err()?;
        Some(format!("{mismatch}, of version {}", self.version.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_a_page() {
        for whole_lines in [false, true] {
            let grid = Grid { whole_lines };
            assert_eq!((grid.start(0), grid.start(CELLS)), (0, PAGE));
            assert!((0..CELLS).all(|cell| grid.start(cell) < grid.start(cell + 1)));
        }
        assert_eq!((mask(0, 8), mask(3, 2), mask(7, 5)), (ALL, 0b11000, 0x80));
    }

    #[test]
    fn part_is_what_lies_in_the_range() {
        let spot = |first, cells| Spot {
            page: 3,
            first,
            cells,
        };
        assert_eq!(
            [2, 3, 4].map(|page| part(page, spot(1, 2), 0)),
            [0, 0b110, 0]
        );
        let ends = [3, 4, 5, 6].map(|page| part(page, spot(6, 1), 2));
        assert_eq!(ends, [0b1100_0000, ALL, 0b0111_1111, 0]);
        assert_eq!(part(3, spot(0, CELLS as u8), 0), ALL);
        let grid = Grid { whole_lines: true };
        let range = grid.range(spot(1, 2), 1);
        assert_eq!(
            range,
            ((3 * PAGE + WHOLE) as u64, (PAGE + 2 * WHOLE) as u64)
        );
    }

    #[test]
    fn every_version_and_place_is_different() {
        let piece = |version, position| Piece {
            at: 0,
            len: 64,
            position,
            version: Version(version),
        };
        let one = piece(1, 0);
        assert!(one.check(&one.bytes()).is_none());
        for other in [piece(0, 0), piece(2, 0), piece(1, 64)] {
            assert!(one.check(&other.bytes()).is_some(), "{other:?}");
        }
        assert!(piece(Version::UNKNOWN.0, 0).check(&[7; 64]).is_none());
    }
}
