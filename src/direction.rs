// SPDX-License-Identifier: GPL-2.0

//! Directions of data, seen from memory.

use kernel::prelude::*;

/// Which way data moves between memory and a device (`enum dma_data_direction`).
///
/// Of a mapping: what the device may do. Of a CPU access bracket: what the CPU does, in the
/// sense of `DMA_BUF_IOCTL_SYNC`, where a write will move [`ToDevice`] and a read has moved
/// [`FromDevice`]. There is no "none": C's `DMA_NONE` is turned away at the edge.
///
/// [`ToDevice`]: Self::ToDevice
/// [`FromDevice`]: Self::FromDevice
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Direction {
    /// Both ways.
    Bidirectional,
    /// From memory to the device.
    ToDevice,
    /// From the device to memory.
    FromDevice,
}

impl Direction {
    /// A mapping that the device may read; a bracket in which the CPU may write.
    pub(crate) fn has_to_device(self) -> bool {
        self != Self::FromDevice
    }

    /// A mapping that the device may write; a bracket in which the CPU may read.
    pub(crate) fn has_from_device(self) -> bool {
        self != Self::ToDevice
    }
}

#[kunit_tests(udmabuf_direction)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_and_one_way() {
        use Direction::*;
        for (direction, to, from) in [
            (Bidirectional, true, true),
            (ToDevice, true, false),
            (FromDevice, false, true),
        ] {
            assert_eq!(direction.has_to_device(), to);
            assert_eq!(direction.has_from_device(), from);
        }
    }
}
