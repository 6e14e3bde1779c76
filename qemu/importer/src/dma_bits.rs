// SPDX-License-Identifier: GPL-2.0

//! How many address bits an edu device puts on the bus.

use kernel::{
    dma::DmaMask,
    prelude::*, //
};

use crate::range::Segment;

/// The width of a device's DMA addresses.
///
/// edu drops the bits above its `dma_mask` property without a word, so the driver has to know the
/// same number and has to refuse what lies beyond.
///
/// # Invariants
///
/// The number is within [`Self::MIN`]`..=`[`Self::MAX`].
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) struct DmaBits(u32);

impl DmaBits {
    /// One page: with fewer bits there would be nothing to map.
    pub(crate) const MIN: u32 = 12;
    /// All that `dma_addr_t` has.
    pub(crate) const MAX: u32 = 64;

    /// Fails with [`EINVAL`] outside [`Self::MIN`]`..=`[`Self::MAX`].
    pub(crate) fn new(bits: u32) -> Result<Self> {
        if !(Self::MIN..=Self::MAX).contains(&bits) {
            return Err(EINVAL);
        }
        // INVARIANT: Just checked.
        Ok(Self(bits))
    }

    /// Fails with [`EINVAL`] if there are more than `most`.
    pub(crate) fn check(self, most: Self) -> Result {
        match self.0 <= most.0 {
            true => Ok(()),
            false => Err(EINVAL),
        }
    }

    /// The plain number.
    pub(crate) fn get(self) -> u32 {
        self.0
    }

    /// The mask for the DMA API.
    pub(crate) fn mask(self) -> Result<DmaMask> {
        DmaMask::try_new(self.0)
    }

    /// Whether the device reaches every byte of `segment`.
    pub(crate) fn reach(self, segment: Segment) -> bool {
        let highest = u64::MAX >> (Self::MAX - self.0);
        let last = segment.length.saturating_sub(1);
        segment
            .address
            .checked_add(last)
            .is_some_and(|last| last <= highest)
    }
}

#[kunit_tests(edu_importer_dma_bits)]
mod tests {
    use super::*;

    #[test]
    fn new_at_every_edge() {
        for (bits, valid) in [
            (0, false),
            (11, false),
            (12, true),
            (28, true),
            (64, true),
            (65, false),
            (u32::MAX, false),
        ] {
            assert_eq!(DmaBits::new(bits).is_ok(), valid);
        }
    }

    #[test]
    fn no_more_than_there_are() -> Result {
        for (bits, most, fine) in [
            (12, 28, true),
            (28, 28, true),
            (29, 28, false),
            (64, 28, false),
        ] {
            assert_eq!(DmaBits::new(bits)?.check(DmaBits::new(most)?).is_ok(), fine);
        }
        Ok(())
    }

    #[test]
    fn reach_at_every_edge() -> Result {
        for (bits, address, length, within) in [
            (12, 0, 4096, true),
            (12, 1, 4096, false),
            (28, 0x0fff_f000, 4096, true),
            (28, 0x0fff_ffff, 1, true),
            (28, 0x0fff_ffff, 2, false),
            (28, 0x1000_0000, 1, false),
            (63, u64::MAX, 1, false),
            (64, u64::MAX, 1, true),
            (64, u64::MAX, 2, false),
            (64, 0, u64::MAX, true),
        ] {
            assert_eq!(
                DmaBits::new(bits)?.reach(Segment { address, length }),
                within
            );
        }
        Ok(())
    }

    #[test]
    fn mask_has_the_bits() -> Result {
        for (bits, mask) in [(12, 0xfff), (28, 0x0fff_ffff), (64, u64::MAX)] {
            assert_eq!(DmaBits::new(bits)?.mask()?.value(), mask);
        }
        Ok(())
    }
}
