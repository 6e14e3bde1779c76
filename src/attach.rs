// SPDX-License-Identifier: GPL-2.0

//! The devices attached to a buffer, and what a hand-over does for each of them.
//!
//! # Locking
//!
//! The exporter keeps [`Attachments`] under one mutex. Order: reservation lock, then this mutex; what may be
//! in between is said in `exporter.rs`. Hand-overs run with it held, all of one buffer one after the other.
//! Two buffers over the same pages each have their own: an END on one does not reach the devices of the
//! other.
//!
//! # Rules
//!
//! Nobody is remembered: not who has a bracket open, nor who wrote. A hand-over moves only what
//! changed, so it can come at any time, and as often as it likes, without undoing anything.
//!
//! 1. First, what devices of class [`Cache`](crate::coherency::Coherency::Cache) wrote, then, from
//!    every shadow, what its device changed comes to the pages; only then do the shadows get what
//!    changed in the pages. So one hand-over takes data from each device to every other.
//! 2. Begin, map and unmap write each cache line back and drop it, in one instruction, if a device of
//!    that class may write; end only writes back. Beside a shadow a line is dropped at end, too: the
//!    shadow wants what the other device wrote. What was collected goes to memory before the next
//!    device may look. What a device has written that snoops goes to memory as well, at its unmap and at
//!    the end of its access.
//! 3. Where page and shadow both changed a byte, the device's stands at begin, and at an end of
//!    reading, for a program that says it only reads has not written on purpose; the page's at an end
//!    that may have written, and at map, unmap, device access and the touch of an automatic buffer,
//!    which come when they like: whoever writes then
//!    without a bracket, as a virtual CPU does, finds it again.
//! 4. Mapping for whatever device hands over what the others have; so does unmapping.
//! 5. A device has one shadow, however many importers attach it and map: from the first mapping to
//!    the last detach, or to the last unmap if it is of what there is little of. A driver may narrow
//!    its DMA mask while nothing is mapped: a shadow that is out of reach then is made anew.
//! 6. A part of the buffer can be handed over, by the same rules. Lines and words of which it has a
//!    part are, as a whole.
//! 7. A device that keeps its mapping says when it begins to access the pages, and when it has
//!    finished. That is as a map and an unmap: it sees what others wrote, the CPU without a bracket
//!    among them, and they what it wrote.
//! 8. [`Pending`] tells begin and end whether there is anything to do, without the mutex.

use crate::{
    census::Census,
    direction::Direction,
    ffi::memory::Array,
    merge::Stands,
    moved::Moved,
    pending::Pending,
    span::Span, //
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    prelude::*, //
};

/// A mapping of class [`Cache`](crate::coherency::Coherency::Cache), as far as hand-overs are concerned. What it
/// does, it does for every mapping of that class.
pub(crate) trait Cached {
    /// Whether it is the same one.
    fn is(&self, other: &Self) -> bool;
    /// Whether the device may write.
    fn may_write(&self) -> bool;
    /// Writes dirty cache lines back to memory.
    fn clean(&self, span: Span);
    /// Writes dirty cache lines back and drops all, one by one, each at once.
    fn clean_and_invalidate(&self, span: Span);
}

/// The copy of the pages that one device works on.
pub(crate) trait Shadow {
    /// Whether it is of memory that others may be waiting for.
    fn is_scarce(&self) -> bool;
    /// Whether its device still reaches it.
    fn is_in_reach(&self) -> bool;
    /// Gives it what is in the pages, before any device sees it.
    fn fill(&mut self);
    /// Its device may write from now on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing has changed then.
    fn allow_writing(&mut self) -> Result;
    /// Whether its device may write.
    fn may_write(&self) -> bool;
    /// Takes to the pages what the device changed; returns how many bytes that was.
    fn collect(&mut self, span: Span, stands: Stands) -> usize;
    /// Takes to the shadow what changed in the pages; returns how many bytes that was.
    fn publish(&mut self, span: Span) -> usize;
}

/// A device, however many importers have attached it.
struct Attached<D, S> {
    device: D,
    /// How many have.
    attachments: usize,
    /// It needs nothing, by what was known of it when it was attached last, and has not been mapped
    /// otherwise. It is not asked again: it may be going away, and what the DMA API knows of it with it.
    is_coherent: bool,
    /// One of them has said that it takes part in atomic operations.
    has_atomics: bool,
    /// How many mappings of the shadow there are.
    shadow_mappings: usize,
    shadow: Option<S>,
}

impl<D, S> Attached<D, S> {
    /// The shadow, if it is to be kept up to date.
    fn mapped_shadow(&self) -> Option<&S> {
        self.shadow.as_ref().filter(|_| self.shadow_mappings > 0)
    }

    fn mapped_shadow_mut(&mut self) -> Option<&mut S> {
        self.shadow.as_mut().filter(|_| self.shadow_mappings > 0)
    }
}

/// The devices of a buffer (`D`), their mappings of class `Cache` (`M`), and shadows (`S`).
pub(crate) struct Attachments<D, M, S> {
    attached: Array<Attached<D, S>>,
    /// How many mappings of class [`Coherent`](crate::coherency::Coherency::Coherent) there are.
    coherent: usize,
    /// The mappings of class [`Cache`](crate::coherency::Coherency::Cache).
    cached: Array<M>,
    /// How often the above has changed.
    generation: u64,
    /// Size of the buffer, in pages.
    pages: usize,
}

/// What a hand-over is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The CPU, or a device that is being mapped, is to see what devices wrote.
    Receive,
    /// Devices are to see what the CPU wrote.
    Give,
    /// Both: devices are to see what others wrote, the CPU and devices that write into its caches.
    Exchange,
}

/// What a hand-over goes through, whatever it finds there.
struct Passes {
    /// Lines are written back and dropped.
    invalidate: bool,
    /// Lines are written back.
    clean: bool,
    /// Shadows that are compared with the pages, by what their devices changed.
    collect: usize,
    /// Shadows that are compared with the pages, by what changed there.
    publish: usize,
}

impl Passes {
    fn count(&self) -> usize {
        usize::from(self.invalidate) + usize::from(self.clean) + self.collect + self.publish
    }
}

/// What a [`Census`] asks of a device.
pub(crate) trait Counted: PartialEq {
    /// Whether it has DMA operations of its own.
    fn has_own_operations(&self) -> bool;
}

impl<D: Counted, M: Cached, S: Shadow> Attachments<D, M, S> {
    /// Of a buffer of so many pages.
    pub(crate) const fn new(pages: usize) -> Self {
        Self {
            attached: Array::new(),
            coherent: 0,
            cached: Array::new(),
            generation: 0,
            pages,
        }
    }

    /// All of the buffer.
    pub(crate) fn whole(&self) -> Span {
        Span::whole(self.pages)
    }

    /// An importer has attached `device`, which needs nothing, as far as that is known.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn attach(&mut self, device: D, is_coherent: bool) -> Result {
        if let Some(attached) = self.find(&device) {
            attached.attachments += 1;
            attached.is_coherent = is_coherent;
            self.generation += 1;
            return Ok(());
        }
        let attached = Attached {
            device,
            attachments: 1,
            is_coherent,
            has_atomics: false,
            shadow_mappings: 0,
            shadow: None,
        };
        self.attached
            .push(attached, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        self.generation += 1;
        Ok(())
    }

    /// The reverse of [`attach`](Self::attach). With the last importer goes the shadow, if
    /// it is still there, unless somebody has forgotten to unmap it: the device may still write there.
    pub(crate) fn detach(&mut self, device: &D) {
        if let Some(attached) = self.find(device) {
            attached.attachments -= 1;
        }
        self.attached
            .retain(|attached| attached.attachments > 0 || attached.shadow_mappings > 0);
        self.generation += 1;
    }

    /// The attached `device` takes part in atomic operations.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it is not attached.
    pub(crate) fn declare_atomics(&mut self, device: &D) -> Result {
        self.find(device).ok_or(EINVAL)?.has_atomics = true;
        Ok(())
    }

    /// Whether [`declare_atomics`](Self::declare_atomics) was called.
    pub(crate) fn has_atomics(&mut self, device: &D) -> bool {
        self.find(device)
            .is_some_and(|attached| attached.has_atomics)
    }

    fn find(&mut self, device: &D) -> Option<&mut Attached<D, S>> {
        let mut all = self.attached.iter_mut();
        all.find(|attached| attached.device == *device)
    }

    /// Whether begin and end have anything to do.
    fn is_pending(&self) -> bool {
        !self.cached.is_empty() || self.has_shadows()
    }

    fn has_shadows(&self) -> bool {
        self.attached
            .iter()
            .any(|attached| attached.shadow_mappings > 0)
    }

    /// What [`Census`] has, now.
    pub(crate) fn census(&self) -> Census {
        let shadows = |own: bool| -> usize {
            let all = self.attached.iter();
            all.filter(|attached| attached.shadow_mappings > 0)
                .filter(|attached| attached.device.has_own_operations() == own)
                .map(|attached| attached.shadow_mappings)
                .sum()
        };
        let syncs = self.is_pending();
        let mut attached = self.attached.iter();
        Census {
            coherent: self.coherent,
            cache: self.cached.len(),
            shadow: shadows(false),
            own_operations: shadows(true),
            syncs,
            may_sync: syncs || attached.any(|attached| !attached.is_coherent),
            generation: self.generation,
            begin: self.passes(Purpose::Receive).count() * self.whole().len(),
            end: self.passes(Purpose::Give).count() * self.whole().len(),
        }
    }

    /// Hands over to a device that has been mapped and needs nothing itself.
    pub(crate) fn map_coherent(&mut self) {
        self.hand_over(Purpose::Receive, Stands::Page, self.whole());
        self.coherent += 1;
        self.generation += 1;
    }

    /// Hands over to a device of class [`Cache`](crate::coherency::Coherency::Cache), which has been
    /// mapped and has not seen the pages.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn map_cached(&mut self, pending: &Pending, device: &D, mapping: M) -> Result {
        self.cached.reserve(1, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        if let Some(attached) = self.find(device) {
            attached.is_coherent = false;
        }
        self.hand_over(Purpose::Receive, Stands::Page, self.whole());
        // Whoever ends an access from here on comes to hand over; what was ended before is written
        // back here, for every device of this class.
        pending.set();
        mapping.clean(self.whole());
        self.cached
            .push(mapping, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        self.generation += 1;
        Ok(())
    }

    /// Maps the shadow of an attached device, which `new` makes if there is none.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device is not attached; `ENOMEM`, and those of `new` and `map`.
    pub(crate) fn map_shadow<R>(
        &mut self,
        pending: &Pending,
        device: &D,
        direction: Direction,
        new: impl FnOnce() -> Result<S>,
        map: impl FnOnce(&S) -> Result<R>,
    ) -> Result<R> {
        // Whatever may fail does before any data moves. A twin that is left behind does no harm.
        let attached = self.find(device).ok_or(EINVAL)?;
        if attached.shadow_mappings == 0
            && attached.shadow.as_ref().is_some_and(|s| !s.is_in_reach())
        {
            // Everything has been collected.
            attached.shadow = None;
        }
        let mut fresh = match attached.shadow {
            None => Some(new()?),
            Some(_) => None,
        };
        let shadow = fresh.as_mut().or(attached.shadow.as_mut()).ok_or(EINVAL)?;
        if direction.has_from_device() {
            shadow.allow_writing()?;
        }
        let mapping = map(shadow)?;

        let whole = self.whole();
        // Also a device of class `Cache` that only reads gets what the CPU wrote before.
        self.hand_over(Purpose::Exchange, Stands::Page, whole);
        pending.set();
        self.generation += 1;
        let attached = self.find(device).ok_or(EINVAL)?;
        attached.is_coherent = false;
        attached.shadow_mappings += 1;
        match (fresh, &mut attached.shadow) {
            (Some(fresh), shadow) => shadow.insert(fresh).fill(),
            // Nobody has kept it up to date.
            (None, Some(shadow)) if attached.shadow_mappings == 1 => {
                shadow.publish(whole);
            }
            (None, _) => {}
        }
        Ok(mapping)
    }

    /// A device that needs nothing itself is about to be unmapped.
    pub(crate) fn unmap_coherent(&mut self) {
        self.hand_over(Purpose::Exchange, Stands::Page, self.whole());
        self.coherent -= 1;
        self.generation += 1;
    }

    /// Unmaps for a device of class [`Cache`](crate::coherency::Coherency::Cache).
    pub(crate) fn unmap_cached(&mut self, pending: &Pending, mapping: &M) {
        self.hand_over(Purpose::Receive, Stands::Page, self.whole());
        self.cached.retain(|other| !other.is(mapping));
        self.settle(pending);
    }

    /// Unmaps the shadow of a device.
    pub(crate) fn unmap_shadow(&mut self, pending: &Pending, device: &D) {
        self.hand_over(Purpose::Receive, Stands::Page, self.whole());
        if let Some(attached) = self.find(device) {
            attached.shadow_mappings -= 1;
            // Everything has been collected.
            if attached.shadow_mappings == 0 && attached.shadow.as_ref().is_some_and(S::is_scarce) {
                attached.shadow = None;
            }
        }
        self.settle(pending);
    }

    /// Everything is in the pages: begin and end need not come any more, if nobody is left.
    fn settle(&mut self, pending: &Pending) {
        if !self.is_pending() {
            pending.clear();
        }
        self.generation += 1;
    }

    /// The CPU is about to access `span`. Returns what was done, if there was anything to do.
    pub(crate) fn begin(&mut self, span: Span) -> Option<Moved> {
        self.hand_over(Purpose::Receive, Stands::Device, span)
    }

    /// The CPU touches `span`, whatever it does there. Returns what was done, if there was anything to do.
    pub(crate) fn touch(&mut self, span: Span) -> Option<Moved> {
        self.hand_over(Purpose::Receive, Stands::Page, span)
    }

    /// The CPU has accessed `span`. Returns what was done, if there was anything to do.
    pub(crate) fn end(&mut self, access: Direction, span: Span) -> Option<Moved> {
        let stands = match access.has_to_device() {
            true => Stands::Page,
            false => Stands::Device,
        };
        self.hand_over(Purpose::Give, stands, span)
    }

    /// A device that is mapped is about to access the pages. What the CPU did is all in `span`. Returns
    /// what was done, if there was anything to do.
    pub(crate) fn begin_device_access(&mut self, span: Span) -> Option<Moved> {
        self.hand_over(Purpose::Exchange, Stands::Page, span)
    }

    /// A device that is mapped has accessed the pages. The CPU and other devices are to see it in `span`.
    /// Returns what was done, if there was anything to do.
    pub(crate) fn end_device_access(&mut self, span: Span) -> Option<Moved> {
        // What a device wrote that snoops may still be in the caches of the CPU.
        let purpose = match self.coherent {
            0 => Purpose::Receive,
            _ => Purpose::Exchange,
        };
        self.hand_over(purpose, Stands::Page, span)
    }

    fn mappings(&self) -> usize {
        let shadows: usize = self
            .attached
            .iter()
            .map(|attached| attached.shadow_mappings)
            .sum();
        self.coherent + self.cached.len() + shadows
    }

    /// Whether there is one mapping, whose device lacks nothing but what the CPU has done: what others
    /// wrote was handed over when they were unmapped.
    pub(crate) fn has_one_mapping(&self) -> bool {
        self.mappings() == 1
    }

    fn passes(&self, purpose: Purpose) -> Passes {
        // Rule 2. Cache maintenance is done to pages, not to devices: one mapping stands for all.
        let may_write = self.cached.iter().any(|mapping| mapping.may_write());
        let invalidate = may_write && (purpose != Purpose::Give || self.has_shadows());
        let shadows = self.attached.iter().filter_map(Attached::mapped_shadow);
        Passes {
            invalidate,
            clean: !self.cached.is_empty() && purpose != Purpose::Receive && !invalidate,
            collect: shadows.clone().filter(|shadow| shadow.may_write()).count(),
            publish: shadows.count(),
        }
    }

    /// Brings everything to everybody. Returns what was done, if there was anything to do.
    #[inline]
    fn hand_over(&mut self, purpose: Purpose, stands: Stands, span: Span) -> Option<Moved> {
        if !self.is_pending() {
            return None;
        }
        self.move_all(purpose, stands, span)
    }

    #[inline(never)]
    fn move_all(&mut self, purpose: Purpose, stands: Stands, span: Span) -> Option<Moved> {
        let passes = self.passes(purpose);
        let mut moved = Moved::default();
        let Self {
            attached, cached, ..
        } = self;
        let writer = cached.iter().find(|mapping| mapping.may_write());
        let one = writer.or(cached.first());

        if let Some(writer) = writer.filter(|_| passes.invalidate) {
            writer.clean_and_invalidate(span);
            moved.invalidated = span.len();
        }
        for shadow in attached.iter_mut().filter_map(Attached::mapped_shadow_mut) {
            moved.collected += shadow.collect(span, stands);
        }
        if let Some(one) = one.filter(|_| passes.clean || moved.collected > 0) {
            one.clean(span);
            moved.cleaned = span.len();
        }
        // Rule 1: behind all collects.
        for shadow in attached.iter_mut().filter_map(Attached::mapped_shadow_mut) {
            moved.published += shadow.publish(span);
        }
        (passes.count() > 0).then_some(moved)
    }
}

#[kunit_tests(udmabuf_attach)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use kernel::{
        alloc::flags::GFP_KERNEL,
        sync::Arc, //
    };
    use Direction::*;
    use Event::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Event {
        Clean(u32),
        CleanAndInvalidate(u32),
        Fill(u32),
        Allow(u32),
        Collect(u32, Stands),
        Publish(u32),
    }

    /// Everything that is done, in order, and how many bytes the next collects take.
    struct Log {
        events: Cell<KVec<Event>>,
        changed: Cell<usize>,
        /// What the last one was for.
        span: Cell<Span>,
        /// Whether devices reach their shadows.
        reaches: Cell<bool>,
    }

    const PAGES: usize = 2;
    const WHOLE: Span = Span::whole(PAGES);

    impl Log {
        fn new() -> Result<Arc<Self>> {
            let log = Self {
                events: Cell::new(KVec::new()),
                changed: Cell::new(0),
                span: Cell::new(WHOLE),
                reaches: Cell::new(true),
            };
            Ok(Arc::new(log, GFP_KERNEL)?)
        }

        fn note(&self, event: Event) {
            let mut events = self.events.take();
            // A lost note fails the test.
            let _ = events.push(event, GFP_KERNEL);
            self.events.set(events);
        }

        /// Whether just `events` happened since the last call.
        fn saw(&self, events: &[Event]) -> bool {
            self.events.take().as_slice() == events
        }
    }

    /// A mapping or a shadow that writes down what it is told, with a number.
    struct Fake {
        number: u32,
        may_write: bool,
        log: Arc<Log>,
    }

    impl Fake {
        fn shadow(log: &Arc<Log>, number: u32) -> Result<Self> {
            Ok(Self {
                number,
                may_write: false,
                log: log.clone(),
            })
        }

        fn mapping(log: &Arc<Log>, number: u32, may_write: bool) -> Result<Arc<Self>> {
            let log = log.clone();
            Ok(Arc::new(
                Self {
                    number,
                    may_write,
                    log,
                },
                GFP_KERNEL,
            )?)
        }
    }

    impl Cached for Arc<Fake> {
        fn is(&self, other: &Self) -> bool {
            Arc::ptr_eq(self, other)
        }
        fn may_write(&self) -> bool {
            self.may_write
        }
        fn clean(&self, span: Span) {
            self.log.note(Clean(self.number));
            self.log.span.set(span);
        }
        fn clean_and_invalidate(&self, span: Span) {
            self.log.note(CleanAndInvalidate(self.number));
            self.log.span.set(span);
        }
    }

    /// A device; those from [`OWN`] on have DMA operations of their own.
    #[derive(PartialEq)]
    struct Number(u32);

    const OWN: u32 = 200;

    impl Counted for Number {
        fn has_own_operations(&self) -> bool {
            self.0 >= OWN
        }
    }

    /// The shadow of this device is of what there is little of.
    const SCARCE: u32 = 100;

    impl Shadow for Fake {
        fn is_scarce(&self) -> bool {
            self.number == SCARCE
        }
        fn is_in_reach(&self) -> bool {
            self.log.reaches.get()
        }
        fn fill(&mut self) {
            self.log.note(Fill(self.number));
        }
        fn allow_writing(&mut self) -> Result {
            self.log.note(Allow(self.number));
            self.may_write = true;
            Ok(())
        }
        fn may_write(&self) -> bool {
            self.may_write
        }
        fn collect(&mut self, span: Span, stands: Stands) -> usize {
            self.log.note(Collect(self.number, stands));
            self.log.span.set(span);
            self.log.changed.get()
        }
        fn publish(&mut self, span: Span) -> usize {
            self.log.note(Publish(self.number));
            self.log.span.set(span);
            0
        }
    }

    /// A list, what is done to it, and whether anything is pending.
    struct Setup {
        list: Attachments<Number, Arc<Fake>, Fake>,
        log: Arc<Log>,
        pending: Pending,
    }

    impl Setup {
        fn new() -> Result<Self> {
            Ok(Self {
                list: Attachments::new(PAGES),
                log: Log::new()?,
                pending: Pending::new(false),
            })
        }

        fn map_cached(&mut self, number: u32, may_write: bool) -> Result<Arc<Fake>> {
            let mapping = Fake::mapping(&self.log, number, may_write)?;
            self.list
                .map_cached(&self.pending, &Number(number), mapping.clone())?;
            Ok(mapping)
        }

        fn map_shadow(&mut self, number: u32, direction: Direction) -> Result {
            let log = self.log.clone();
            let new = || Fake::shadow(&log, number);
            self.list
                .map_shadow(&self.pending, &Number(number), direction, new, |_| Ok(()))
        }

        fn attach_and_map(&mut self, number: u32, direction: Direction) -> Result {
            self.list.attach(Number(number), true)?;
            self.map_shadow(number, direction)
        }

        fn saw(&self, events: &[Event]) -> bool {
            self.log.saw(events)
        }

        fn is_pending(&self) -> bool {
            self.pending.has_devices_at_begin() && self.pending.has_devices_at_end()
        }
    }

    const BRACKETS: [Direction; 3] = [Bidirectional, ToDevice, FromDevice];

    #[test]
    fn nothing_mapped_is_nothing_to_do() -> Result {
        let mut s = Setup::new()?;
        s.list.attach(Number(1), true)?;
        for access in BRACKETS {
            assert!(s.list.begin(WHOLE).is_none() && s.list.end(access, WHOLE).is_none());
        }
        s.list.map_coherent();
        s.list.unmap_coherent();
        assert!(s.saw(&[]) && !s.is_pending());
        Ok(())
    }

    #[test]
    fn lines_are_maintained_once_at_begin_and_once_at_end() -> Result {
        let mut s = Setup::new()?;
        let reader = s.map_cached(1, false)?;
        assert!(s.is_pending() && s.saw(&[Clean(1)]));
        // Nothing comes from a device that only reads.
        assert!(s.list.begin(WHOLE).is_none() && s.list.end(Bidirectional, WHOLE).is_some());
        assert!(s.saw(&[Clean(1)]));

        // One that writes stands for all.
        let writer = s.map_cached(2, true)?;
        let another = s.map_cached(3, true)?;
        assert!(s.saw(&[Clean(2), CleanAndInvalidate(2), Clean(3)]));
        for access in BRACKETS {
            assert!(s.list.begin(WHOLE).is_some() && s.list.end(access, WHOLE).is_some());
            assert!(s.saw(&[CleanAndInvalidate(2), Clean(2)]));
        }
        s.list.unmap_cached(&s.pending, &writer);
        assert!(s.saw(&[CleanAndInvalidate(2)]) && s.is_pending());
        s.list.unmap_cached(&s.pending, &another);
        s.list.unmap_cached(&s.pending, &reader);
        assert!(s.saw(&[CleanAndInvalidate(3)]) && !s.is_pending());
        assert!(Arc::into_unique_or_drop(writer).is_some());
        Ok(())
    }

    #[test]
    fn who_only_reads_sees_what_the_cpu_wrote_before_another_came() -> Result {
        let mut s = Setup::new()?;
        let _reader = s.map_cached(1, false)?;
        assert!(s.saw(&[Clean(1)]));
        s.attach_and_map(2, ToDevice)?;
        assert!(s.saw(&[Clean(1), Fill(2)]));
        Ok(())
    }

    #[test]
    fn who_only_reads_sees_what_a_device_that_snoops_wrote() -> Result {
        let mut s = Setup::new()?;
        let reader = s.map_cached(1, false)?;
        s.list.map_coherent();
        assert!(s.saw(&[Clean(1)]));
        assert!(s.list.end_device_access(WHOLE).is_some());
        assert!(s.saw(&[Clean(1)]));
        s.list.unmap_coherent();
        assert!(s.saw(&[Clean(1)]));
        // It wrote nothing.
        s.list.unmap_cached(&s.pending, &reader);
        assert!(s.saw(&[]));
        Ok(())
    }

    #[test]
    fn mappings_of_all_classes_are_counted() -> Result {
        let mut s = Setup::new()?;
        assert!(!s.list.has_one_mapping());
        let first = s.map_cached(1, false)?;
        assert!(s.list.has_one_mapping());
        s.list.map_coherent();
        assert!(!s.list.has_one_mapping());
        s.list.unmap_cached(&s.pending, &first);
        assert!(s.list.has_one_mapping());
        s.attach_and_map(3, Bidirectional)?;
        assert!(!s.list.has_one_mapping());
        s.list.unmap_coherent();
        assert!(s.list.has_one_mapping());
        Ok(())
    }

    #[test]
    fn a_mapping_that_fails_leaves_nothing() -> Result {
        let mut s = Setup::new()?;
        s.list.attach(Number(1), true)?;
        let failed =
            s.list
                .map_shadow(&s.pending, &Number(1), ToDevice, || Err(ENOMEM), |_| Ok(()));
        assert!(failed.is_err_and(|error| error == ENOMEM));
        let new = || Fake::shadow(&s.log, 1);
        let failed = s
            .list
            .map_shadow::<()>(&s.pending, &Number(1), ToDevice, new, |_| Err(ENOMEM));
        assert!(failed.is_err_and(|error| error == ENOMEM));
        assert!(!s.is_pending() && s.saw(&[]) && s.list.begin(WHOLE).is_none());
        // Nobody has attached that one.
        assert!(s
            .map_shadow(2, ToDevice)
            .is_err_and(|error| error == EINVAL));
        Ok(())
    }

    #[test]
    fn a_shadow_is_filled_and_then_merged() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(1, Bidirectional)?;
        assert!(s.saw(&[Allow(1), Fill(1)]) && s.is_pending());
        assert!(s.list.begin(WHOLE).is_some());
        assert!(s.saw(&[Collect(1, Stands::Device), Publish(1)]));
        for (access, stands) in [
            (Bidirectional, Stands::Page),
            (ToDevice, Stands::Page),
            (FromDevice, Stands::Device),
        ] {
            assert!(s.list.end(access, WHOLE).is_some());
            assert!(s.saw(&[Collect(1, stands), Publish(1)]));
        }
        s.list.unmap_shadow(&s.pending, &Number(1));
        assert!(s.saw(&[Collect(1, Stands::Page), Publish(1)]) && !s.is_pending());
        Ok(())
    }

    #[test]
    fn all_is_collected_before_anything_is_published() -> Result {
        let mut s = Setup::new()?;
        let cached = s.map_cached(9, true)?;
        s.attach_and_map(1, FromDevice)?;
        s.attach_and_map(2, FromDevice)?;
        s.log.saw(&[]);
        let stands = Stands::Device;
        assert!(s.list.begin(WHOLE).is_some());
        assert!(s.saw(&[
            CleanAndInvalidate(9),
            Collect(1, stands),
            Collect(2, stands),
            Publish(1),
            Publish(2)
        ]));
        // What was collected has to reach memory.
        s.log.changed.set(1);
        assert!(s.list.begin(WHOLE).is_some());
        assert!(s.saw(&[
            CleanAndInvalidate(9),
            Collect(1, stands),
            Collect(2, stands),
            Clean(9),
            Publish(1),
            Publish(2)
        ]));
        s.log.changed.set(0);
        // At end as well, the shadows want what the other device wrote.
        assert!(s.list.end(FromDevice, WHOLE).is_some());
        assert!(s.saw(&[
            CleanAndInvalidate(9),
            Collect(1, stands),
            Collect(2, stands),
            Publish(1),
            Publish(2)
        ]));
        s.list.unmap_cached(&s.pending, &cached);
        assert!(s.is_pending());
        Ok(())
    }

    #[test]
    fn one_shadow_for_all_importers_of_a_device() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(1, ToDevice)?;
        assert!(s.saw(&[Fill(1)]));
        // Another importer, which lets the device write.
        s.attach_and_map(1, Bidirectional)?;
        let merged = [Collect(1, Stands::Page), Publish(1)];
        assert!(s.saw(&[Allow(1), merged[0], merged[1]]));
        s.list.unmap_shadow(&s.pending, &Number(1));
        assert!(s.saw(&merged) && s.is_pending());
        s.list.detach(&Number(1));
        s.list.unmap_shadow(&s.pending, &Number(1));
        assert!(s.saw(&merged) && !s.is_pending());

        // It stays until the last one detaches, and gets what changed meanwhile.
        s.map_shadow(1, ToDevice)?;
        assert!(s.saw(&[Publish(1)]));
        s.list.unmap_shadow(&s.pending, &Number(1));
        s.list.detach(&Number(1));
        s.log.saw(&[]);
        s.attach_and_map(1, ToDevice)?;
        assert!(s.saw(&[Fill(1)]));
        Ok(())
    }

    #[test]
    fn what_there_is_little_of_is_given_back_at_the_last_unmap() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(SCARCE, ToDevice)?;
        s.map_shadow(SCARCE, ToDevice)?;
        s.log.saw(&[]);
        s.list.unmap_shadow(&s.pending, &Number(SCARCE));
        let merged = [Collect(SCARCE, Stands::Page), Publish(SCARCE)];
        assert!(s.saw(&merged));
        s.list.unmap_shadow(&s.pending, &Number(SCARCE));
        assert!(s.saw(&merged));
        s.map_shadow(SCARCE, ToDevice)?;
        assert!(s.saw(&[Fill(SCARCE)]));
        Ok(())
    }

    #[test]
    fn what_is_out_of_reach_is_made_anew_once_nobody_maps_it() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(1, ToDevice)?;
        s.log.saw(&[]);
        s.log.reaches.set(false);
        // Mapped, and so the driver's mistake.
        s.map_shadow(1, ToDevice)?;
        assert!(s.saw(&[Collect(1, Stands::Page), Publish(1)]));
        s.list.unmap_shadow(&s.pending, &Number(1));
        s.list.unmap_shadow(&s.pending, &Number(1));
        s.log.saw(&[]);
        s.map_shadow(1, ToDevice)?;
        assert!(s.saw(&[Fill(1)]));
        Ok(())
    }

    #[test]
    fn mapping_for_anybody_hands_over_what_others_have() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(1, Bidirectional)?;
        let merged = [Collect(1, Stands::Page), Publish(1)];
        s.log.saw(&[]);
        s.list.map_coherent();
        assert!(s.saw(&merged));
        s.list.unmap_coherent();
        assert!(s.saw(&merged));
        let cached = s.map_cached(2, true)?;
        assert!(s.saw(&[merged[0], merged[1], Clean(2)]));
        s.list.unmap_cached(&s.pending, &cached);
        assert!(s.saw(&[CleanAndInvalidate(2), merged[0], merged[1]]));
        Ok(())
    }

    #[test]
    fn who_detaches_without_unmapping_keeps_the_shadow() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(1, FromDevice)?;
        s.list.detach(&Number(1));
        s.log.saw(&[]);
        assert!(s.list.begin(WHOLE).is_some());
        assert!(s.saw(&[Collect(1, Stands::Device), Publish(1)]));
        Ok(())
    }

    #[test]
    fn a_part_is_handed_over_to_everybody() -> Result {
        let mut s = Setup::new()?;
        let part = Span::new(100, 200, 2)?;
        let _cached = s.map_cached(9, true)?;
        assert!(s.list.begin(part).is_some() && s.log.span.get() == part);
        assert!(s.list.end(ToDevice, part).is_some() && s.log.span.get() == part);
        s.attach_and_map(1, Bidirectional)?;
        assert!(s.list.begin(WHOLE).is_some() && s.log.span.get() == WHOLE);
        assert!(s.list.begin(part).is_some() && s.log.span.get() == part);
        assert!(s.list.end(FromDevice, part).is_some() && s.log.span.get() == part);
        s.list.map_coherent();
        assert_eq!(s.log.span.get(), WHOLE);
        Ok(())
    }

    #[test]
    fn a_device_that_keeps_its_mapping_sees_what_the_cpu_and_others_wrote() -> Result {
        let mut s = Setup::new()?;
        let reader = s.map_cached(1, false)?;
        s.log.saw(&[]);
        s.list.begin_device_access(WHOLE);
        assert!(s.saw(&[Clean(1)]));
        s.list.end_device_access(WHOLE);
        assert!(s.saw(&[]));
        let writer = s.map_cached(2, true)?;
        s.log.saw(&[]);
        s.list.begin_device_access(WHOLE);
        s.list.end_device_access(WHOLE);
        assert!(s.saw(&[CleanAndInvalidate(2), CleanAndInvalidate(2)]));
        s.list.unmap_cached(&s.pending, &writer);
        s.attach_and_map(3, FromDevice)?;
        s.log.saw(&[]);
        let (collect, publish) = (Collect(3, Stands::Page), Publish(3));
        s.list.begin_device_access(WHOLE);
        assert!(s.saw(&[collect, Clean(1), publish]));
        s.list.end_device_access(WHOLE);
        assert!(s.saw(&[collect, publish]));
        s.list.unmap_cached(&s.pending, &reader);
        Ok(())
    }

    #[test]
    fn a_census_counts_mappings_and_passes() -> Result {
        let mut s = Setup::new()?;
        let none = Census {
            coherent: 0,
            cache: 0,
            shadow: 0,
            own_operations: 0,
            syncs: false,
            may_sync: false,
            generation: 0,
            begin: 0,
            end: 0,
        };
        assert_eq!(s.list.census(), none);
        s.list.attach(Number(1), true)?;
        let attached = Census {
            generation: 1,
            ..none
        };
        assert_eq!(s.list.census(), attached);
        // By what is known of it later.
        s.list.attach(Number(1), false)?;
        let may = s.list.census();
        assert!(may.may_sync && !may.syncs);
        s.list.attach(Number(1), true)?;
        assert!(!s.list.census().may_sync);
        s.list.detach(&Number(1));
        s.list.detach(&Number(1));

        s.list.map_coherent();
        assert!(s.list.census().coherent == 1);
        let writer = s.map_cached(9, true)?;
        let all = WHOLE.len();
        let census = s.list.census();
        assert_eq!((census.cache, census.begin, census.end), (1, all, all));
        s.map_shadow(1, ToDevice)?;
        // It is only published to.
        let census = s.list.census();
        assert_eq!(
            (census.shadow, census.begin, census.end),
            (1, 2 * all, 2 * all)
        );
        s.attach_and_map(OWN, Bidirectional)?;
        let census = s.list.census();
        assert_eq!((census.shadow, census.own_operations), (1, 1));
        assert_eq!((census.begin, census.end), (4 * all, 4 * all));
        assert!(census.syncs && census.may_sync);

        let before = census.generation;
        s.list.unmap_cached(&s.pending, &writer);
        s.list.unmap_coherent();
        s.list.unmap_shadow(&s.pending, &Number(1));
        s.list.unmap_shadow(&s.pending, &Number(OWN));
        s.list.detach(&Number(1));
        s.list.detach(&Number(OWN));
        let after = s.list.census();
        assert_eq!(after.generation, before + 6);
        assert_eq!(
            Census {
                generation: 0,
                ..after
            },
            none
        );
        Ok(())
    }

    #[test]
    fn atomics_are_declared_by_who_is_attached() -> Result {
        let mut s = Setup::new()?;
        let early = s.list.declare_atomics(&Number(1));
        assert!(early.is_err_and(|error| error == EINVAL));
        s.list.attach(Number(1), true)?;
        assert!(!s.list.has_atomics(&Number(1)));
        s.list.declare_atomics(&Number(1))?;
        assert!(s.list.has_atomics(&Number(1)) && !s.list.has_atomics(&Number(2)));
        s.list.detach(&Number(1));
        s.list.attach(Number(1), true)?;
        assert!(!s.list.has_atomics(&Number(1)));
        Ok(())
    }
}
