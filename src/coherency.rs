// SPDX-License-Identifier: GPL-2.0

//! What it takes to keep a device and the CPU in agreement.

use kernel::prelude::*;

/// How data changes hands between the CPU and one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coherency {
    /// Not at all: device and CPU see the same memory.
    Coherent,
    /// By cache maintenance on the pages, the same for every device of this class: what is done
    /// for one of them is done for all.
    Cache,
    /// By copying what changed between the pages and a shadow, memory of ours that the device
    /// works on instead, see [`merge`](crate::merge).
    Shadow,
}

/// What is known of a device, and of how it reaches the pages of a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// Its mappings go through `drivers/iommu/dma-iommu.c`.
    pub(crate) translated: bool,
    /// Its driver may not be trusted with what lies beside the pages (`pci_dev.untrusted`); only if
    /// translated.
    pub(crate) untrusted: bool,
    /// Smallest piece that its IOMMU can map, in bytes; only for an untrusted device.
    pub(crate) granule: usize,
    /// It has DMA operations of its own (`dma_map_ops`), and what these do is not known.
    pub(crate) own_operations: bool,
    /// Everything that is mapped for it is to be copied (`swiotlb=force`, or a pool of its own).
    pub(crate) forced: bool,
    /// The pages are encrypted with a key that the device does not have.
    pub(crate) confidential: bool,
    /// It reaches every page of the buffer.
    pub(crate) in_reach: bool,
    /// It sees what is in the CPU's caches.
    pub(crate) snoops: bool,
}

impl Path {
    /// What the DMA API would do decides, as of `dma_direct_map_phys()` and `iommu_dma_map_phys()`:
    /// wherever it may put a bounce buffer in between, which loses what others write meanwhile, a
    /// shadow takes its place.
    ///
    /// Of the others, a device that does not snoop needs `lossless`: whether the CPU has one
    /// instruction that writes a cache line back and drops it, with no store in between.
    pub(crate) fn coherency(&self, page_size: usize, lossless: bool) -> Coherency {
        let direct = match *self {
            // An IOMMU reaches everything. What lies beside a page in a larger granule is kept from an
            // untrusted device, by bouncing.
            Self {
                translated: true, ..
            } => !self.untrusted || self.granule <= page_size,
            Self {
                own_operations: true,
                ..
            } => false,
            _ => !self.forced && !self.confidential && self.in_reach,
        };
        match (direct, self.snoops) {
            (false, _) => Coherency::Shadow,
            (true, true) => Coherency::Coherent,
            (true, false) if lossless => Coherency::Cache,
            (true, false) => Coherency::Shadow,
        }
    }
}

#[kunit_tests(udmabuf_coherency)]
mod tests {
    use super::*;
    use Coherency::*;

    const PAGE: usize = 4096;

    const DIRECT: Path = Path {
        translated: false,
        untrusted: false,
        granule: 1,
        own_operations: false,
        forced: false,
        confidential: false,
        in_reach: true,
        snoops: true,
    };

    /// Snooping or not, with such an instruction or without.
    fn all(path: Path) -> [Coherency; 4] {
        let of = |snoops, lossless| Path { snoops, ..path }.coherency(PAGE, lossless);
        [
            of(true, true),
            of(true, false),
            of(false, true),
            of(false, false),
        ]
    }

    #[test]
    fn memory_within_reach() {
        assert_eq!(all(DIRECT), [Coherent, Coherent, Cache, Shadow]);
    }

    #[test]
    fn whatever_may_bounce_has_a_shadow() {
        let paths = [
            Path {
                forced: true,
                ..DIRECT
            },
            Path {
                confidential: true,
                ..DIRECT
            },
            Path {
                in_reach: false,
                ..DIRECT
            },
            Path {
                own_operations: true,
                ..DIRECT
            },
        ];
        for path in paths {
            assert_eq!(all(path), [Shadow; 4]);
        }
    }

    #[test]
    fn an_iommu_reaches_everything() {
        let path = Path {
            translated: true,
            granule: PAGE,
            forced: true,
            confidential: true,
            in_reach: false,
            ..DIRECT
        };
        assert_eq!(all(path), [Coherent, Coherent, Cache, Shadow]);
        let untrusted = Path {
            untrusted: true,
            ..path
        };
        assert_eq!(all(untrusted), [Coherent, Coherent, Cache, Shadow]);
    }

    #[test]
    fn an_untrusted_device_behind_large_granules_has_a_shadow() {
        for (granule, untrusted, coherency) in [
            (PAGE, true, Coherent),
            (PAGE + 1, true, Shadow),
            (16 * PAGE, true, Shadow),
            (16 * PAGE, false, Coherent),
        ] {
            let path = Path {
                translated: true,
                untrusted,
                granule,
                ..DIRECT
            };
            assert_eq!(path.coherency(PAGE, true), coherency);
        }
    }
}
