// SPDX-License-Identifier: GPL-2.0

//! What it takes to keep a buffer coherent, as said when it is made.

use crate::abi;

/// The modes of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Any device; CPU accesses are bracketed.
    DmaApi,
    /// Devices only that see what the CPU sees; no brackets.
    CpuCoherent,
    /// Of those, devices only that take part in the CPU's atomic operations.
    AtomicCoherent,
    /// Memory that no cache holds, which a memfd cannot be.
    MemoryCoherent,
}

impl Mode {
    /// Every mode that has a number.
    pub const ALL: [Mode; 4] = [
        Mode::DmaApi,
        Mode::CpuCoherent,
        Mode::AtomicCoherent,
        Mode::MemoryCoherent,
    ];

    /// The modes that the driver offers.
    pub const OFFERED: [Mode; 3] = [Mode::DmaApi, Mode::CpuCoherent, Mode::AtomicCoherent];

    /// The number of the ABI (`UDMABUF_MODE_*`).
    pub fn number(self) -> u32 {
        match self {
            Mode::DmaApi => abi::UDMABUF_MODE_DMA_API,
            Mode::CpuCoherent => abi::UDMABUF_MODE_CPU_COHERENT,
            Mode::AtomicCoherent => abi::UDMABUF_MODE_ATOMIC_COHERENT,
            Mode::MemoryCoherent => abi::UDMABUF_MODE_MEMORY_COHERENT,
        }
    }

    /// Whether the CPU may leave brackets out, whatever device is mapped.
    pub fn is_coherent(self) -> bool {
        self != Mode::DmaApi
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_numbers_of_their_places() {
        assert_eq!(Mode::ALL.map(Mode::number), [0, 1, 2, 3]);
        assert_eq!(Mode::OFFERED[..], Mode::ALL[..3]);
    }
}
