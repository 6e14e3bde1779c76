// SPDX-License-Identifier: GPL-2.0

//! Where two threads wait for each other before each round.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

/// A meeting point of two.
#[derive(Debug, Default)]
pub struct Meet {
    arrived: AtomicUsize,
    over: AtomicBool,
}

impl Meet {
    /// Arrives for a round, counted from 0, and waits for the other. Returns whether both are there, or
    /// somebody has [left](Meet::leave). Nobody sleeps, so that both go on at the same moment.
    pub fn both(&self, round: usize) -> bool {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        while self.arrived.load(Ordering::SeqCst) < 2 * (round + 1) {
            if self.over.load(Ordering::SeqCst) {
                return false;
            }
            thread::yield_now();
        }
        true
    }

    /// Does not come any more.
    pub fn leave(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_a_round_ahead_and_nobody_waits_for_ever() {
        let (meet, counts) = (Meet::default(), [const { AtomicUsize::new(0) }; 2]);
        let counts = &counts;
        thread::scope(|scope| {
            for (who, last) in [(0, 50), (1, usize::MAX)] {
                let meet = &meet;
                scope.spawn(move || {
                    for round in 0..last {
                        counts[who].store(round, Ordering::SeqCst);
                        if !meet.both(round) {
                            break;
                        }
                        let other = counts[1 - who].load(Ordering::SeqCst);
                        assert!(other.abs_diff(round) <= 1);
                    }
                    meet.leave();
                });
            }
        });
        assert_eq!(counts[1].load(Ordering::SeqCst), 50);
    }
}
