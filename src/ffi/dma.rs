// SPDX-License-Identifier: GPL-2.0

//! Mapping pinned pages, or a shadow of them, for a device.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)

use super::{
    cache,
    device::Device,
    device_memory::DeviceMemory,
    dma_buf_ops::Mapped,
    helpers,
    memory::Boxed,
    scatterlist::SgTable,
    shared_pages::SharedPages, //
};
use crate::{
    coherency::Coherency,
    direction::Direction,
    span::Span, //
};
use core::ptr::NonNull;
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
    bindings,
    dma::DataDirection,
    error::to_result,
    prelude::*,
    sync::{
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        Refcount, //
    },
    types::ForeignOwnable, //
};

impl Direction {
    /// What C calls it.
    pub(super) fn as_raw(self) -> bindings::dma_data_direction {
        match self {
            Self::Bidirectional => DataDirection::Bidirectional,
            Self::ToDevice => DataDirection::ToDevice,
            Self::FromDevice => DataDirection::FromDevice,
        }
        .into()
    }

    /// # Errors
    ///
    /// `EINVAL` for `DMA_NONE` and for what is no direction.
    #[inline]
    pub(super) fn from_raw(raw: bindings::dma_data_direction) -> Result<Self> {
        [Self::Bidirectional, Self::ToDevice, Self::FromDevice]
            .into_iter()
            .find(|direction| direction.as_raw() == raw)
            .ok_or(EINVAL)
    }
}

/// All pages of a buffer as one device sees them; unmapped on drop.
///
/// What is handed over when, others decide: neither mapping nor unmapping does anything to the pages.
///
/// # Invariants
///
/// If `coherency` is not [`Coherency::Shadow`], `table` is mapped for `device` in direction
/// `dma_direction`, with [`ATTRS`]; nothing of it is bounced.
#[pin_data(PinnedDrop)]
pub(crate) struct Mapping {
    /// One is the importer's.
    references: Refcount,
    /// What the importer asked for.
    direction: Direction,
    /// What the DMA API was told.
    dma_direction: Direction,
    coherency: Coherency,
    device: Device,
    // Dropped after it was unmapped: the table, and then the pages that it is made of.
    #[pin]
    table: SgTable,
    pages: SharedPages,
}

/// That several mappings lie over the same cache lines is what a dma-buf is for. The DMA API must not sync
/// at map or unmap: it would do so without the lock of the attachments, and drop what the CPU has written
/// since the last hand-over.
///
/// All mappings have the same: `check_unmap()` (`kernel/dma/debug.c`) compares them with those of whatever
/// mapping of this device has the same address, size and direction, which may be that of another buffer
/// over the same pages. So there is no `DMA_ATTR_REQUIRE_COHERENT` where the mode wants it: the exporter
/// refuses a device that does not snoop, or whose mappings would be bounced.
const ATTRS: usize = bindings::DMA_ATTR_DEBUGGING_IGNORE_CACHELINES as usize
    | bindings::DMA_ATTR_SKIP_CPU_SYNC as usize;

// SAFETY: A mapping may be synced and unmapped, and a device released, from any task.
unsafe impl Send for Mapping {}
// SAFETY: The DMA API may be called for one device from several tasks at once, and nothing changes
// through a shared reference.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps all of `pages` for `device`, which reaches them: `coherency` is what
    /// [`Device::coherency`] says, and no shadow.
    ///
    /// Where hand-overs do cache maintenance, the mapping is bidirectional even if the device only
    /// writes: lines under it are cleaned then too, which the DMA API allows for that direction
    /// only.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `EIO`, and whatever else `dma_map_sgtable()` meets; `EIO` also if it has bounced
    /// after all: nobody would bring home what the device wrote.
    pub(crate) fn new(
        device: Device,
        pages: SharedPages,
        direction: Direction,
        coherency: Coherency,
    ) -> Result<ARef<Self>> {
        let dma_direction = match (direction, coherency) {
            (Direction::FromDevice, Coherency::Cache) => Direction::Bidirectional,
            _ => direction,
        };
        let limits = device.segment_limits();
        let mapping = Boxed::pin_init(
            // INVARIANT: The last step maps.
            try_pin_init!(Self {
                references: Refcount::new(1),
                direction,
                dma_direction,
                coherency,
                device,
                pages,
                table <- SgTable::new(pages, limits),
                _: {
                    // SAFETY: The device is valid, and the table is filled with pages that are pinned.
                    to_result(unsafe {
                        bindings::dma_map_sgtable(
                            device.as_raw(),
                            table.as_raw(),
                            dma_direction.as_raw(),
                            ATTRS,
                        )
                    })?;
                },
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        match mapping.device.has_bounced(&mapping.table) {
            true => Err(EIO),
            false => Ok(Self::share(mapping)),
        }
    }

    /// Shows `device` the memory of its shadow instead of `pages`; the table has these as its
    /// pages, as importers expect that look at pages, and the shadow's DMA addresses.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if there are more segments than a table can have.
    pub(crate) fn of_shadow(
        device: Device,
        pages: SharedPages,
        direction: Direction,
        shadow: &DeviceMemory,
    ) -> Result<ARef<Self>> {
        let limits = device.segment_limits();
        let mapping = Boxed::pin_init(
            // INVARIANT: A shadow is not mapped.
            try_pin_init!(Self {
                references: Refcount::new(1),
                direction,
                dma_direction: *direction,
                coherency: Coherency::Shadow,
                device,
                pages,
                table <- SgTable::of_shadow(pages, shadow, limits),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        Ok(Self::share(mapping))
    }

    /// The first reference to it.
    fn share(mapping: Pin<Boxed<Self>>) -> ARef<Self> {
        // SAFETY: It is not null.
        let mapping = unsafe { NonNull::new_unchecked(mapping.into_foreign()) };
        // SAFETY: It was made with one reference.
        unsafe { ARef::from_raw(mapping.cast()) }
    }

    /// What the device may do, as its driver said.
    pub(crate) fn direction(&self) -> Direction {
        self.direction
    }

    pub(crate) fn coherency(&self) -> Coherency {
        self.coherency
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Writes dirty cache lines of `span` back to memory. For a mapping of class
    /// [`Coherency::Cache`].
    ///
    /// For a part, the DMA API would have to be told where each piece of memory is for the device,
    /// since behind an IOMMU one DMA segment has many (`iommu_dma_sync_single_for_device()` takes it
    /// for one); and dropping lines that were written back loses nothing.
    pub(crate) fn clean(&self, span: Span) {
        if span != Span::whole(self.pages.extents().pages()) {
            return self.clean_and_invalidate(span);
        }
        // SAFETY: The table is mapped so for the device by the type invariant.
        unsafe {
            helpers::dma_sync_sgtable_for_device(
                self.device.as_raw(),
                self.table.as_raw(),
                self.dma_direction.as_raw(),
            )
        };
    }

    /// Writes dirty cache lines of `span` back to memory and drops all of them, each at once.
    /// For a mapping of class [`Coherency::Cache`].
    pub(crate) fn clean_and_invalidate(&self, span: Span) {
        self.pages.for_each_range(span, cache::clean_and_invalidate);
    }
}

// SAFETY: The table is part of the mapping, of which the importer has a reference.
unsafe impl Mapped for ARef<Mapping> {
    fn into_table(self) -> *mut bindings::sg_table {
        let mapping = ARef::into_raw(self).as_ptr();
        // SAFETY: It is a mapping; an `SgTable` begins with the table.
        unsafe { &raw mut (*mapping).table }.cast()
    }

    unsafe fn from_table(table: *mut bindings::sg_table) -> Self {
        let table = table.cast::<SgTable>();
        // SAFETY: It is part of a mapping.
        let mapping = unsafe { kernel::container_of!(table, Mapping, table) };
        // SAFETY: As above.
        let mapping = unsafe { NonNull::new_unchecked(mapping) };
        // SAFETY: The reference is that of the importer, who has given it back.
        unsafe { ARef::from_raw(mapping) }
    }
}

// SAFETY: It exists as long as it has references.
unsafe impl AlwaysRefCounted for Mapping {
    fn inc_ref(&self) {
        self.references.inc();
    }

    unsafe fn dec_ref(mapping: NonNull<Self>) {
        // SAFETY: It is there, says the caller.
        if unsafe { mapping.as_ref() }.references.dec_and_test() {
            // SAFETY: It came from `into_foreign()`, and this was the last reference.
            drop(unsafe { Pin::<Boxed<Self>>::from_foreign(mapping.as_ptr().cast()) });
        }
    }
}

#[pinned_drop]
impl PinnedDrop for Mapping {
    fn drop(self: Pin<&mut Self>) {
        if self.coherency == Coherency::Shadow {
            return;
        }
        // SAFETY: The table is mapped so by the type invariant, and nobody uses it any more.
        unsafe {
            bindings::dma_unmap_sgtable(
                self.device.as_raw(),
                self.table.as_raw(),
                self.dma_direction.as_raw(),
                ATTRS,
            )
        };
    }
}
