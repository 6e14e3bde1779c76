// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for what the module's value layer takes from its `ffi`.

pub mod atomic {
    use kernel::sync::atomic::{Atomic, Relaxed};

    /// Observed, as every access to an atomic is.
    pub fn load_relaxed(atomic: &Atomic<u32>) -> u32 {
        atomic.load(Relaxed)
    }
}

pub mod compat {
    use kernel::sync::{atomic::Full, barrier};

    pub fn smp_mb() {
        barrier::smp_mb(Full);
    }
}
