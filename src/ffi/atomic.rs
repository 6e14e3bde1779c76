// SPDX-License-Identifier: GPL-2.0

//! Loads of atomics where the call that the kernel crate makes of each would show.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)

use kernel::sync::atomic::Atomic;

/// As `atomic.load(Relaxed)`, in one instruction.
#[inline]
pub(crate) fn load_relaxed(atomic: &Atomic<bool>) -> bool {
    // SAFETY: The pointer is valid and aligned. A volatile load of a byte is what `READ_ONCE()` is,
    // and what `load(Relaxed)` calls; whatever stores there, stores a `bool`.
    unsafe { atomic.as_ptr().read_volatile() }
}
