// SPDX-License-Identifier: GPL-2.0

//! Loads of atomics where the call that the kernel crate makes of each would show.
//!
//! C header: [`include/asm-generic/rwonce.h`](srctree/include/asm-generic/rwonce.h)

use kernel::sync::atomic::Atomic;

/// As `atomic.load(Relaxed)`, in one instruction.
#[inline]
pub(crate) fn load_relaxed(atomic: &Atomic<u32>) -> u32 {
    // SAFETY: The pointer is valid and aligned. A volatile load of a word is what `READ_ONCE()` is,
    // and what `load(Relaxed)` calls.
    unsafe { atomic.as_ptr().read_volatile() }
}
