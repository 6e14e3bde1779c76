// SPDX-License-Identifier: GPL-2.0

//! What it takes to keep a device and the CPU in agreement.

/// What the DMA API does for one mapping when data changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coherency {
    /// Nothing: device and CPU see the same memory.
    Coherent,
    /// Cache maintenance on the pages.
    Cache,
    /// Copies between the pages and a bounce buffer, which the device works on instead.
    Bounce,
}
