// SPDX-License-Identifier: GPL-2.0

//! Says of most page frames, without a lock, that they are not watched.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bits, one per page frame: 4 GiB of RAM without two frames sharing one.
const BITS: u64 = 1 << 20;

/// A set of page frames that may say "perhaps" for one that it does not have.
pub struct Filter {
    any: AtomicBool,
    words: Box<[AtomicU64]>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter {
            any: AtomicBool::new(false),
            words: (0..BITS / 64).map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Filter {
    fn place(&self, frame: u64) -> (&AtomicU64, u64) {
        let index = frame % BITS;
        (&self.words[(index / 64) as usize], 1 << (index % 64))
    }

    /// Takes a frame in.
    pub fn insert(&self, frame: u64) {
        let (word, bit) = self.place(frame);
        word.fetch_or(bit, Ordering::Relaxed);
        self.any.store(true, Ordering::Release);
    }

    /// Whether there is any frame in it.
    pub fn any(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// Whether the frame may be in it; `false` is certain.
    pub fn may_have(&self, frame: u64) -> bool {
        let (word, bit) = self.place(frame);
        word.load(Ordering::Relaxed) & bit != 0
    }

    /// Empties it.
    pub fn clear(&self) {
        self.any.store(false, Ordering::Release);
        for word in &self.words {
            word.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_what_was_inserted() {
        let filter = Filter::default();
        assert!(!filter.any());
        for frame in [0, 63, 64, 0x40123, BITS + 5] {
            assert!(!filter.may_have(frame), "{frame:#x}");
            filter.insert(frame);
            assert!(filter.may_have(frame), "{frame:#x}");
        }
        assert!(filter.any());
        assert!(filter.may_have(5), "shares its bit with {:#x}", BITS + 5);
        assert!(!filter.may_have(65));
        filter.clear();
        assert!(!filter.any() && !filter.may_have(64));
    }
}
