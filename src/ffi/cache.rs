// SPDX-License-Identifier: GPL-2.0

//! The CPU's data caches, line by line.
//!
//! C counterpart: `dcache_clean_inval_poc()` in `arch/arm64/mm/cache.S`, which modules cannot call.
//!
//! The DMA API has no such operation: `arch_sync_dma_for_device()` cleans and
//! `arch_sync_dma_for_cpu()` invalidates, and what is stored between the two is lost. If
//! `arch_sync_dma_for_cpu()` cleaned as well where the direction is bidirectional, this file could
//! go: `dma_sync_sgtable_for_cpu()` would do.

/// Whether [`clean_and_invalidate`] can be called.
pub(super) const IS_LOSSLESS: bool = cfg!(CONFIG_ARM64);

/// Writes each cache line of `len` bytes from address `start` on back to memory and drops it, in
/// one instruction: what is stored at the same time is in memory, or still in the cache.
#[cfg(CONFIG_ARM64)]
pub(super) fn clean_and_invalidate(start: usize, len: usize) {
    use super::helpers;
    use core::arch::asm;

    // SAFETY: A constant of the machine; 16 bytes at least.
    let line = unsafe { helpers::dcache_line_size() };
    // Some interconnects say too early that it is done.
    // SAFETY: As above.
    let passes = match unsafe { helpers::dcache_needs_two_passes() } {
        true => 2,
        false => 1,
    };
    for _ in 0..passes {
        let mut address = start & !(line - 1);
        while address < start + len {
            // SAFETY: Changes no data. The compiler keeps it in order with accesses to memory.
            unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
            address += line;
        }
    }
    // On the same CPU, before anybody looks at memory.
    // SAFETY: As above.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Never called: nothing is of that class here.
#[cfg(not(CONFIG_ARM64))]
pub(super) fn clean_and_invalidate(_start: usize, _len: usize) {}
