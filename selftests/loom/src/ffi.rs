// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for what the module's value layer takes from its `ffi`.

pub mod atomic {
    use crate::sync::atomic::{Atomic, Relaxed};

    /// As the module's, whose single instruction is a relaxed load.
    pub fn load_relaxed(atomic: &Atomic<bool>) -> bool {
        atomic.load(Relaxed)
    }
}

pub mod compat {
    pub use crate::sync::smp_mb;
}
