// SPDX-License-Identifier: GPL-2.0

//! An importer's device, and how it reaches memory.
//!
//! C headers: [`include/linux/device.h`](srctree/include/linux/device.h),
//! [`include/linux/dma-map-ops.h`](srctree/include/linux/dma-map-ops.h),
//! [`include/linux/dma-direct.h`](srctree/include/linux/dma-direct.h)

use super::{
    cache,
    folio::PinnedPages,
    helpers,
    scatterlist::{
        SegmentLimits,
        SgTable, //
    },
};
use crate::{
    atomics::{
        Bus,
        Widths, //
    },
    coherency::{
        Coherency,
        Path, //
    },
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// Cache_Enable in the CXL control register of a device (CXL 3.1, 8.1.3.2), which Linux does not name.
const CXL_CACHE_ENABLE: u16 = 1;

/// Of a page.
const LAST_BYTE: u64 = PAGE_SIZE as u64 - 1;

/// A device that DMAs, which is not ours: an importer's.
///
/// # Invariants
///
/// Owns a reference to the device.
#[repr(transparent)]
pub(crate) struct Device(NonNull<bindings::device>);

// SAFETY: A device may be used and released from any task.
unsafe impl Send for Device {}
// SAFETY: As above; nothing changes through a shared reference.
unsafe impl Sync for Device {}

impl Device {
    /// # Safety
    ///
    /// `device` is valid.
    pub(super) unsafe fn get(device: NonNull<bindings::device>) -> Self {
        // SAFETY: The device is valid.
        unsafe { bindings::get_device(device.as_ptr()) };
        // INVARIANT: The reference was just taken.
        Self(device)
    }

    /// What `device` points to, as long as somebody else has a reference to it.
    ///
    /// # Safety
    ///
    /// So it is, for all of `'a`, and `device` does not change.
    pub(super) unsafe fn borrow<'a>(device: *const NonNull<bindings::device>) -> &'a Self {
        // SAFETY: It is the only field, and the reference lives, says the caller.
        unsafe { &*device.cast() }
    }

    pub(super) fn as_raw(&self) -> *mut bindings::device {
        self.0.as_ptr()
    }

    /// Whether the device can be given DMA addresses. One that cannot may be attached all the same:
    /// drivers without DMA import buffers and look at them through a kernel mapping
    /// (`drm_gem_shmem_prime_import_no_map()`).
    pub(crate) fn has_dma_mask(&self) -> bool {
        // SAFETY: The device is valid.
        !unsafe { (*self.as_raw()).dma_mask }.is_null()
    }

    /// How data changes hands between the CPU and this device in those pages. To be asked of a
    /// device that has a DMA mask.
    pub(crate) fn coherency(&self, pages: &PinnedPages) -> Coherency {
        self.path(pages).coherency(PAGE_SIZE, cache::IS_LOSSLESS)
    }

    /// Whether it has DMA operations of its own (`dma_map_ops`).
    pub(crate) fn has_own_operations(&self) -> bool {
        // SAFETY: The device is valid.
        !self.is_translated() && unsafe { helpers::has_dma_ops(self.as_raw()) }
    }

    /// Whether its bus says that it takes part in the CPU's atomic operations.
    pub(crate) fn has_atomics(&self) -> bool {
        self.bus().is_some_and(|bus| bus.has_atomics())
    }

    /// What PCI Express says of the device; `None` if it is none of that.
    fn bus(&self) -> Option<Bus> {
        // SAFETY: The device is valid.
        let endpoint = NonNull::new(unsafe { helpers::dev_to_pcie(self.as_raw()) })?;
        // SAFETY: The device is valid, and keeps its bridges.
        let root = NonNull::new(unsafe { helpers::pcie_find_root_port(endpoint.as_ptr()) });
        let completes = root.map(|root| {
            // SAFETY: As above.
            let caps = unsafe { helpers::pcie_devcap2(root.as_ptr()) };
            Widths {
                four_bytes: caps & bindings::PCI_EXP_DEVCAP2_ATOMIC_COMP32 != 0,
                eight_bytes: caps & bindings::PCI_EXP_DEVCAP2_ATOMIC_COMP64 != 0,
            }
        });
        // SAFETY: As above.
        let control = unsafe { helpers::pcie_devctl2(endpoint.as_ptr()) };
        // SAFETY: As above.
        let cxl = unsafe { helpers::cxl_control(endpoint.as_ptr()) };
        Some(Bus {
            caches: cxl & CXL_CACHE_ENABLE != 0,
            requests: control & bindings::PCI_EXP_DEVCTL2_ATOMIC_REQ != 0,
            completes,
        })
    }

    /// Its name on its bus.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: The device is valid, and whoever has a reference to it does not rename it.
        unsafe { CStr::from_char_ptr(bindings::dev_name(self.as_raw())) }
    }

    /// Says in the log that a buffer is not for this device, for it has been asked for as `mode`.
    /// Seldom: whoever is refused may try as often as he likes.
    pub(crate) fn log_refusal(&self, mode: &CStr) {
        // SAFETY: The device is valid, and the text ends with a zero.
        unsafe { helpers::dev_log_refusal(self.as_raw(), mode.as_char_ptr()) };
    }

    fn path(&self, pages: &PinnedPages) -> Path {
        let raw = self.as_raw();
        let translated = self.is_translated();
        // SAFETY: The device is valid, here and below. What is not translated has no granules.
        let untrusted = translated && unsafe { helpers::dev_is_untrusted(raw) };
        // SAFETY: As above.
        let own_operations = !translated && unsafe { helpers::has_dma_ops(raw) };
        Path {
            translated,
            untrusted,
            granule: match untrusted {
                // SAFETY: As above. The boundary is a mask of ones.
                true => unsafe { bindings::dma_get_merge_boundary(raw) }.wrapping_add(1),
                false => 1,
            },
            own_operations,
            // SAFETY: As above.
            forced: unsafe { helpers::is_swiotlb_force_bounce(raw) },
            // SAFETY: A property of the machine.
            confidential: unsafe { helpers::guest_memory_is_encrypted() },
            in_reach: translated
                || own_operations
                || (!self.wants_decrypted() && self.reaches(pages)),
            // SAFETY: As above.
            snoops: unsafe { helpers::dev_is_dma_coherent(raw) },
        }
    }

    /// Whether memory is encrypted with the help of an address bit that is beyond what can be
    /// allocated for the device (`force_dma_unencrypted()` of x86, which modules cannot call): then
    /// the DMA API bounces whatever is mapped, too (`dma_capable()`).
    fn wants_decrypted(&self) -> bool {
        // SAFETY: A property of the machine.
        let bit = unsafe { helpers::dma_encryption_bit() };
        // SAFETY: The device is valid.
        bit != 0 && unsafe { helpers::dma_coherent_limit(self.as_raw()) } < bit
    }

    /// Whether the DMA API has bounced a mapping of ours, which is then of no use to anybody: a rule
    /// that is not known here.
    pub(super) fn has_bounced(&self, table: &SgTable) -> bool {
        // SAFETY: The device is valid. This is false once for all for a device that snoops, until
        // something is bounced.
        if !unsafe { helpers::dma_dev_need_sync(self.as_raw()) } || !self.is_direct() {
            return false;
        }
        // SAFETY: The entry is of a table that is mapped for the device.
        table.any(|entry| unsafe { !helpers::sg_is_direct(self.as_raw(), entry) })
    }

    /// Whether the device, without an IOMMU, reaches every page (`dma_capable()`, which modules
    /// cannot call where memory may be encrypted).
    fn reaches(&self, pages: &PinnedPages) -> bool {
        // SAFETY: The device is valid, and its DMA mask is not null, says the caller.
        let limit = unsafe { helpers::dma_limit(self.as_raw()) };
        // SAFETY: The device is valid.
        let shifted = !unsafe { (*self.as_raw()).dma_range_map }.is_null();
        let within = |pfn: usize| self.reaches_byte((pfn as u64) << PAGE_SHIFT | LAST_BYTE, limit);
        let mut runs = pages.extents().iter();
        match (shifted, limit) {
            // Every piece may be elsewhere for the device, or nowhere.
            (true, _) => runs.all(|run| within(run.pfn) && within(run.pfn + run.pages - 1)),
            (false, u64::MAX) => true,
            (false, _) => runs
                .map(|run| run.pfn + run.pages - 1)
                .max()
                .is_none_or(within),
        }
    }

    /// Whether the device reaches so little that memory for it comes from a zone of its own.
    pub(super) fn wants_low_memory(&self) -> bool {
        // SAFETY: The device is valid, and its DMA mask is not null: a mapping is being made.
        let limit = unsafe { helpers::dma_limit(self.as_raw()) };
        // SAFETY: The device is valid.
        let limit = limit.min(unsafe { (*self.as_raw()).coherent_dma_mask });
        limit <= u64::from(u32::MAX) && self.is_direct()
    }

    fn reaches_byte(&self, address: u64, limit: u64) -> bool {
        // SAFETY: The device is valid; the rest is arithmetic.
        let address = unsafe { helpers::phys_to_dma(self.as_raw(), address) };
        address != u64::MAX && address <= limit
    }

    /// Whether a DMA address is one that the device can be given.
    pub(super) fn reaches_address(&self, address: bindings::dma_addr_t) -> bool {
        // SAFETY: The device is valid, and its DMA mask is not null: a mapping is being made.
        address <= unsafe { helpers::dma_limit(self.as_raw()) }
    }

    /// Whether page frame `pfn` and those behind it would be bounced, if they were mapped. Where the
    /// bounce buffers are out of reach, the DMA API warns; users must not be able to make it.
    pub(super) fn bounced(&self, pfn: usize, pages: usize) -> Bounced {
        // SAFETY: The device is valid, here and below.
        let start = unsafe { helpers::swiotlb_start(self.as_raw()) };
        // SAFETY: As above.
        let end = unsafe { helpers::swiotlb_end(self.as_raw()) };
        // CAST: Memory, whose size fits.
        let by = Bounced::By((end - start) as usize >> PAGE_SHIFT);
        if !self.is_direct() {
            // Nobody knows; and without bounce buffers, there are none to be drained.
            return match end {
                0 => Bounced::No,
                _ => by,
            };
        }
        // SAFETY: The DMA mask is not null: a mapping is being made.
        let limit = unsafe { helpers::dma_limit(self.as_raw()) };
        // SAFETY: As above.
        let forced = unsafe { helpers::is_swiotlb_force_bounce(self.as_raw()) };
        let last = ((pfn + pages - 1) as u64) << PAGE_SHIFT | LAST_BYTE;
        if !forced && !self.wants_decrypted() && self.reaches_byte(last, limit) {
            return Bounced::No;
        }
        // SAFETY: The device is valid; the rest is arithmetic. Bounce buffers are decrypted, where
        // memory is encrypted.
        let last = unsafe { helpers::phys_to_dma_unencrypted(self.as_raw(), end.wrapping_sub(1)) };
        match end != 0 && last != u64::MAX && last <= limit {
            true => by,
            false => Bounced::OutOfReach,
        }
    }

    fn is_translated(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { helpers::use_dma_iommu(self.as_raw()) }
    }

    /// Whether DMA addresses of the device are those of memory, perhaps shifted
    /// (`kernel/dma/direct.c`).
    pub(super) fn is_direct(&self) -> bool {
        // SAFETY: The device is valid.
        !self.is_translated() && !unsafe { helpers::has_dma_ops(self.as_raw()) }
    }

    /// Whether the device sees what is in the CPU's caches.
    pub(super) fn snoops(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { helpers::dev_is_dma_coherent(self.as_raw()) }
    }

    /// How the device's segments must be cut. That the DMA API limits what it can bounce matters
    /// for no mapping of ours, for none is bounced.
    pub(super) fn segment_limits(&self) -> SegmentLimits {
        // SAFETY: The device is valid.
        let segment = unsafe { helpers::dma_get_max_seg_size(self.as_raw()) };
        // SAFETY: As above.
        let boundary = unsafe { helpers::dma_get_seg_boundary(self.as_raw()) };
        SegmentLimits {
            // CAST: A segment's length has 32 bits.
            max: segment as usize >> PAGE_SHIFT,
            // The mask is all ones below the boundary; 2^64 is none.
            boundary: boundary
                .checked_add(1)
                .map_or(0, |bytes| bytes >> PAGE_SHIFT),
        }
    }
}

/// What stands between a device and pages that are mapped for it.
pub(super) enum Bounced {
    /// Nothing.
    No,
    /// Bounce buffers, so many pages in all.
    By(usize),
    /// Bounce buffers that the device does not reach either.
    OutOfReach,
}

impl PartialEq for Device {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Clone for Device {
    fn clone(&self) -> Self {
        // SAFETY: The device is valid, by the type invariant.
        unsafe { Self::get(self.0) }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: The reference is owned, by the type invariant.
        unsafe { bindings::put_device(self.as_raw()) };
    }
}
