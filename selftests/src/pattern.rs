// SPDX-License-Identifier: GPL-2.0

//! Random data whose every byte is determined by a seed and a position, so that data in the wrong
//! place is as wrong as no data.

use std::fmt;

use crate::Mapping;

/// Bytes moved between a mapping and the program at a time.
const STEP: usize = 64 << 10;

/// An endless sequence of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pattern {
    seed: u64,
}

/// The first byte that is not what it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Position of the byte in the pattern.
    pub position: usize,
    /// What is there.
    pub found: u8,
    /// What should be there.
    pub expected: u8,
}

impl Mismatch {
    /// Compares bytes, as many as there are of both; `position` is that of the first.
    ///
    /// # Errors
    ///
    /// The first byte that differs.
    pub fn first(position: usize, found: &[u8], expected: &[u8]) -> Result<(), Mismatch> {
        if found == expected {
            return Ok(());
        }
        let mut pairs = found.iter().zip(expected).enumerate();
        match pairs.find(|(_, (found, expected))| found != expected) {
            None => Ok(()),
            Some((index, (&found, &expected))) => Err(Mismatch {
                position: position + index,
                found,
                expected,
            }),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Mismatch {
            position,
            found,
            expected,
        } = self;
        write!(
            f,
            "wrong data from {position:#x} on: {found:#04x} instead of {expected:#04x}"
        )
    }
}

impl Pattern {
    /// The sequence of a seed.
    pub const fn new(seed: u64) -> Pattern {
        // In the upper half, where no position reaches.
        Pattern { seed: seed << 48 }
    }

    /// Eight bytes at a multiple of eight.
    fn word(self, index: usize) -> [u8; 8] {
        // Multiplying carries bits upwards, folding brings them down again: every byte of the
        // word depends on the seed and on the index.
        let x = (self.seed ^ index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        (x ^ (x >> 32)).to_le_bytes()
    }

    /// Fills `bytes` with the sequence from `position` on.
    pub fn fill(self, position: usize, bytes: &mut [u8]) {
        let skip = position % 8;
        let first = (8 - skip).min(bytes.len());
        let (head, body) = bytes.split_at_mut(first);
        head.copy_from_slice(&self.word(position / 8)[skip..skip + first]);
        let mut index = position / 8 + 1;
        let mut words = body.chunks_exact_mut(8);
        for word in &mut words {
            word.copy_from_slice(&self.word(index));
            index += 1;
        }
        let tail = words.into_remainder();
        tail.copy_from_slice(&self.word(index)[..tail.len()]);
    }

    /// The sequence from `position` on.
    pub fn bytes(self, position: usize, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.fill(position, &mut bytes);
        bytes
    }

    /// Compares `bytes` with the sequence from `position` on.
    ///
    /// # Errors
    ///
    /// The first byte that differs.
    pub fn check(self, position: usize, bytes: &[u8]) -> Result<(), Mismatch> {
        Mismatch::first(position, bytes, &self.bytes(position, bytes.len()))
    }

    /// Writes `len` bytes of the sequence to the mapping, from offset `at` on; a position is the
    /// offset in the mapping.
    pub fn write_to(self, mapping: &Mapping, at: usize, len: usize) {
        let mut buffer = vec![0; STEP.min(len)];
        for start in (at..at + len).step_by(STEP) {
            let piece = &mut buffer[..STEP.min(at + len - start)];
            self.fill(start, piece);
            mapping.write(start, piece);
        }
    }

    /// Compares `len` bytes of the mapping with the sequence, from offset `at` on.
    ///
    /// # Errors
    ///
    /// The first byte that differs.
    pub fn check_in(self, mapping: &Mapping, at: usize, len: usize) -> Result<(), Mismatch> {
        let mut buffer = vec![0; STEP.min(len)];
        for start in (at..at + len).step_by(STEP) {
            let piece = &mut buffer[..STEP.min(at + len - start)];
            mapping.read(start, piece);
            self.check(start, piece)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_part_equals_the_same_part_of_the_whole() {
        let pattern = Pattern::new(7);
        let whole = pattern.bytes(0, 100);
        for start in 0..20 {
            for len in 0..40 {
                assert_eq!(pattern.bytes(start, len), whole[start..start + len]);
            }
        }
    }

    #[test]
    fn seeds_and_positions_differ() {
        let one = Pattern::new(1).bytes(0, 4096);
        assert_ne!(one, Pattern::new(2).bytes(0, 4096));
        assert_ne!(one, Pattern::new(1).bytes(4096, 4096));
    }

    #[test]
    fn check_names_the_first_wrong_byte() {
        let pattern = Pattern::new(3);
        let mut bytes = pattern.bytes(1000, 50);
        assert_eq!(pattern.check(1000, &bytes), Ok(()));
        bytes[17] ^= 0x80;
        bytes[30] ^= 0x01;
        let mismatch = pattern.check(1000, &bytes).unwrap_err();
        assert_eq!(mismatch.position, 1017);
        assert_eq!(mismatch.found ^ mismatch.expected, 0x80);
    }

    #[test]
    fn mapping_is_written_and_checked_in_pieces() {
        let mapping = Mapping::memory(3 * STEP).unwrap();
        let pattern = Pattern::new(4);
        let (at, len) = (STEP - 3, STEP + 5);
        pattern.write_to(&mapping, at, len);
        assert_eq!(pattern.check_in(&mapping, at, len), Ok(()));
        assert_eq!(
            pattern.check_in(&mapping, at - 1, 2).unwrap_err().position,
            at - 1
        );
        assert_eq!(
            pattern
                .check_in(&mapping, at, len + 1)
                .unwrap_err()
                .position,
            at + len
        );
    }
}
