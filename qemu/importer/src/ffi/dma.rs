// SPDX-License-Identifier: GPL-2.0

//! What a device tells the DMA API about itself.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use kernel::{
    bindings,
    dma::DmaMask,
    error::to_result,
    ffi::c_ulong,
    prelude::*, //
};

use super::bound::BoundDevice;

#[allow(improper_ctypes)] // `struct device` is only pointed to.
extern "C" {
    #[link_name = "rust_helper_dma_set_seg_boundary"]
    fn dma_set_seg_boundary(dev: *mut bindings::device, mask: c_ulong);
    #[link_name = "rust_helper_dev_assign_dma_coherent"]
    fn dev_assign_dma_coherent(dev: *mut bindings::device, coherent: bool);
    #[link_name = "rust_helper_dev_is_dma_coherent"]
    fn dev_is_dma_coherent(dev: *mut bindings::device) -> bool;
}

/// Says how many address bits the device has, for mappings as for coherent memory.
///
/// Mappings that exist keep their addresses. Fails with [`EIO`] if the machine has no memory for
/// so few bits; the old mask then stays.
pub(crate) fn set_mask(device: &BoundDevice, mask: DmaMask) -> Result {
    // SAFETY: The device is bound. A mapping that is made at the same time follows either mask,
    // and the importer compares every address with the device's width before it is used.
    to_result(unsafe { bindings::dma_set_mask_and_coherent(device.as_raw(), mask.value()) })
}

/// Says whether the device snoops the CPU's caches, whatever the firmware said.
///
/// To be called before anything is mapped for it, and before its mask is set, from which the DMA
/// API works out whether it needs syncs. Fails with [`EOPNOTSUPP`] on architectures where all
/// devices are of the other kind.
pub(crate) fn set_coherent(device: &BoundDevice, coherent: bool) -> Result {
    // SAFETY: The device is bound, and nothing is mapped for it.
    unsafe { dev_assign_dma_coherent(device.as_raw(), coherent) };
    if is_coherent(device) == coherent {
        Ok(())
    } else {
        Err(EOPNOTSUPP)
    }
}

/// Whether the device snoops the CPU's caches.
pub(crate) fn is_coherent(device: &BoundDevice) -> bool {
    // SAFETY: The device is bound.
    unsafe { dev_is_dma_coherent(device.as_raw()) }
}

/// Says that a segment may have any size and lie anywhere.
pub(crate) fn set_no_segment_limits(device: &BoundDevice) {
    // SAFETY: The device is bound, and the PCI core has given it `dma_parms`.
    unsafe { bindings::dma_set_max_seg_size(device.as_raw(), u32::MAX) };
    // SAFETY: As above.
    unsafe { dma_set_seg_boundary(device.as_raw(), c_ulong::MAX) };
}
