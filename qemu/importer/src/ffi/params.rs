// SPDX-License-Identifier: GPL-2.0

//! The module parameters of `params.c`.
//!
//! They are read-only, so nothing changes them once the module runs.

/// How many values a parameter has at most.
const MAX: usize = 8;

extern "C" {
    static edu_importer_dma_bits: [u32; MAX];
    static edu_importer_dma_bits_count: u32;
    static edu_importer_coherent: [bool; MAX];
    static edu_importer_coherent_count: u32;
}

/// What was given of a parameter.
fn given<T>(values: &'static [T; MAX], count: u32) -> &'static [T] {
    let count = count.try_into().unwrap_or(MAX);
    values.get(..count).unwrap_or(values)
}

/// All values of `dma_bits`, at least one.
pub(crate) fn all_dma_bits() -> impl Iterator<Item = u32> {
    // SAFETY: `params.c` defines it with this type, and nothing writes to it any more.
    let values = unsafe { &edu_importer_dma_bits };
    // SAFETY: As above.
    let count = unsafe { edu_importer_dma_bits_count };
    given(values, count).iter().copied()
}

/// The address bits of device `number`: its own, else the last that were given.
pub(crate) fn dma_bits(number: u32) -> u32 {
    let up_to = number.saturating_add(1).try_into().unwrap_or(MAX);
    all_dma_bits().take(up_to).last().unwrap_or(0)
}

/// Whether device `number` is to snoop, if somebody said so.
pub(crate) fn coherent(number: u32) -> Option<bool> {
    // SAFETY: As in `all_dma_bits`.
    let values = unsafe { &edu_importer_coherent };
    // SAFETY: As above.
    let count = unsafe { edu_importer_coherent_count };
    let number: usize = number.try_into().ok()?;
    given(values, count).get(number).copied()
}
