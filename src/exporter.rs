// SPDX-License-Identifier: GPL-2.0

//! A buffer as a dma-buf: what each callback does with the mechanisms.
//!
//! # Locking
//!
//! Reservation lock (held by dma-buf core around map, unmap, vmap and vunmap, but not around attach
//! and detach), or the lock of a process's mappings (held around faults); then the mutex of the
//! checker, then that of an automatic buffer, then that of the attachments.
//!
//! A begin that waits is interruptible: it leaves nothing behind, and user space tries again. Attach,
//! map, and an end give way to nothing but death, and unmap and detach not even to that: callers inside
//! the kernel do not try again (for instance `drm_gem_fb_end_cpu_access()`).
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
        Counted, //
    },
    automatic::Automatic,
    census::Census,
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
            self,
            DmaBuf, //
        },
        dma_buf_ops::{
            operations,
            Exporter,
            NewMapping, //
        },
        dma_resv::Held,
        folio::PinnedPages,
        importers::KeptMappings,
        mutex::{
            new_mutex,
            Mutex, //
        },
        trace,
        user::LockedPages,
        vma::{
            Fault,
            FaultHandler,
            FaultResult, //
        },
        vmap::Vmap,
        wait::Signals,
    },
    mmap,
    mode::Mode,
    moved::Moved,
    pending::Pending,
    shadow::DeviceShadow,
    span::Span,
    stats::STATS,
    touched::CHUNK_ORDER,
    turns::{
        Lead,
        Turn,
        Turns, //
    },
};
use core::{
    ops::Range,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::aref::ARef, //
};

/// A buffer of ours while somebody holds it.
type Buffer<'a> = dma_buf::Buffer<'a, PinnedPages>;

/// What is asked for when a buffer is made.
#[derive(Clone, Copy)]
pub(crate) struct Traits {
    pub(crate) mode: Mode,
    pub(crate) check: Check,
    /// It hands itself over.
    pub(crate) is_automatic: bool,
}

/// What a dma-buf of ours has besides its pages.
#[pin_data]
pub(crate) struct Udmabuf {
    traits: Traits,
    /// Whether begin and end have to look at the attachments.
    pending: Pending,
    /// Who of those that want to begin, or end, does so for all.
    turns: Turns,
    #[pin]
    attachments: Mutex<Attachments<Device, ARef<Mapping>, DeviceShadow>>,
    /// Judges what programs do, if that is wanted.
    checker: Option<Pin<KBox<Checker>>>,
    /// Knows which user mappings have entries, if the buffer hands itself over.
    automatic: Option<Pin<KBox<Automatic>>>,
    /// What its pages count as, while it lives.
    locked: Option<LockedPages>,
}

operations!(Udmabuf);

impl Udmabuf {
    /// Makes a dma-buf of `pages` with these traits, which count as locked where that is wanted.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENFILE`.
    pub(crate) fn export(
        pages: PinnedPages,
        traits: Traits,
        locked: Option<LockedPages>,
    ) -> Result<DmaBuf> {
        let checker = Checker::new(traits.check, traits.is_automatic)?;
        let automatic = match traits.is_automatic {
            true => {
                let extents = pages.extents();
                Some(Automatic::new(extents.pages(), extents.has_repeats()?)?)
            }
            false => None,
        };
        let (count, extents) = (pages.extents().pages(), pages.extents().len());
        let buffer = DmaBuf::export::<Self>(
            pages,
            count,
            pin_init!(Self {
                traits,
                pending: Pending::new(checker.is_some()),
                turns: Turns::new(),
                attachments <- new_mutex!(c"udmabuf attachments", Attachments::new(count)),
                checker,
                automatic,
                locked,
            }),
        )?;
        STATS.add_buffer(count, extents);
        let exported = buffer.exported_by::<Self>()?;
        exported.pages().set_inode(exported.buffer().inode());
        trace::create(exported.pages(), traits.mode);
        Ok(buffer)
    }

    pub(crate) fn traits(&self) -> Traits {
        self.traits
    }

    /// Who is attached and mapped, and what brackets cost.
    ///
    /// # Errors
    ///
    /// `EINTR` if the process is being killed.
    pub(crate) fn census(&self) -> Result<Census> {
        Ok(self.attachments.lock_killable()?.census())
    }

    /// Hands over all of the buffer for everybody who waits for that, or a part for the caller alone.
    fn once_for_all(
        &self,
        buffer: Buffer<'_>,
        span: Span,
        turn: Turn,
        signals: Signals,
        hand_over: impl FnOnce(Option<Lead<'_>>) -> Result,
    ) -> Result {
        match span == buffer.whole() {
            true => self.turns.take(turn, signals, |lead| hand_over(Some(lead))),
            false => hand_over(None),
        }
    }

    /// Maps for a device of that coherency.
    fn map_as(
        &self,
        buffer: Buffer<'_>,
        device: &Device,
        direction: Direction,
        coherency: Coherency,
    ) -> Result<ARef<Mapping>> {
        let mode = self.traits.mode;
        let atomics = mode == Mode::AtomicCoherent
            && (self.attachments.lock_killable()?.has_atomics(device) || device.has_atomics());
        if !mode.may_map(coherency, atomics) {
            return Err(self.refuse(buffer.pages(), device));
        }
        if coherency == Coherency::Shadow {
            return self.map_shadow(buffer, device, direction);
        }
        // Behind an IOMMU it takes its time for each piece of memory: whoever brackets meanwhile need not
        // wait for that.
        let mapping = Mapping::new(device.clone(), buffer.keep(), direction, coherency)?;
        let mut attachments = self.attachments.lock_killable()?;
        match coherency {
            Coherency::Cache => attachments.map_cached(&self.pending, device, mapping.clone())?,
            _ => attachments.map_coherent(),
        }
        Ok(mapping)
    }

    /// Maps the shadow of a device. It copies, so that nobody minds a call; the others do.
    #[inline(never)]
    fn map_shadow(
        &self,
        buffer: Buffer<'_>,
        device: &Device,
        direction: Direction,
    ) -> Result<ARef<Mapping>> {
        self.attachments.lock_killable()?.map_shadow(
            &self.pending,
            device,
            direction,
            || DeviceShadow::new(device.clone(), buffer.keep()),
            |shadow| Mapping::of_shadow(device.clone(), buffer.keep(), direction, shadow.memory()),
        )
    }

    /// The pages that get an entry together with the faulting one.
    fn around(&self, fault: &Fault<'_>) -> Range<usize> {
        match self.automatic {
            // It has to be brought home.
            Some(_) if self.pending.has_devices_at_begin() => fault.around(CHUNK_ORDER),
            _ => mmap::around(fault),
        }
    }

    /// Brings home what devices wrote to `pages`, if that is done without brackets, and touches them.
    ///
    /// # Errors
    ///
    /// `EINTR` if the process is being killed.
    fn at_home<T>(&self, pages: &Range<usize>, touch: impl FnOnce() -> T) -> Result<T> {
        let Some(automatic) = &self.automatic else {
            return Ok(touch());
        };
        let mut entries = automatic.hold()?;
        if self.pending.has_devices_at_begin() {
            let mut attachments = self.attachments.lock_killable()?;
            let whole = attachments.whole();
            let span = match automatic.repeats() {
                true => whole,
                false => Span::of_pages(pages).within(whole),
            };
            if attachments.touch(span).is_some() {
                STATS.synced_for_cpu.add(1);
            }
            drop(attachments);
            entries.note(pages);
        }
        Ok(touch())
    }

    /// Whether a page is in an automatic buffer more than once.
    fn repeats(&self) -> bool {
        let automatic = self.automatic.as_ref();
        automatic.is_some_and(|automatic| automatic.repeats())
    }

    /// A device is not for this buffer.
    fn refuse(&self, pages: &PinnedPages, device: &Device) -> Error {
        let mode = self.traits.mode;
        device.log_refusal(mode.name());
        trace::refuse(pages, device, mode);
        STATS.refused.add(1);
        eopnotsupp()
    }
}

#[vtable]
impl Exporter for Udmabuf {
    // Clients and a kernel selftest look for the C driver's name.
    const NAME: &'static CStr = c"udmabuf";

    type Memory = PinnedPages;
    type Mapping = ARef<Mapping>;
    type Vmap<'a> = Vmap<'a>;

    fn attach(&self, buffer: Buffer<'_>, device: &Device) -> Result {
        let (mode, pages) = (self.traits.mode, buffer.pages());
        // Without a DMA mask, it is not known yet. In a coherent mode it can only be mapped as coherent.
        let coherency = device.has_dma_mask().then(|| device.coherency(pages));
        if coherency.is_some_and(|coherency| !mode.may_attach(coherency)) {
            return Err(self.refuse(pages, device));
        }
        let is_coherent = mode != Mode::DmaApi || coherency == Some(Coherency::Coherent);
        self.attachments
            .lock_killable()?
            .attach(device.clone(), is_coherent)
    }

    fn detach(&self, device: &Device) {
        self.attachments.lock().detach(device);
    }

    fn map(
        &self,
        buffer: Buffer<'_>,
        device: &Device,
        direction: Direction,
        _: &Held<'_>,
    ) -> Result<ARef<Mapping>> {
        if !device.has_dma_mask() {
            return Err(EINVAL);
        }
        let pages = buffer.pages();
        let coherency = device.coherency(pages);
        let mapping = trace::map(pages, device, direction, coherency, || {
            let automatic = self.automatic.as_ref();
            let Some(automatic) = automatic.filter(|_| coherency != Coherency::Coherent) else {
                return self.map_as(buffer, device, direction, coherency);
            };
            let mut entries = automatic.hold()?;
            entries.forget_all(buffer.users());
            // If that fails, other devices still lack what is noted.
            let mapping = self.map_as(buffer, device, direction, coherency)?;
            entries.clear();
            Ok(mapping)
        })?;
        if let Some(checker) = &self.checker {
            checker.map(device, buffer.users());
        }
        STATS.mappings.add(1);
        Ok(mapping)
    }

    fn unmap(&self, buffer: Buffer<'_>, mapping: ARef<Mapping>, _: &Held<'_>) {
        if let Some(checker) = &self.checker {
            checker.unmap(mapping.device());
        }
        trace::unmap(buffer.pages(), mapping, |mapping| {
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
        self.pending.has_work_at_begin() || trace::wants_begin()
    }

    #[inline]
    fn needs_end(&self) -> bool {
        self.pending.has_work_at_end() || trace::wants_end()
    }

    fn begin_cpu_access(&self, buffer: Buffer<'_>, access: Direction, span: Span) -> Result {
        let fences = buffer.fences();
        trace::begin(buffer.pages(), access, span, || {
            let mut moved = Moved::default();
            for _ in 0..2 {
                // Somebody may only want to hear of it.
                if !self.pending.has_devices_at_begin() {
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
                self.once_for_all(buffer, span, Turn::Begin, Signals::All, begin)?;
                if fences.are_signaled(access) {
                    break;
                }
            }
            Ok(moved)
        })?;
        if let Some(checker) = &self.checker {
            // Whoever is interrupted while core waits begins once more.
            fences.wait(access)?;
            checker.begin(buffer.pages(), access, span, buffer.users());
        }
        Ok(())
    }

    fn end_cpu_access(&self, buffer: Buffer<'_>, access: Direction, span: Span) -> Result {
        let pages = buffer.pages();
        if let Some(checker) = &self.checker {
            checker.end(pages, access, span, buffer.users());
        }
        let turn = match access.has_to_device() {
            true => Turn::EndOfWriting,
            false => Turn::EndOfReading,
        };
        trace::end(pages, access, span, || {
            let mut moved = Moved::default();
            if self.pending.has_devices_at_end() {
                self.once_for_all(buffer, span, turn, Signals::Fatal, |lead| {
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

    fn mmap(mapping: NewMapping<'_, Self>) -> Result {
        mapping.fill_by_faults()
    }

    fn vmap<'a>(&self, buffer: Buffer<'a>, _: &Held<'_>) -> Result<Vmap<'a>> {
        Vmap::new(buffer.pages())
    }

    fn release(&self, pages: &PinnedPages) {
        if let Some(checker) = &self.checker {
            checker.release(pages);
        }
        trace::release(pages);
        STATS.sub_buffer(pages.extents().pages(), pages.extents().len());
    }
}

impl KeptMappings for Udmabuf {
    fn begin_device_access(&self, buffer: Buffer<'_>, device: &Device) -> Result {
        let (users, whole) = (buffer.users(), buffer.whole());
        if let Some(checker) = &self.checker {
            checker.begin_device_access(device, users);
        }
        trace::begin_device(buffer.pages(), device, || {
            let mut moved = Moved::default();
            // As an end: what the CPU has written goes to the device.
            if !self.pending.has_devices_at_end() {
                return Ok(moved);
            }
            let mut entries = match &self.automatic {
                None => None,
                Some(automatic) => Some(automatic.hold()?),
            };
            let mut attachments = self.attachments.lock_killable()?;
            let has_one = attachments.has_one_mapping() && !self.repeats();
            let mut give = |span| {
                moved += attachments.begin_device_access(span).unwrap_or_default();
            };
            match &mut entries {
                Some(entries) if has_one => entries.give(whole, users, give),
                Some(entries) => {
                    entries.forget_all(users);
                    give(whole);
                    entries.clear();
                }
                None => give(whole),
            }
            Ok(moved)
        })
        .map(|_| ())
    }

    fn end_device_access(
        &self,
        buffer: Buffer<'_>,
        device: &Device,
        direction: Direction,
    ) -> Result {
        trace::end_device(buffer.pages(), device, || {
            let mut moved = Moved::default();
            if !direction.has_from_device() || !self.pending.has_devices_at_begin() {
                return Ok(moved);
            }
            let entries = match &self.automatic {
                None => None,
                Some(automatic) => Some(automatic.hold()?),
            };
            let mut attachments = self.attachments.lock_killable()?;
            let whole = attachments.whole();
            let has_one = attachments.has_one_mapping() && !self.repeats();
            let mut take = |span| {
                moved += attachments.end_device_access(span).unwrap_or_default();
            };
            match &entries {
                // The next touch of anything else brings it home.
                Some(entries) if has_one => entries.noted(whole).for_each(take),
                _ => take(whole),
            }
            Ok(moved)
        })
        .map(|_| ())
    }

    fn declare_atomics(&self, device: &Device) -> Result {
        self.attachments.lock_killable()?.declare_atomics(device)
    }
}

impl FaultHandler for Udmabuf {
    fn is_watchful(&self) -> bool {
        self.checker.is_some()
    }

    fn fault(&self, fault: &Fault<'_>) -> FaultResult {
        let around = self.around(fault);
        // Nobody hears of what happens to a process that is being killed.
        match &self.checker {
            None => self
                .at_home(&around, || mmap::fault(fault, &around))
                .unwrap_or(FaultResult::SIGBUS),
            Some(checker) => checker.fault(fault, around, |pages, writing| {
                self.at_home(pages, || mmap::fault_for(fault, pages, writing))
                    .unwrap_or(FaultResult::SIGBUS)
            }),
        }
    }

    fn huge_fault(&self, fault: &Fault<'_>, order: u32) -> FaultResult {
        match fault.huge_frame(order) {
            // What is taken away has to be gone. A fork reads a huge entry before it locks the page
            // table, and does not look again (`copy_huge_pmd()` in `mm/huge_memory.c`): the child would
            // keep one that is taken away in between.
            Some(pfn) if self.automatic.is_none() => mmap::huge_fault(fault, order, pfn),
            _ => FaultResult::FALLBACK,
        }
    }

    fn first_write(&self, fault: &Fault<'_>) -> FaultResult {
        match &self.checker {
            None => FaultResult::GO_ON,
            Some(checker) => checker.first_write(fault),
        }
    }

    fn access(&self, page: usize, copy: impl FnOnce() -> usize) -> Result<usize> {
        self.at_home(&(page..page + 1), copy)
    }

    fn unmapped(&self, pages: &PinnedPages) {
        if let Some(checker) = &self.checker {
            checker.unmapped(pages);
        }
    }
}

impl Cached for ARef<Mapping> {
    fn is(&self, other: &Self) -> bool {
        ptr::eq(&**self, &**other)
    }

    fn may_write(&self) -> bool {
        self.direction().has_from_device()
    }

    fn clean(&self, span: Span) {
        Mapping::clean(self, span)
    }

    fn clean_and_invalidate(&self, span: Span) {
        Mapping::clean_and_invalidate(self, span)
    }
}

impl Counted for Device {
    fn has_own_operations(&self) -> bool {
        self.has_own_operations()
    }
}
