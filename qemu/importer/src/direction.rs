// SPDX-License-Identifier: GPL-2.0

//! Directions of mappings and of single transfers, seen from memory.

use kernel::{
    dma::DataDirection,
    prelude::*, //
};

/// What a mapping allows the device to do.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// The device may read and write the buffer.
    Bidirectional,
    /// The device may only read the buffer.
    ToDevice,
    /// The device may only write the buffer.
    FromDevice,
}

/// The way that one transfer, or one CPU access, goes.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum OneWay {
    /// From the buffer to the device's memory; for a CPU access: the CPU writes.
    ToDevice,
    /// From the device's memory to the buffer; for a CPU access: the CPU reads.
    FromDevice,
}

impl Direction {
    /// Whether a transfer of this way keeps to what was mapped.
    pub(crate) fn allows(self, way: OneWay) -> bool {
        match self {
            Self::Bidirectional => true,
            Self::ToDevice => way == OneWay::ToDevice,
            Self::FromDevice => way == OneWay::FromDevice,
        }
    }
}

/// The numbers of the user ABI, which are the kernel's own.
impl TryFrom<u32> for Direction {
    type Error = Error;

    fn try_from(number: u32) -> Result<Self> {
        match number {
            0 => Ok(Self::Bidirectional),
            1 => Ok(Self::ToDevice),
            2 => Ok(Self::FromDevice),
            _ => Err(EINVAL),
        }
    }
}

impl TryFrom<u32> for OneWay {
    type Error = Error;

    fn try_from(number: u32) -> Result<Self> {
        match Direction::try_from(number)? {
            Direction::ToDevice => Ok(Self::ToDevice),
            Direction::FromDevice => Ok(Self::FromDevice),
            Direction::Bidirectional => Err(EINVAL),
        }
    }
}

impl From<Direction> for DataDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Bidirectional => Self::Bidirectional,
            Direction::ToDevice => Self::ToDevice,
            Direction::FromDevice => Self::FromDevice,
        }
    }
}

impl From<OneWay> for Direction {
    fn from(way: OneWay) -> Self {
        match way {
            OneWay::ToDevice => Self::ToDevice,
            OneWay::FromDevice => Self::FromDevice,
        }
    }
}

#[kunit_tests(edu_importer_direction)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() -> Result {
        for number in 0..3u32 {
            // CAST: The enum is `repr(u32)`.
            assert_eq!(
                DataDirection::from(Direction::try_from(number)?) as u32,
                number
            );
        }
        for number in [3, 4, u32::MAX] {
            assert!(Direction::try_from(number).is_err());
            assert!(OneWay::try_from(number).is_err());
        }
        Ok(())
    }

    #[test]
    fn one_way_is_never_bidirectional() -> Result {
        assert!(OneWay::try_from(0).is_err());
        assert_eq!(OneWay::try_from(1)?, OneWay::ToDevice);
        assert_eq!(OneWay::try_from(2)?, OneWay::FromDevice);
        Ok(())
    }

    #[test]
    fn allows_follows_the_mapping() {
        for (direction, to_device, from_device) in [
            (Direction::Bidirectional, true, true),
            (Direction::ToDevice, true, false),
            (Direction::FromDevice, false, true),
        ] {
            assert_eq!(direction.allows(OneWay::ToDevice), to_device);
            assert_eq!(direction.allows(OneWay::FromDevice), from_device);
        }
    }
}
