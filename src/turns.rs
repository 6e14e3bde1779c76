// SPDX-License-Identifier: GPL-2.0

//! Hand-overs for many at once: one thread does what others wait for as well.
//!
//! However many threads begin and end accesses, only one for each [`Turn`] waits for the mutex of the
//! attachments, so that others who do, to unmap for one, wait for few hand-overs. Who waits is served
//! by the first one that begins after he came: the second one that he sees.
//!
//! # Ordering
//!
//! Who comes has read or written the pages, and then looks at the number of hand-overs that have begun.
//! A hand-over changes the number, and then looks at pages and shadows. Each side does one thing and
//! then another that the other does first, so each has a full barrier in between: where the number is
//! still the old one, the hand-over sees what was there before the look. (As in
//! [`pending`](crate::pending).) That it has ended is a release, and an acquire. `selftests/loom` tries all
//! orders.

use crate::ffi::{
    compat::smp_mb,
    wait::{
        wait_until,
        wake,
        Signals, //
    },
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Relaxed,
        Release, //
    },
};

/// What a hand-over is for, as far as one can stand for another.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Turn {
    /// The CPU begins an access.
    Begin,
    /// It ends one in which it has only read.
    EndOfReading,
    /// It ends one in which it may have written.
    EndOfWriting,
}

/// The hand-overs of a buffer, by [`Turn`].
pub(crate) struct Turns([Queue; 3]);

/// Those who want the same.
///
/// # Invariants
///
/// `begun` and `ended` are written by the thread that has set `leading`. They start again after 2^32
/// hand-overs, which would matter to one who waits for half of these.
struct Queue {
    /// Whether one of them is handing over, or waits for the mutex to do so.
    leading: Atomic<u32>,
    /// How many hand-overs have begun.
    begun: Atomic<u32>,
    /// How many of these have ended.
    ended: Atomic<u32>,
}

/// A hand-over for all who wait.
pub(crate) struct Lead<'a>(&'a Queue);

impl Turns {
    pub(crate) const fn new() -> Self {
        Self(
            [const {
                Queue {
                    leading: Atomic::new(0),
                    begun: Atomic::new(0),
                    ended: Atomic::new(0),
                }
            }; 3],
        )
    }

    /// Returns when `hand_over` has been called by somebody, from its beginning to its end, since the
    /// caller came. Who calls it locks the mutex, and then says that it [`begin`](Lead::begin)s.
    ///
    /// # Errors
    ///
    /// That of `signals` if one of them arrives first, and those of `hand_over` if it is the caller who
    /// has called it.
    pub(crate) fn take(
        &self,
        turn: Turn,
        signals: Signals,
        hand_over: impl FnOnce(Lead<'_>) -> Result,
    ) -> Result {
        // CAST: The number of a variant.
        let queue = &self.0[turn as usize];
        let seen = queue.number();
        let mut leads = false;
        wait_until(queue, signals, || {
            leads = !queue.has_served(seen) && queue.lead();
            leads || queue.has_served(seen)
        })?;
        if !leads {
            return Ok(());
        }
        let result = hand_over(Lead(queue));
        queue.leave();
        wake(queue);
        result
    }
}

impl Queue {
    /// What tells later whether a hand-over has begun since.
    fn number(&self) -> u32 {
        smp_mb();
        self.begun.load(Relaxed)
    }

    fn has_served(&self, seen: u32) -> bool {
        let behind = self.ended.load(Acquire).wrapping_sub(seen);
        // CAST: Behind, or before.
        behind as i32 > 0
    }

    fn lead(&self) -> bool {
        self.leading.cmpxchg(0, 1, Acquire).is_ok()
    }

    fn leave(&self) {
        // What has begun has ended.
        self.ended.store(self.begun.load(Relaxed), Release);
        self.leading.store(0, Release);
    }
}

impl Lead<'_> {
    /// The mutex is locked, and pages and shadows have not been looked at.
    pub(crate) fn begin(self) {
        let begun = self.0.begun.load(Relaxed);
        self.0.begun.store(begun.wrapping_add(1), Relaxed);
        smp_mb();
    }
}
