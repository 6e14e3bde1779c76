// SPDX-License-Identifier: GPL-2.0

//! The devices attached to a buffer, and what a hand-over does for each of them.
//!
//! # Locking
//!
//! The exporter keeps [`Attachments`] under one mutex. Order: reservation lock, then this mutex.
//! Hand-overs run with it held, all of one buffer one after the other. Two buffers over the same
//! pages each have their own: an END on one does not reach the devices of the other.
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
//!    device may look.
//! 3. Where page and shadow both changed a byte, the device's stands at begin, and at an end of
//!    reading, for a program that says it only reads has not written on purpose; the page's at an end
//!    that may have written, and at map and unmap, which come when they like: whoever writes then
//!    without a bracket, as a virtual CPU does, finds it again.
//! 4. Mapping for whatever device hands over what the others have; so does unmapping.
//! 5. A device has one shadow, however many importers attach it and map: from the first mapping to
//!    the last detach, or to the last unmap if it is of what there is little of.
//! 6. [`Pending`] tells begin and end whether there is anything to do, without the mutex.

use crate::{
    direction::Direction,
    merge::Stands,
    pending::Pending, //
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    prelude::*,
    sync::Arc, //
};

/// A mapping of class [`Cache`](crate::coherency::Coherency::Cache), as far as hand-overs are concerned. What it
/// does, it does for every mapping of that class.
pub(crate) trait Cached {
    /// Whether the device may write.
    fn may_write(&self) -> bool;
    /// Writes dirty cache lines back to memory.
    fn clean(&self);
    /// Writes dirty cache lines back and drops all, one by one, each at once.
    fn clean_and_invalidate(&self);
}

/// The copy of the pages that one device works on.
pub(crate) trait Shadow {
    /// Whether it is of memory that others may be waiting for.
    fn is_scarce(&self) -> bool;
    /// Gives it what is in the pages, before any device sees it.
    fn fill(&mut self);
    /// Its device may write from now on.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing has changed then.
    fn allow_writing(&mut self) -> Result;
    /// Takes to the pages what the device changed; returns how many bytes that was.
    fn collect(&mut self, stands: Stands) -> usize;
    /// Takes to the shadow what changed in the pages; returns how many bytes that was.
    fn publish(&mut self) -> usize;
}

/// A device, however many importers have attached it.
struct Attached<D, S> {
    device: D,
    /// How many have.
    attachments: usize,
    /// How many mappings of the shadow there are.
    mappings: usize,
    shadow: Option<S>,
}

/// The devices of a buffer.
pub(crate) struct Attachments<D, M, S> {
    attached: KVVec<Attached<D, S>>,
    /// The mappings of class [`Cache`](crate::coherency::Coherency::Cache).
    cached: KVVec<Arc<M>>,
}

/// What a hand-over is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// The CPU, or a device that is being mapped or unmapped, is to see what devices wrote.
    Receive,
    /// Devices are to see what the CPU wrote.
    Give,
}

impl<D: Copy + PartialEq, M: Cached, S: Shadow> Attachments<D, M, S> {
    pub(crate) const fn new() -> Self {
        Self {
            attached: KVVec::new(),
            cached: KVVec::new(),
        }
    }

    /// An importer has attached `device`.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn attach(&mut self, device: D) -> Result {
        if let Some(attached) = self.find(device) {
            attached.attachments += 1;
            return Ok(());
        }
        let attached = Attached {
            device,
            attachments: 1,
            mappings: 0,
            shadow: None,
        };
        Ok(self
            .attached
            .push(attached, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?)
    }

    /// The reverse of [`attach`](Self::attach). With the last importer goes the shadow, if
    /// it is still there, unless somebody has forgotten to unmap it: the device may still write there.
    pub(crate) fn detach(&mut self, device: D) {
        if let Some(attached) = self.find(device) {
            attached.attachments -= 1;
        }
        self.attached
            .retain(|attached| attached.attachments > 0 || attached.mappings > 0);
    }

    fn find(&mut self, device: D) -> Option<&mut Attached<D, S>> {
        let mut all = self.attached.iter_mut();
        all.find(|attached| attached.device == device)
    }

    /// Whether begin and end have anything to do.
    fn is_pending(&self) -> bool {
        !self.cached.is_empty() || self.attached.iter().any(|attached| attached.mappings > 0)
    }

    /// A device is about to be mapped that needs nothing itself.
    pub(crate) fn map_coherent(&mut self) {
        self.hand_over(Purpose::Receive, Stands::Page);
    }

    /// Maps for a device of class [`Cache`](crate::coherency::Coherency::Cache); `map` writes back what is in the
    /// CPU's caches.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of `map`.
    pub(crate) fn map_cached(
        &mut self,
        pending: &Pending,
        map: impl FnOnce() -> Result<Arc<M>>,
    ) -> Result<Arc<M>> {
        self.cached.reserve(1, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        self.hand_over(Purpose::Receive, Stands::Page);
        // Whoever ends an access from here on comes to hand over; what was ended before is written
        // back by `map`.
        pending.set();
        let mapping = map().inspect_err(|_| self.settle(pending))?;
        self.cached
            .push(mapping.clone(), GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        Ok(mapping)
    }

    /// Maps the shadow of an attached device, which `new` makes if there is none.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the device is not attached; `ENOMEM`, and those of `new` and `map`.
    pub(crate) fn map_shadow<R>(
        &mut self,
        pending: &Pending,
        device: D,
        direction: Direction,
        new: impl FnOnce() -> Result<S>,
        map: impl FnOnce(&S) -> Result<R>,
    ) -> Result<R> {
        // Whatever may fail does before any data moves. A twin that is left behind does no harm.
        let attached = self.find(device).ok_or(EINVAL)?;
        let mut fresh = match attached.shadow {
            None => Some(new()?),
            Some(_) => None,
        };
        let shadow = fresh.as_mut().or(attached.shadow.as_mut()).ok_or(EINVAL)?;
        if direction.has_from_device() {
            shadow.allow_writing()?;
        }
        let mapping = map(shadow)?;

        self.hand_over(Purpose::Receive, Stands::Page);
        // As in `map_cached()`: the shadow gets what was ended before.
        pending.set();
        let attached = self.find(device).ok_or(EINVAL)?;
        attached.mappings += 1;
        match (fresh, &mut attached.shadow) {
            (Some(fresh), shadow) => shadow.insert(fresh).fill(),
            // Nobody has kept it up to date.
            (None, Some(shadow)) if attached.mappings == 1 => {
                shadow.publish();
            }
            (None, _) => {}
        }
        Ok(mapping)
    }

    /// A device that needs nothing itself is about to be unmapped.
    pub(crate) fn unmap_coherent(&mut self) {
        self.hand_over(Purpose::Receive, Stands::Page);
    }

    /// Unmaps for a device of class [`Cache`](crate::coherency::Coherency::Cache).
    pub(crate) fn unmap_cached(&mut self, pending: &Pending, mapping: &Arc<M>) {
        self.hand_over(Purpose::Receive, Stands::Page);
        self.cached.retain(|other| !Arc::ptr_eq(other, mapping));
        self.settle(pending);
    }

    /// Unmaps the shadow of a device.
    pub(crate) fn unmap_shadow(&mut self, pending: &Pending, device: D) {
        self.hand_over(Purpose::Receive, Stands::Page);
        if let Some(attached) = self.find(device) {
            attached.mappings -= 1;
            // Everything has been collected.
            if attached.mappings == 0 && attached.shadow.as_ref().is_some_and(S::is_scarce) {
                attached.shadow = None;
            }
        }
        self.settle(pending);
    }

    /// Everything is in the pages: begin and end need not come any more, if nobody is left.
    fn settle(&self, pending: &Pending) {
        if !self.is_pending() {
            pending.clear();
        }
    }

    /// The CPU is about to access the pages. Returns whether there was anything to do.
    pub(crate) fn begin(&mut self) -> bool {
        self.hand_over(Purpose::Receive, Stands::Device)
    }

    /// The CPU has accessed the pages. Returns whether there was anything to do.
    pub(crate) fn end(&mut self, access: Direction) -> bool {
        let stands = match access.has_to_device() {
            true => Stands::Page,
            false => Stands::Device,
        };
        self.hand_over(Purpose::Give, stands)
    }

    /// Brings everything to everybody. Returns whether there was anything to do.
    fn hand_over(&mut self, purpose: Purpose, stands: Stands) -> bool {
        let Self { attached, cached } = self;
        let has_shadows = attached.iter().any(|attached| attached.mappings > 0);
        let shadows = |attached: &mut KVVec<Attached<D, S>>, action: &mut dyn FnMut(&mut S)| {
            let mapped = attached.iter_mut().filter(|attached| attached.mappings > 0);
            mapped
                .filter_map(|attached| attached.shadow.as_mut())
                .for_each(action);
        };
        // Cache maintenance is done to pages, not to devices: one mapping stands for all.
        let writer = cached.iter().find(|mapping| mapping.may_write());
        let one = writer.or(cached.first());

        // Rule 2.
        let invalidate = writer.is_some() && (purpose == Purpose::Receive || has_shadows);
        if let Some(writer) = writer.filter(|_| invalidate) {
            writer.clean_and_invalidate();
        }
        let mut collected = 0;
        shadows(attached, &mut |shadow| collected += shadow.collect(stands));
        let clean = collected > 0 || (purpose == Purpose::Give && !invalidate);
        if let Some(one) = one.filter(|_| clean) {
            one.clean();
        }
        // Rule 1: behind all collects.
        shadows(attached, &mut |shadow| {
            shadow.publish();
        });
        has_shadows || invalidate || (one.is_some() && clean)
    }
}

#[kunit_tests(udmabuf_attach)]
mod tests {
    use super::*;
    use core::cell::Cell;
    use kernel::alloc::flags::GFP_KERNEL;
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
    }

    impl Log {
        fn new() -> Result<Arc<Self>> {
            let log = Self {
                events: Cell::new(KVec::new()),
                changed: Cell::new(0),
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

    impl Cached for Fake {
        fn may_write(&self) -> bool {
            self.may_write
        }
        fn clean(&self) {
            self.log.note(Clean(self.number));
        }
        fn clean_and_invalidate(&self) {
            self.log.note(CleanAndInvalidate(self.number));
        }
    }

    /// The shadow of this device is of what there is little of.
    const SCARCE: u32 = 100;

    impl Shadow for Fake {
        fn is_scarce(&self) -> bool {
            self.number == SCARCE
        }
        fn fill(&mut self) {
            self.log.note(Fill(self.number));
        }
        fn allow_writing(&mut self) -> Result {
            self.log.note(Allow(self.number));
            Ok(())
        }
        fn collect(&mut self, stands: Stands) -> usize {
            self.log.note(Collect(self.number, stands));
            self.log.changed.get()
        }
        fn publish(&mut self) -> usize {
            self.log.note(Publish(self.number));
            0
        }
    }

    /// A list, what is done to it, and whether anything is pending.
    struct Setup {
        list: Attachments<u32, Fake, Fake>,
        log: Arc<Log>,
        pending: Pending,
    }

    impl Setup {
        fn new() -> Result<Self> {
            Ok(Self {
                list: Attachments::new(),
                log: Log::new()?,
                pending: Pending::new(),
            })
        }

        fn map_cached(&mut self, number: u32, may_write: bool) -> Result<Arc<Fake>> {
            let log = self.log.clone();
            self.list
                .map_cached(&self.pending, || Fake::mapping(&log, number, may_write))
        }

        fn map_shadow(&mut self, number: u32, direction: Direction) -> Result {
            let log = self.log.clone();
            let new = || Fake::shadow(&log, number);
            self.list
                .map_shadow(&self.pending, number, direction, new, |_| Ok(()))
        }

        fn attach_and_map(&mut self, number: u32, direction: Direction) -> Result {
            self.list.attach(number)?;
            self.map_shadow(number, direction)
        }

        fn saw(&self, events: &[Event]) -> bool {
            self.log.saw(events)
        }

        fn is_pending(&self) -> bool {
            self.pending.at_begin() && self.pending.at_end()
        }
    }

    const BRACKETS: [Direction; 3] = [Bidirectional, ToDevice, FromDevice];

    #[test]
    fn nothing_mapped_is_nothing_to_do() -> Result {
        let mut s = Setup::new()?;
        s.list.attach(1)?;
        for access in BRACKETS {
            assert!(!s.list.begin() && !s.list.end(access));
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
        assert!(s.is_pending());
        // Nothing comes from a device that only reads.
        assert!(!s.list.begin() && s.list.end(Bidirectional));
        assert!(s.saw(&[Clean(1)]));

        // One that writes stands for all.
        let writer = s.map_cached(2, true)?;
        let another = s.map_cached(3, true)?;
        assert!(s.saw(&[CleanAndInvalidate(2)]));
        for access in BRACKETS {
            assert!(s.list.begin() && s.list.end(access));
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
    fn a_mapping_that_fails_leaves_nothing() -> Result {
        let mut s = Setup::new()?;
        let failed = s.list.map_cached(&s.pending, || Err(EIO));
        assert!(failed.is_err_and(|error| error == EIO));
        assert!(!s.is_pending());

        s.list.attach(1)?;
        let failed = s
            .list
            .map_shadow(&s.pending, 1, ToDevice, || Err(ENOMEM), |_| Ok(()));
        assert!(failed.is_err_and(|error| error == ENOMEM));
        let new = || Fake::shadow(&s.log, 1);
        let failed = s
            .list
            .map_shadow::<()>(&s.pending, 1, ToDevice, new, |_| Err(ENOMEM));
        assert!(failed.is_err_and(|error| error == ENOMEM));
        assert!(!s.is_pending() && s.saw(&[]) && !s.list.begin());
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
        assert!(s.list.begin());
        assert!(s.saw(&[Collect(1, Stands::Device), Publish(1)]));
        for (access, stands) in [
            (Bidirectional, Stands::Page),
            (ToDevice, Stands::Page),
            (FromDevice, Stands::Device),
        ] {
            assert!(s.list.end(access));
            assert!(s.saw(&[Collect(1, stands), Publish(1)]));
        }
        s.list.unmap_shadow(&s.pending, 1);
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
        assert!(s.list.begin());
        assert!(s.saw(&[
            CleanAndInvalidate(9),
            Collect(1, stands),
            Collect(2, stands),
            Publish(1),
            Publish(2)
        ]));
        // What was collected has to reach memory.
        s.log.changed.set(1);
        assert!(s.list.begin());
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
        assert!(s.list.end(FromDevice));
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
        s.list.unmap_shadow(&s.pending, 1);
        assert!(s.saw(&merged) && s.is_pending());
        s.list.detach(1);
        s.list.unmap_shadow(&s.pending, 1);
        assert!(s.saw(&merged) && !s.is_pending());

        // It stays until the last one detaches, and gets what changed meanwhile.
        s.map_shadow(1, ToDevice)?;
        assert!(s.saw(&[Publish(1)]));
        s.list.unmap_shadow(&s.pending, 1);
        s.list.detach(1);
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
        s.list.unmap_shadow(&s.pending, SCARCE);
        let merged = [Collect(SCARCE, Stands::Page), Publish(SCARCE)];
        assert!(s.saw(&merged));
        s.list.unmap_shadow(&s.pending, SCARCE);
        assert!(s.saw(&merged));
        s.map_shadow(SCARCE, ToDevice)?;
        assert!(s.saw(&[Fill(SCARCE)]));
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
        assert!(s.saw(&merged));
        s.list.unmap_cached(&s.pending, &cached);
        assert!(s.saw(&[CleanAndInvalidate(2), merged[0], merged[1]]));
        Ok(())
    }

    #[test]
    fn who_detaches_without_unmapping_keeps_the_shadow() -> Result {
        let mut s = Setup::new()?;
        s.attach_and_map(1, FromDevice)?;
        s.list.detach(1);
        s.log.saw(&[]);
        assert!(s.list.begin());
        assert!(s.saw(&[Collect(1, Stands::Device), Publish(1)]));
        Ok(())
    }
}
