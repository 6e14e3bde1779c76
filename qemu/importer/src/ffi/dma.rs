// SPDX-License-Identifier: GPL-2.0

//! What a device tells the DMA API about itself, and memory that it shares with the CPU.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use core::ptr::{
    copy_nonoverlapping,
    NonNull, //
};

use kernel::{
    bindings,
    dma::DmaMask,
    error::to_result,
    ffi::c_ulong,
    prelude::*, //
};

use super::{
    bound::BoundDevice,
    errno::eopnotsupp, //
};

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
/// API works out whether it needs syncs. Fails with `EOPNOTSUPP` on architectures where all
/// devices are of the other kind.
pub(crate) fn set_coherent(device: &BoundDevice, coherent: bool) -> Result {
    // SAFETY: The device is bound, and nothing is mapped for it.
    unsafe { dev_assign_dma_coherent(device.as_raw(), coherent) };
    if is_coherent(device) == coherent {
        Ok(())
    } else {
        Err(eopnotsupp())
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

/// Memory that the CPU and a device see alike. The kernel crate calls its address otherwise in Linux
/// 7.2 than in 7.3.
///
/// # Invariants
///
/// `start` and `address` are where the CPU and the device find `size` bytes, allocated for `device`.
pub(crate) struct SharedMemory {
    start: NonNull<u8>,
    address: bindings::dma_addr_t,
    size: usize,
    device: BoundDevice,
}

// SAFETY: Memory belongs to no thread.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Memory full of zeroes, within reach of `device`.
    pub(crate) fn new(device: &BoundDevice, size: usize) -> Result<Self> {
        let mut address = 0;
        let flags = bindings::GFP_KERNEL | bindings::__GFP_ZERO;
        // SAFETY: The device is bound.
        let start =
            unsafe { bindings::dma_alloc_attrs(device.as_raw(), size, &mut address, flags, 0) };
        // INVARIANT: It was allocated just now.
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(ENOMEM)?,
            address,
            size,
            device: device.clone(),
        })
    }

    /// Where the device finds it.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Puts `bytes` at its start. The device must not be at work.
    ///
    /// Fails with [`EINVAL`] if they do not fit in.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result {
        self.holds(bytes.len())?;
        // SAFETY: By the type invariant there are as many bytes, which nobody else refers to.
        unsafe { copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), bytes.len()) };
        Ok(())
    }

    /// Takes `bytes` from its start. The device must not be at work.
    ///
    /// Fails with [`EINVAL`] if there are not as many.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> Result {
        self.holds(bytes.len())?;
        // SAFETY: As in `write`.
        unsafe { copy_nonoverlapping(self.start.as_ptr(), bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    fn holds(&self, length: usize) -> Result {
        if length > self.size {
            return Err(EINVAL);
        }
        Ok(())
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        let start = self.start.as_ptr().cast();
        // SAFETY: By the type invariant it was allocated so, and nobody refers to it any more.
        unsafe {
            bindings::dma_free_attrs(self.device.as_raw(), self.size, start, self.address, 0);
        }
    }
}
