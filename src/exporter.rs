// SPDX-License-Identifier: GPL-2.0

//! A buffer as a dma-buf: what each callback does with the mechanisms.
//!
//! # Locking
//!
//! Reservation lock (held by dma-buf core around map, unmap, vmap and vunmap, but not around attach
//! and detach), then the mutex of the attachments or that of the kernel mapping, which are never
//! held together.
//!
//! A begin that waits is interruptible: it leaves nothing behind, and user space tries again. Attach,
//! map, and an end give way to nothing but death, and unmap and detach not even to that: callers inside the kernel do not try again (for instance
//! `drm_gem_fb_end_cpu_access()`).
//!
//! # Fences
//!
//! Core waits for the fences after begin, which is right where there is nothing to be done. Where
//! there is, what devices have not written yet could not be brought home before; so begin waits
//! first, looks again afterwards, and repeats once if another fence came in between. A fence that
//! is added still later is as one that is added after the begin.

use crate::{
    attach::{
        Attachments,
        Cached,
        Census,
        Importer,
        Moved, //
    },
    checker::{
        Check,
        Checker, //
    },
    coherency::Coherency,
    direction::Direction,
    ffi::{
        compat::eopnotsupp,
        device::Device,
        dma::Mapping,
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
            Mutex, //
        },
        trace,
        user::LockedPages,
        vma::{
            Fault,
            FaultResult,
            UserMappings, //
        },
        vmap::Vmap,
        wait::Signals,
    },
    mmap,
    mode::Mode,
    pending::Pending,
    shadow::DeviceShadow,
    span::Span,
    stats::STATS,
    turns::{
        Lead,
        Turn,
        Turns, //
    },
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
    mode: Mode,
    whole: Span,
    /// Whether begin and end have to look at the attachments.
    pending: Pending,
    /// Who of those that want to begin, or end, does so for all.
    turns: Turns,
    #[pin]
    attachments: Mutex<Attachments<Device, Mapping, DeviceShadow>>,
    /// The kernel mapping, while there is one.
    #[pin]
    vmap: Mutex<Option<Vmap>>,
    /// Judges what programs do, if that is wanted.
    checker: Option<Pin<KBox<Checker>>>,
    counted: Counted,
    /// What its pages count as, while it lives.
    locked: Option<LockedPages>,
}

impl Udmabuf {
    /// Makes a dma-buf of `pages` in `mode`, which count as locked where that is wanted.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENFILE`.
    pub(crate) fn export(
        pages: Arc<PinnedPages>,
        mode: Mode,
        check: Check,
        locked: Option<LockedPages>,
    ) -> Result<DmaBuf> {
        let checker = Checker::new(check)?;
        let counted = Counted::new(&pages);
        let all = Span::whole(pages.extents().pages());
        let buffer = DmaBuf::export::<Self>(
            pages,
            pin_init!(Self {
                mode,
                whole: all,
                pending: Pending::new(),
                turns: Turns::new(),
                attachments <- new_mutex!(c"udmabuf attachments", Attachments::new(all)),
                vmap <- new_mutex!(c"udmabuf vmap", None),
                checker,
                counted,
                locked,
            }),
        )?;
        trace::create(buffer.exported_by::<Self>()?.pages(), mode);
        Ok(buffer)
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Who is attached and mapped, and what brackets cost.
    ///
    /// # Errors
    ///
    /// `EINTR` if the process is being killed.
    pub(crate) fn census(&self, pages: &PinnedPages) -> Result<Census> {
        // Others are refused in the coherent modes, and one without a DMA mask is never mapped.
        let is_coherent = |device: &Device| {
            self.mode != Mode::DmaApi
                || !device.has_dma_mask()
                || device.coherency(pages) == Coherency::Coherent
        };
        Ok(self.attachments.lock_killable()?.census(is_coherent))
    }

    /// Hands over all of the buffer for everybody who waits for that, or a part for the caller alone.
    fn once_for_all(
        &self,
        span: Span,
        turn: Turn,
        signals: Signals,
        hand_over: impl FnOnce(Option<Lead<'_>>) -> Result,
    ) -> Result {
        match span == self.whole {
            true => self.turns.take(turn, signals, |lead| hand_over(Some(lead))),
            false => hand_over(None),
        }
    }

    /// Maps for a device of that coherency.
    fn map_as(
        &self,
        pages: &Arc<PinnedPages>,
        device: &Device,
        direction: Direction,
        coherency: Coherency,
    ) -> Result<Arc<Mapping>> {
        let atomics = self.mode == Mode::AtomicCoherent
            && (self.attachments.lock_killable()?.has_atomics(device) || device.has_atomics());
        if !self.mode.may_map(coherency, atomics) {
            return Err(self.refuse(pages, device));
        }
        if coherency == Coherency::Shadow {
            return self.attachments.lock_killable()?.map_shadow(
                &self.pending,
                device,
                direction,
                || DeviceShadow::new(device.clone(), pages.clone()),
                |shadow| {
                    Mapping::of_shadow(device.clone(), pages.clone(), direction, shadow.memory())
                },
            );
        }
        // Behind an IOMMU it takes its time for each piece of memory: whoever brackets meanwhile need not
        // wait for that.
        let mapping = Mapping::new(
            device.clone(),
            pages.clone(),
            direction,
            coherency,
            self.mode != Mode::DmaApi,
        )?;
        let mut attachments = self.attachments.lock_killable()?;
        match coherency {
            Coherency::Cache => attachments.map_cached(&self.pending, mapping.clone())?,
            _ => attachments.map_coherent(),
        }
        Ok(mapping)
    }

    /// A device is not for this buffer.
    fn refuse(&self, pages: &PinnedPages, device: &Device) -> Error {
        device.log_refusal(self.mode.name());
        trace::refuse(pages, device, self.mode);
        STATS.refused.add(1);
        eopnotsupp()
    }
}

#[vtable]
impl Exporter for Udmabuf {
    // Clients and a kernel selftest look for the C driver's name.
    const NAME: &'static CStr = c"udmabuf";

    fn attach(&self, pages: &Arc<PinnedPages>, device: Device) -> Result {
        // Without a DMA mask, it is not known yet.
        if self.mode != Mode::DmaApi
            && device.has_dma_mask()
            && !self.mode.may_attach(device.coherency(pages))
        {
            return Err(self.refuse(pages, &device));
        }
        self.attachments.lock_killable()?.attach(device)
    }

    fn detach(&self, device: &Device) {
        self.attachments.lock().detach(device);
    }

    fn map(
        &self,
        pages: &Arc<PinnedPages>,
        device: Device,
        direction: Direction,
        _: &Held<'_>,
    ) -> Result<Arc<Mapping>> {
        if !device.has_dma_mask() {
            return Err(EINVAL);
        }
        let coherency = device.coherency(pages);
        let mapping = trace::map(pages, &device, direction, coherency, || {
            self.map_as(pages, &device, direction, coherency)
        })?;
        STATS.mappings.add(1);
        Ok(mapping)
    }

    fn unmap(&self, pages: &PinnedPages, mapping: Arc<Mapping>, _: &Held<'_>) {
        trace::unmap(pages, mapping, |mapping| {
            {
                let mut attachments = self.attachments.lock();
                match mapping.coherency() {
                    Coherency::Coherent => attachments.unmap_coherent(),
                    Coherency::Cache => attachments.unmap_cached(&self.pending, &mapping),
                    Coherency::Shadow => attachments.unmap_shadow(&self.pending, mapping.device()),
                }
            }
            // Nobody waits for this but who maps: the reservation lock is held. The next device is mapped
            // afterwards, and behind an IOMMU this one cannot write any more then.
            drop(mapping);
        });
        STATS.mappings.sub(1);
    }

    #[inline]
    fn needs_begin(&self) -> bool {
        self.pending.at_begin() || trace::wants_begin() || self.checker.is_some()
    }

    #[inline]
    fn needs_end(&self) -> bool {
        self.pending.at_end() || trace::wants_end() || self.checker.is_some()
    }

    fn begin_cpu_access(
        &self,
        pages: &PinnedPages,
        access: Direction,
        span: Span,
        fences: &Fences<'_>,
        users: UserMappings<'_>,
    ) -> Result {
        trace::begin(pages, access, span, || {
            let mut moved = Moved::default();
            for _ in 0..2 {
                // Somebody may only want to hear of it.
                if !self.pending.at_begin() {
                    break;
                }
                fences.wait(access)?;
                let begin = |lead: Option<Lead<'_>>| {
                    let mut attachments = self.attachments.lock_interruptible()?;
                    if let Some(lead) = lead {
                        lead.begin();
                    }
                    if let Some(more) = attachments.begin(span) {
                        STATS.synced_for_cpu.add(1);
                        moved += more;
                    }
                    Ok(())
                };
                self.once_for_all(span, Turn::Begin, Signals::All, begin)?;
                if fences.are_signaled(access) {
                    break;
                }
            }
            Ok(moved)
        })?;
        if let Some(checker) = &self.checker {
            checker.begin(access, span, users);
        }
        Ok(())
    }

    fn end_cpu_access(
        &self,
        pages: &PinnedPages,
        access: Direction,
        span: Span,
        users: UserMappings<'_>,
    ) -> Result {
        if let Some(checker) = &self.checker {
            checker.end(pages, access, span, users);
        }
        let turn = match access.has_to_device() {
            true => Turn::EndOfWriting,
            false => Turn::EndOfReading,
        };
        trace::end(pages, access, span, || {
            let mut moved = Moved::default();
            if self.pending.at_end() {
                self.once_for_all(span, turn, Signals::Fatal, |lead| {
                    let mut attachments = self.attachments.lock_killable()?;
                    if let Some(lead) = lead {
                        lead.begin();
                    }
                    if let Some(more) = attachments.end(access, span) {
                        STATS.synced_for_device.add(1);
                        moved = more;
                    }
                    Ok(())
                })?;
            }
            Ok(moved)
        })
        .map(|_| ())
    }

    fn begin_device_access(&self, pages: &PinnedPages, device: &Device) -> Result {
        trace::begin_device(pages, device, || {
            // As an end: what the CPU has written goes to the device.
            let moved = match self.pending.at_end() {
                true => self.attachments.lock_killable()?.begin_device_access(),
                false => None,
            };
            Ok(moved.unwrap_or_default())
        })
        .map(|_| ())
    }

    fn end_device_access(
        &self,
        pages: &PinnedPages,
        device: &Device,
        direction: Direction,
    ) -> Result {
        trace::end_device(pages, device, || {
            let moved = match direction.has_from_device() && self.pending.at_begin() {
                true => self.attachments.lock_killable()?.end_device_access(),
                false => None,
            };
            Ok(moved.unwrap_or_default())
        })
        .map(|_| ())
    }

    fn declare_atomics(&self, device: &Device) -> Result {
        self.attachments.lock_killable()?.declare_atomics(device)
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

    fn release(&self, pages: &PinnedPages) {
        if let Some(checker) = &self.checker {
            checker.release(pages);
        }
    }

    fn is_watchful(&self) -> bool {
        self.checker.is_some()
    }

    fn fault(&self, fault: &Fault<'_>) -> FaultResult {
        match &self.checker {
            None => mmap::fault(fault),
            Some(checker) => checker.fault(fault),
        }
    }

    fn huge_fault(&self, fault: &Fault<'_>, order: u32) -> FaultResult {
        mmap::huge_fault(fault, order)
    }

    fn first_write(&self, fault: &Fault<'_>) -> FaultResult {
        match &self.checker {
            None => FaultResult::GO_ON,
            Some(checker) => checker.first_write(fault),
        }
    }
}

impl Cached for Mapping {
    fn may_write(&self) -> bool {
        self.direction().has_from_device()
    }

    fn clean(&self, span: Span) {
        self.clean(span)
    }

    fn clean_and_invalidate(&self, span: Span) {
        self.clean_and_invalidate(span)
    }
}

impl Importer for Device {
    fn has_own_operations(&self) -> bool {
        self.has_own_operations()
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
