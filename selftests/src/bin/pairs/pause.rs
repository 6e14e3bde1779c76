// SPDX-License-Identifier: GPL-2.0

//! What a thread does between two calls: nothing, or lose some time in one of several ways.

use std::hint::spin_loop;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

/// Draws pauses; the same ones again for the same seed.
#[derive(Debug)]
pub struct Pause(Rng);

impl Pause {
    /// Of a seed.
    pub fn new(seed: u64) -> Pause {
        Pause(Rng::with_seed(seed))
    }

    /// Loses some time, or none.
    pub fn here(&mut self) {
        match self.0.u8(..8) {
            0..=2 => {}
            3..=4 => spin(self.0.u32(..500)),
            5 => spin(self.0.u32(..5_000)),
            6 => thread::yield_now(),
            _ => thread::sleep(Duration::from_micros(self.0.u64(1..200))),
        }
    }

    /// Draws for other decisions than pauses.
    pub fn chance(&mut self) -> &mut Rng {
        &mut self.0
    }
}

/// Each turn also tells an emulator that runs CPUs one after the other to go on with the next.
fn spin(turns: u32) {
    for _ in 0..turns {
        spin_loop();
    }
}
