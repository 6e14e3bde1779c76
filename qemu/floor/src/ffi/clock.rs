// SPDX-License-Identifier: GPL-2.0

//! The machine's fastest clock.
//!
//! C header: [`include/linux/timex.h`](srctree/include/linux/timex.h)

extern "C" {
    #[link_name = "rust_helper_get_cycles"]
    fn get_cycles() -> u64;
}

/// What `call` returns, and the ticks that passed meanwhile.
#[inline(always)]
pub(super) fn timed<T>(call: impl FnOnce() -> T) -> (T, u64) {
    // SAFETY: Reads a register.
    let before = unsafe { get_cycles() };
    let result = call();
    // SAFETY: As above.
    let after = unsafe { get_cycles() };
    // CPUs may differ, so that time can seem to pass backwards.
    (result, after.saturating_sub(before))
}
