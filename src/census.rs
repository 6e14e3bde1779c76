// SPDX-License-Identifier: GPL-2.0

//! What is mapped of a buffer, and what brackets of it cost.

/// What is mapped, and what brackets cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Census {
    /// Mappings of class [`Coherent`](crate::coherency::Coherency::Coherent).
    pub(crate) coherent: usize,
    /// Mappings of class [`Cache`](crate::coherency::Coherency::Cache).
    pub(crate) cache: usize,
    /// Mappings of shadows, but of those below.
    pub(crate) shadow: usize,
    /// Mappings of shadows of devices with DMA operations of their own.
    pub(crate) own_operations: usize,
    /// Begin and end have something to do.
    pub(crate) syncs: bool,
    /// They may have, if devices are mapped that are attached now.
    pub(crate) may_sync: bool,
    /// Changes with each of the above.
    pub(crate) generation: u64,
    /// Bytes that a begin goes through, once for each pass.
    pub(crate) begin: usize,
    /// Bytes that an end does.
    pub(crate) end: usize,
}
