// SPDX-License-Identifier: GPL-2.0

//! Mapping pinned pages for a device, and handing them to and fro.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::{
    claim::Claim,
    folio::PinnedPages,
    helpers,
    scatterlist::{
        SegmentLimits,
        SgTable, //
    },
};
use crate::{
    coherency::Coherency,
    direction::Direction, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    page::PAGE_SHIFT,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
    }, //
};

impl Direction {
    fn as_raw(self) -> bindings::dma_data_direction {
        match self {
            Self::Bidirectional => bindings::dma_data_direction::DMA_BIDIRECTIONAL,
            Self::ToDevice => bindings::dma_data_direction::DMA_TO_DEVICE,
            Self::FromDevice => bindings::dma_data_direction::DMA_FROM_DEVICE,
        }
    }

    /// # Errors
    ///
    /// `EINVAL` for `DMA_NONE` and for what is no direction.
    #[inline]
    pub(super) fn from_raw(raw: bindings::dma_data_direction) -> Result<Self> {
        match raw {
            bindings::dma_data_direction::DMA_BIDIRECTIONAL => Ok(Self::Bidirectional),
            bindings::dma_data_direction::DMA_TO_DEVICE => Ok(Self::ToDevice),
            bindings::dma_data_direction::DMA_FROM_DEVICE => Ok(Self::FromDevice),
            _ => Err(EINVAL),
        }
    }
}

/// A device that DMAs, which is not ours: an importer's.
///
/// # Invariants
///
/// Owns a reference to the device.
pub(crate) struct Device(NonNull<bindings::device>);

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

    fn as_raw(&self) -> *mut bindings::device {
        self.0.as_ptr()
    }

    /// Says something about the device in the kernel log, but not too often.
    fn warn_ratelimited(&self, message: &CStr) {
        // SAFETY: The device is valid, the message a C string.
        unsafe { helpers::dev_warn_ratelimited(self.as_raw(), message.as_char_ptr()) };
    }

    /// Whether anything that is mapped for the device needs syncs; what is bounced does even if
    /// this says no before it is mapped.
    fn needs_sync(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { helpers::dma_dev_need_sync(self.as_raw()) }
    }

    /// Whether mappings for the device may be bounced: only then does the DMA API limit the size
    /// of a mapping (`swiotlb_max_mapping_size()`).
    fn may_bounce(&self) -> bool {
        // SAFETY: The device is valid.
        let max = unsafe { bindings::dma_max_mapping_size(self.as_raw()) };
        max != usize::MAX
    }

    /// Whether the device has DMA operations of its own (`dma_map_ops`).
    ///
    /// All others share those of `kernel/dma/direct.c` and `drivers/iommu/dma-iommu.c`, whose
    /// syncs do nothing for a device that snoops, unless something is bounced, and for all others
    /// come down to `arch_sync_dma_for_device()` and `arch_sync_dma_for_cpu()` on physical
    /// addresses. These know no device.
    fn has_own_operations(&self) -> bool {
        // SAFETY: The device is valid.
        let by_iommu = unsafe { helpers::use_dma_iommu(self.as_raw()) };
        // SAFETY: As above.
        !by_iommu && unsafe { helpers::has_dma_ops(self.as_raw()) }
    }

    /// Whether the device sees what is in the CPU's caches.
    fn snoops(&self) -> bool {
        // SAFETY: The device is valid.
        unsafe { helpers::dev_is_dma_coherent(self.as_raw()) }
    }

    /// How the device's segments must be cut.
    fn segment_limits(&self) -> SegmentLimits {
        // SAFETY: The device is valid.
        let mapping = unsafe { bindings::dma_max_mapping_size(self.as_raw()) };
        // SAFETY: As above.
        let segment = unsafe { helpers::dma_get_max_seg_size(self.as_raw()) };
        // SAFETY: As above.
        let boundary = unsafe { helpers::dma_get_seg_boundary(self.as_raw()) };
        SegmentLimits {
            // CAST: A segment's length has 32 bits, as the device's limit.
            max: mapping.min(segment as usize) >> PAGE_SHIFT,
            // The mask is all ones below the boundary; 2^64 is none.
            boundary: boundary
                .checked_add(1)
                .map_or(0, |bytes| bytes >> PAGE_SHIFT),
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: The reference is owned, by the type invariant.
        unsafe { bindings::put_device(self.as_raw()) };
    }
}

/// All pages of a buffer, mapped for one device; unmapped on drop.
///
/// While it exists, the pages are the device's, except as [`sync_for_cpu`] and
/// [`sync_for_device`] hand them over. It takes the pages with everything that the CPU wrote, and
/// gives them back with everything that the device wrote, if [`give_back`] was called last with
/// true. If not, what the CPU sees in the pages stays as it is.
///
/// [`sync_for_cpu`]: Self::sync_for_cpu
/// [`sync_for_device`]: Self::sync_for_device
/// [`give_back`]: Self::give_back
///
/// # Invariants
///
/// `table` is mapped for `device` in direction `mapped`, with [`ATTRS`].
pub(crate) struct Mapping {
    /// What the importer asked for.
    direction: Direction,
    /// What the DMA API was told.
    mapped: Direction,
    coherency: Coherency,
    give_back: Atomic<bool>,
    device: Device,
    // Dropped after it was unmapped: the claim, the table, and then the pages that it is made of.
    claim: Option<Claim>,
    table: SgTable,
    pages: Arc<PinnedPages>,
}

/// What the kernel log says about `EBUSY`.
const REFUSED: &CStr = c"udmabuf: refused to map pages for a device that writes: something else writes them, and one of the two is behind a bounce buffer";

/// That several mappings lie over the same cache lines is what a dma-buf is for. Syncs are not
/// skipped.
const ATTRS: usize = bindings::DMA_ATTR_DEBUGGING_IGNORE_CACHELINES as usize;

// SAFETY: A mapping may be synced and unmapped, and a device released, from any task.
unsafe impl Send for Mapping {}
// SAFETY: The DMA API may be called for one device from several tasks at once, and nothing else
// changes through a shared reference but the atomic.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `pages` for `device`: hands them to it.
    ///
    /// A mapping that may need syncs is made bidirectional even if the device only writes: only
    /// then does the DMA API have an operation that takes what the CPU wrote to the bounce
    /// buffer, which would else come back with older bytes, or that cleans cache lines, on all
    /// architectures.
    ///
    /// # Errors
    ///
    /// - `EBUSY` if a bounce buffer would come between this device and another writer, see
    ///   [`claim`](super::claim);
    /// - `ENOMEM`, `EIO`, and whatever else `dma_map_sgtable()` meets.
    pub(crate) fn new(
        device: Device,
        pages: Arc<PinnedPages>,
        direction: Direction,
    ) -> Result<Arc<Self>> {
        let mapped = match direction {
            Direction::FromDevice if device.may_bounce() || device.needs_sync() => {
                Direction::Bidirectional
            }
            _ => direction,
        };
        let table = SgTable::new(&pages, device.segment_limits())?;
        // SAFETY: The device is valid, and the table is filled with pages that are pinned.
        to_result(unsafe {
            bindings::dma_map_sgtable(device.as_raw(), table.as_raw(), mapped.as_raw(), ATTRS)
        })?;
        let coherency = coherency(&device, &table);
        // INVARIANT: Just mapped so.
        let mut mapping = Self {
            direction,
            mapped,
            coherency,
            give_back: Atomic::new(false),
            claim: None,
            device,
            table,
            pages,
        };
        if direction.has_from_device() {
            let bounced = coherency == Coherency::Bounce;
            let claim = Claim::new(&mapping.pages, bounced).inspect_err(|&error| {
                if error == EBUSY {
                    mapping.device.warn_ratelimited(REFUSED);
                }
            })?;
            mapping.claim = Some(claim);
        }
        Ok(Arc::new(mapping, GFP_KERNEL)?)
    }

    /// What the device may do, as its driver said.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    pub(crate) fn coherency(&self) -> Coherency {
        self.coherency
    }

    /// The part of `direction` that the DMA API lets this mapping be synced with, if any.
    fn part_of(&self, direction: Direction) -> Option<bindings::dma_data_direction> {
        match (self.mapped, direction) {
            (Direction::Bidirectional, any) => Some(any.as_raw()),
            (one_way, Direction::Bidirectional) => Some(one_way.as_raw()),
            (one_way, same) if one_way == same => Some(one_way.as_raw()),
            _ => None,
        }
    }

    /// Hands the pages to the CPU: as much of `direction` as the mapping has.
    pub(crate) fn sync_for_cpu(&self, direction: Direction) {
        if let Some(part) = self.part_of(direction) {
            // SAFETY: The table is mapped for the device by the type invariant.
            unsafe {
                helpers::dma_sync_sgtable_for_cpu(self.device.as_raw(), self.table.as_raw(), part)
            };
        }
    }

    /// Hands the pages to the device: as much of `direction` as the mapping has.
    pub(crate) fn sync_for_device(&self, direction: Direction) {
        if let Some(part) = self.part_of(direction) {
            // SAFETY: The table is mapped for the device by the type invariant.
            unsafe {
                helpers::dma_sync_sgtable_for_device(
                    self.device.as_raw(),
                    self.table.as_raw(),
                    part,
                )
            };
        }
    }

    /// Whether the CPU gets what the device wrote when the mapping goes away.
    pub(crate) fn give_back(&self, yes: bool) {
        self.give_back.store(yes, Relaxed);
    }

    /// The table, for dma-buf core; belongs to the mapping.
    ///
    /// # Safety
    ///
    /// `this` points to a mapping.
    pub(super) unsafe fn table(this: *const Self) -> *mut bindings::sg_table {
        // SAFETY: It is a mapping; `SgTable` is a transparent wrapper.
        unsafe { &raw const (*this).table }.cast_mut().cast()
    }

    /// The reverse of [`table`](Self::table).
    ///
    /// # Safety
    ///
    /// `table` came from there, and the mapping still exists.
    pub(super) unsafe fn of_table(table: *mut bindings::sg_table) -> *const Self {
        let table = table.cast::<SgTable>();
        // SAFETY: It is part of a mapping.
        unsafe { kernel::container_of!(table, Self, table) }
    }
}

/// What was needed to map `table` for `device`.
fn coherency(device: &Device, table: &SgTable) -> Coherency {
    if !device.needs_sync() {
        return Coherency::Coherent;
    }
    let needs_sync = table.dma_addresses().any(|address| {
        // SAFETY: The device is valid, and the address is of a mapping for it.
        unsafe { helpers::dma_need_sync(device.as_raw(), address) }
    });
    if !needs_sync {
        Coherency::Coherent
    } else if device.may_bounce() {
        Coherency::Bounce
    } else if device.has_own_operations() {
        Coherency::OwnCache
    } else if device.snoops() {
        // `dma_need_sync()` answers for an IOMMU's operations without asking the device.
        Coherency::Coherent
    } else {
        Coherency::Cache
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let mut attrs = ATTRS;
        if !self.give_back.load(Relaxed) {
            attrs |= bindings::DMA_ATTR_SKIP_CPU_SYNC as usize;
        }
        // SAFETY: The table is mapped so by the type invariant, and nobody uses it any more.
        unsafe {
            bindings::dma_unmap_sgtable(
                self.device.as_raw(),
                self.table.as_raw(),
                self.mapped.as_raw(),
                attrs,
            )
        };
    }
}
