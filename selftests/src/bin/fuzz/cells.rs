// SPDX-License-Identifier: GPL-2.0

//! The pieces of a page that have owners of their own.
//!
//! Where devices snoop, a cell ends in the middle of a word, so that two owners share one. Where they
//! do not, a cell is of whole cache lines.

use serde::Deserialize;
use serde::Serialize;

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
}

/// The cells of a mask that has `count` from `first` on.
pub fn mask(first: u8, count: u8) -> u8 {
    let run = ((1u16 << count.min(CELLS as u8)) - 1) as u8;
    run.checked_shl(first.into()).unwrap_or(0)
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
