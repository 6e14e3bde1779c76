// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for what the module's value layer takes from its `ffi`.

/// Where it matters nothing how memory is freed.
pub mod memory {
    pub type Array<T> = kernel::prelude::KVVec<T>;
}

pub mod atomic {
    use crate::sync::atomic::{Atomic, Relaxed};

    /// As the module's, whose single instruction is a relaxed load.
    pub fn load_relaxed(atomic: &Atomic<u32>) -> u32 {
        atomic.load(Relaxed)
    }
}

pub mod compat {
    pub use crate::sync::smp_mb;
}

pub mod wait {
    use crate::prelude::*;

    /// Which signals end a wait: here there are none.
    pub enum Signals {
        Fatal,
    }

    /// Others run in between.
    pub fn wait_until<T>(_: &T, _: Signals, mut is_so: impl FnMut() -> bool) -> Result {
        while !is_so() {
            loom::thread::yield_now();
        }
        Ok(())
    }

    pub fn wake<T>(_: &T) {}
}
