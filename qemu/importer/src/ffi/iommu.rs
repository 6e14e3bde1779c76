// SPDX-License-Identifier: GPL-2.0

//! What an IOMMU makes of a device's bus addresses.
//!
//! C header: [`include/linux/iommu.h`](srctree/include/linux/iommu.h)

use kernel::bindings;

use super::bound::BoundDevice;
use crate::channel::PAGE_SHIFT;

#[allow(improper_ctypes)] // Structures are only pointed to.
extern "C" {
    #[link_name = "rust_helper_iommu_get_domain_for_dev"]
    fn iommu_get_domain_for_dev(dev: *mut bindings::device) -> *mut bindings::iommu_domain;
    #[link_name = "rust_helper_iommu_iova_to_phys"]
    fn iommu_iova_to_phys(
        domain: *mut bindings::iommu_domain,
        iova: bindings::dma_addr_t,
    ) -> bindings::phys_addr_t;
}

/// The page frame behind bus page `page` of the device; [`None`] where there is no IOMMU, or
/// nothing is mapped there.
pub(crate) fn translate(device: &BoundDevice, page: u64) -> Option<u64> {
    // SAFETY: The device is bound, and a bound device keeps its domain.
    let domain = unsafe { iommu_get_domain_for_dev(device.as_raw()) };
    if domain.is_null() {
        return None;
    }
    // SAFETY: The domain is valid, as above.
    let address = unsafe { iommu_iova_to_phys(domain, page << PAGE_SHIFT) };
    // No memory of ours is at address 0, which stands for nothing.
    (address != 0).then_some(address >> PAGE_SHIFT)
}
