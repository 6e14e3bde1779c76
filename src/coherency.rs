// SPDX-License-Identifier: GPL-2.0

//! What it takes to keep a device and the CPU in agreement.

/// What the DMA API does for one mapping when data changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coherency {
    /// Nothing: device and CPU see the same memory.
    Coherent,
    /// Cache maintenance on the pages, the same for every device that is mapped so: what is done
    /// for one of them is done for all.
    Cache,
    /// Cache maintenance on the pages, by operations that are the device's own and may do more.
    OwnCache,
    /// Copies between the pages and a bounce buffer, which the device works on instead. A device
    /// that does not snoop counts as bounced wherever it may be: the DMA API does not tell which
    /// of its mappings are.
    Bounce,
}
