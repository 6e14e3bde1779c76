// SPDX-License-Identifier: GPL-2.0

//! A buffer as a dma-buf: what each callback does with the mechanisms.
//!
//! # Locking
//!
//! Reservation lock (held by dma-buf core around map, unmap, vmap and vunmap), then the mutex of
//! the attachments or that of the kernel mapping, which are never held together.
//!
//! A begin that waits is interruptible: nothing has happened yet, and user space tries again. An
//! end gives way to nothing but death: callers inside the kernel do not try again (for instance
//! `drm_gem_fb_end_cpu_access()`), and what the CPU wrote would stay behind unseen, as it may
//! after a death.
//!
//! Core waits for the fences after begin has synced, which would be before the devices have
//! finished; so begin waits for them itself. If a fence is added in between, and a signal
//! interrupts core's own wait, then a write bracket has been opened that user space does not know
//! of; it ends with its process.

use crate::{
    attach::{
        Attachments,
        Mapped, //
    },
    bracket::{
        Opener,
        Sole, //
    },
    coherency::Coherency,
    direction::Direction,
    ffi::{
        dma::{
            Device,
            Mapping, //
        },
        dma_buf::{
            DmaBuf,
            Exporter, //
        },
        dma_resv::{
            Fences,
            Held, //
        },
        folio::PinnedPages,
        mutex::{
            new_mutex,
            Guard,
            Mutex, //
        },
        pid::Tgid,
        vma::{
            Fault,
            FaultHandler,
            FaultResult, //
        },
        vmap::Vmap,
    },
    mmap,
    stats::STATS, //
};
use core::{
    ffi::c_void,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// What a dma-buf of ours has besides its pages.
#[pin_data]
pub(crate) struct Udmabuf {
    /// The one who writes, as long as there is nothing to be synced. Whoever has the mutex of the
    /// attachments takes it over.
    sole: Sole<Tgid>,
    #[pin]
    attachments: Mutex<Attachments<Mapping, Tgid>>,
    /// The kernel mapping, while there is one.
    #[pin]
    vmap: Mutex<Option<Vmap>>,
    counted: Counted,
}

impl Udmabuf {
    /// Makes a dma-buf of `pages`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENFILE`.
    pub(crate) fn export(pages: Arc<PinnedPages>) -> Result<DmaBuf> {
        let counted = Counted::new(&pages);
        DmaBuf::export::<Self>(
            pages,
            pin_init!(Self {
                sole: Sole::new(),
                attachments <- new_mutex!(c"udmabuf attachments", Attachments::new()),
                vmap <- new_mutex!(c"udmabuf vmap", None),
                counted,
            }),
        )
    }

    /// Begins an access where there may be something to wait for or to be synced.
    #[inline(never)]
    fn begin(&self, direction: Direction, fences: &Fences<'_>) -> Result {
        fences.wait(direction)?;
        let attachments = self.attachments.lock_interruptible()?;
        let synced = self.with(attachments, |attachments| {
            attachments.begin(direction, Tgid::current)
        })?;
        STATS.synced_for_cpu.add(synced);
        Ok(())
    }

    /// Ends an access where there may be something to be synced.
    #[inline(never)]
    fn end(&self, direction: Direction) -> Result {
        let attachments = self.attachments.lock_killable()?;
        let synced = self.with(attachments, |attachments| {
            attachments.end(direction, Tgid::current)
        });
        STATS.synced_for_device.add(synced);
        Ok(())
    }

    /// Does something with the attachments, which know of everything that is open meanwhile: nobody
    /// opens or closes a bracket without the mutex.
    fn with<R>(
        &self,
        mut attachments: Guard<'_, Attachments<Mapping, Tgid>>,
        action: impl FnOnce(&mut Attachments<Mapping, Tgid>) -> R,
    ) -> R {
        if let Some(open) = self.sole.take() {
            attachments.adopt(open);
        }
        let result = action(&mut attachments);
        if attachments.is_idle() {
            self.sole.give_back();
        }
        result
    }
}

#[vtable]
impl Exporter for Udmabuf {
    // Clients and a kernel selftest look for the C driver's name.
    const NAME: &'static CStr = c"udmabuf";

    fn map(
        &self,
        pages: &Arc<PinnedPages>,
        device: Device,
        direction: Direction,
        _: &Held<'_>,
    ) -> Result<Arc<Mapping>> {
        // Under the mutex, for a bounce buffer is filled from pages that a bracket may change.
        self.with(self.attachments.lock(), |attachments| {
            let mapping = Mapping::new(device, pages.clone(), direction).inspect_err(|&error| {
                if error == EBUSY {
                    STATS.refused.add(1);
                }
            })?;
            attachments.add(&mapping)?;
            STATS.mappings.add(1);
            Ok(mapping)
        })
    }

    fn unmap(&self, mapping: Arc<Mapping>, _: &Held<'_>) {
        self.with(self.attachments.lock(), |attachments| {
            attachments.remove(mapping);
        });
        STATS.mappings.sub(1);
    }

    #[inline]
    fn begin_cpu_access(&self, direction: Direction, fences: &Fences<'_>) -> Result {
        match direction.has_to_device() {
            false if !self.sole.is_taken() => Ok(()),
            true if fences.is_empty() && self.sole.open(Tgid::current()) => Ok(()),
            _ => self.begin(direction, fences),
        }
    }

    #[inline]
    fn end_cpu_access(&self, direction: Direction) -> Result {
        match direction.has_to_device() {
            false if !self.sole.was_taken() => Ok(()),
            true if self.sole.close(Tgid::current()) => Ok(()),
            _ => self.end(direction),
        }
    }

    fn vmap(&self, pages: &Arc<PinnedPages>, _: &Held<'_>) -> Result<NonNull<c_void>> {
        let vmap = Vmap::new(pages.clone())?;
        let address = vmap.address();
        *self.vmap.lock() = Some(vmap);
        Ok(address)
    }

    fn vunmap(&self, _: &Held<'_>) {
        *self.vmap.lock() = None;
    }
}

impl FaultHandler for Udmabuf {
    fn fault(fault: &Fault<'_>) -> FaultResult {
        mmap::fault(fault)
    }

    fn huge_fault(fault: &Fault<'_>, order: u32) -> FaultResult {
        mmap::huge_fault(fault, order)
    }
}

impl Mapped for Mapping {
    fn direction(&self) -> Direction {
        self.direction()
    }

    fn coherency(&self) -> Coherency {
        self.coherency()
    }

    fn sync_for_cpu(&self, direction: Direction) {
        self.sync_for_cpu(direction)
    }

    fn sync_for_device(&self, direction: Direction) {
        self.sync_for_device(direction)
    }

    fn give_back(&self, yes: bool) {
        self.give_back(yes)
    }
}

impl Opener for Tgid {
    const BITS: u32 = Self::BITS;

    fn to_bits(self) -> u64 {
        self.to_bits()
    }

    fn from_bits(bits: u64) -> Self {
        Self::from_bits(bits)
    }

    fn is_alive(&self) -> bool {
        self.is_alive()
    }
}

/// Counts a buffer among the living while it lives.
struct Counted {
    pages: usize,
    extents: usize,
}

impl Counted {
    fn new(pages: &PinnedPages) -> Self {
        let (extents, pages) = (pages.extents().len(), pages.extents().pages());
        STATS.created.add(1);
        STATS.buffers.add(1);
        STATS.pages.add(pages);
        STATS.extents.add(extents);
        Self { pages, extents }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        STATS.buffers.sub(1);
        STATS.pages.sub(self.pages);
        STATS.extents.sub(self.extents);
    }
}
