// SPDX-License-Identifier: GPL-2.0

//! The attached devices of a buffer, and when which of them is synced.
//!
//! An attachment matters from the moment that it is mapped: before, its device can neither read
//! nor write. So the list is one of mappings, and an attachment that is mapped twice is on it
//! twice. One that needs no syncs is not on it: it costs nothing.
//!
//! # Locking
//!
//! The exporter keeps [`Attachments`] under one mutex. Order: reservation lock, then this mutex.
//! Syncs, and the unmapping of what is removed, run with it held, so that a copy or an
//! invalidation never overlaps with the opening of a write bracket.
//!
//! # Rules
//!
//! 1. Begin brings home what a device may have written, whatever the bracket is for: a CPU that
//!    writes part of a cache line or bounce buffer hands on the rest of it too.
//! 2. End hands over to every device that may read, and readies the pages under every device that
//!    may write: no dirty cache line may be left to fall on what it writes. A reader is handed
//!    over to after a read bracket too, since what the CPU read may have come from another
//!    device, and be in the CPU's cache or not in the reader's bounce buffer.
//! 3. Where lines are invalidated, they are cleaned first, unless the mapping may be bounced: the
//!    CPU may have written outside any bracket, and a coherent device may have left lines dirty.
//!    The DMA API does this in two passes. What is written between the two, by a coherent device
//!    or by a CPU without a bracket, may be lost.
//! 4. While a write bracket is open, the pages are the CPU's: nothing is brought home over them,
//!    neither by another bracket nor when a mapping goes away. Writing to them is a device's
//!    mistake then, and what it wrote may be lost.
//! 5. Cache maintenance is done to pages, not to devices: one mapping, one that allows the most,
//!    stands for all of the class [`Coherency::Cache`], so that a bracket costs as much for many
//!    devices as for one. An attach and an unmap hand over by themselves and are not merged.
//!
//! That no device writes beside one that bounces is seen to where mappings are made.

use crate::{
    bracket::{
        Brackets,
        Open,
        Opener, //
    },
    coherency::Coherency,
    direction::Direction, //
};
use kernel::{
    alloc::flags::GFP_KERNEL,
    prelude::*,
    sync::Arc, //
};

/// A mapping, as far as the list is concerned.
pub(crate) trait Mapped {
    /// What the device may do.
    fn direction(&self) -> Direction;
    fn coherency(&self) -> Coherency;
    /// Hands the pages to the CPU, as far as the mapping has that direction.
    fn sync_for_cpu(&self, direction: Direction);
    /// Hands the pages to the device, as far as the mapping has that direction.
    fn sync_for_device(&self, direction: Direction);
    /// Whether the CPU gets what the device wrote when the mapping goes away.
    fn give_back(&self, yes: bool);
}

/// The active mappings of a buffer that need syncs, and its open write brackets.
pub(crate) struct Attachments<M, O> {
    mappings: KVec<Arc<M>>,
    brackets: Brackets<O>,
}

impl<M: Mapped, O: Opener> Attachments<M, O> {
    pub(crate) const fn new() -> Self {
        Self {
            mappings: KVec::new(),
            brackets: Brackets::new(),
        }
    }

    /// These brackets were opened before anything else was known of them.
    pub(crate) fn adopt(&mut self, open: Open<O>) {
        self.brackets.adopt(open);
    }

    /// Whether there is nothing to be synced, and nothing open.
    pub(crate) fn is_idle(&mut self) -> bool {
        self.mappings.is_empty() && !self.brackets.any_open()
    }

    /// Adds a new mapping.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the mapping then goes away without touching the pages.
    pub(crate) fn add(&mut self, mapping: &Arc<M>) -> Result {
        if mapping.coherency() != Coherency::Coherent {
            self.mappings.push(mapping.clone(), GFP_KERNEL)?;
        }
        mapping.give_back(true);
        Ok(())
    }

    /// Removes a mapping that was added, and drops it: gives its pages back.
    pub(crate) fn remove(&mut self, mapping: Arc<M>) {
        if mapping.coherency() == Coherency::Coherent {
            return;
        }
        if mapping.direction().has_from_device() {
            if mapping.coherency() != Coherency::Bounce {
                // Rule 3.
                mapping.sync_for_device(Direction::ToDevice);
            }
            // Rule 4.
            mapping.give_back(!self.brackets.any_open());
        }
        self.mappings.retain(|other| !Arc::ptr_eq(other, &mapping));
    }

    /// The mappings to be synced for all devices to be.
    fn to_sync(&self) -> impl Iterator<Item = &Arc<M>> {
        // Rule 5.
        let cached = |mapping: &&Arc<M>| mapping.coherency() == Coherency::Cache;
        let writer = |mapping: &&Arc<M>| cached(mapping) && mapping.direction().has_from_device();
        let mut all = self.mappings.iter();
        let one = all.clone().find(writer).or_else(|| all.find(cached));
        self.mappings
            .iter()
            .filter(move |mapping| match mapping.coherency() {
                // Not on the list, see `add()`.
                Coherency::Coherent => false,
                Coherency::Cache => one.is_some_and(|one| Arc::ptr_eq(one, mapping)),
                Coherency::OwnCache | Coherency::Bounce => true,
            })
    }

    /// `opener` is about to access the pages. Returns how many mappings were synced.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; nothing was done then.
    pub(crate) fn begin(&mut self, access: Direction, opener: impl FnOnce() -> O) -> Result<usize> {
        let writing = !self.mappings.is_empty() && self.brackets.any_open();
        if access.has_to_device() {
            self.brackets.open(opener())?;
        }
        // Rule 4.
        if writing {
            return Ok(0);
        }
        let mut synced = 0;
        for mapping in self.to_sync() {
            // Rule 1.
            if !mapping.direction().has_from_device() {
                continue;
            }
            if mapping.coherency() != Coherency::Bounce {
                // Rule 3.
                mapping.sync_for_device(Direction::ToDevice);
            }
            mapping.sync_for_cpu(Direction::FromDevice);
            synced += 1;
        }
        Ok(synced)
    }

    /// `closer` has accessed the pages. Returns how many mappings were synced.
    pub(crate) fn end(&mut self, access: Direction, closer: impl FnOnce() -> O) -> usize {
        let mut synced = 0;
        for mapping in self.to_sync() {
            // Rule 2. Only for a bounce buffer that the device writes does it matter what the CPU
            // did: refreshing one that the CPU has only read would undo what the device wrote
            // since. Cache lines under a device that writes are cleaned, never just dropped:
            // the device may leave alone what the CPU wrote.
            let direction = match mapping.coherency() {
                _ if !mapping.direction().has_from_device() => Direction::ToDevice,
                Coherency::Bounce => access,
                _ => Direction::Bidirectional,
            };
            mapping.sync_for_device(direction);
            synced += 1;
        }
        if access.has_to_device() {
            self.brackets.close(closer());
        }
        synced
    }
}

#[kunit_tests(udmabuf_attach)]
mod tests {
    use super::*;
    use crate::bracket::Sole;
    use core::cell::Cell;
    use Coherency::*;
    use Direction::*;

    /// A mapping that writes down what it is told.
    struct Fake {
        direction: Direction,
        coherency: Coherency,
        log: Cell<KVec<Event>>,
    }

    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Event {
        ForCpu(Direction),
        ForDevice(Direction),
        GiveBack(bool),
    }
    use Event::*;

    impl Fake {
        fn new(coherency: Coherency, direction: Direction) -> Result<Arc<Self>> {
            let log = Cell::new(KVec::new());
            Ok(Arc::new(
                Self {
                    direction,
                    coherency,
                    log,
                },
                GFP_KERNEL,
            )?)
        }

        fn note(&self, event: Event) {
            let mut log = self.log.take();
            // A lost note fails the test.
            let _ = log.push(event, GFP_KERNEL);
            self.log.set(log);
        }

        /// What happened so far does not matter.
        fn forget(&self) {
            self.log.take();
        }

        /// Whether just `events` happened since the last call.
        fn saw(&self, events: &[Event]) -> bool {
            self.log.take().as_slice() == events
        }
    }

    impl Mapped for Fake {
        fn direction(&self) -> Direction {
            self.direction
        }
        fn coherency(&self) -> Coherency {
            self.coherency
        }
        fn sync_for_cpu(&self, direction: Direction) {
            self.note(ForCpu(direction));
        }
        fn sync_for_device(&self, direction: Direction) {
            self.note(ForDevice(direction));
        }
        fn give_back(&self, yes: bool) {
            self.note(GiveBack(yes));
        }
    }

    #[derive(Clone, Copy, PartialEq)]
    struct Process(u32);

    impl Opener for Process {
        const BITS: u32 = 32;

        fn to_bits(self) -> u64 {
            self.0.into()
        }

        fn from_bits(bits: u64) -> Self {
            Self(bits as u32)
        }

        /// Process 0 has died.
        fn is_alive(&self) -> bool {
            self.0 != 0
        }
    }

    type List = Attachments<Fake, Process>;

    const BRACKETS: [Direction; 3] = [Bidirectional, ToDevice, FromDevice];

    fn bracket(list: &mut List, access: Direction) -> Result<(usize, usize)> {
        let begun = list.begin(access, || Process(1))?;
        Ok((begun, list.end(access, || Process(1))))
    }

    #[test]
    fn nothing_attached() -> Result {
        let mut list = List::new();
        for access in BRACKETS {
            assert_eq!(bracket(&mut list, access)?, (0, 0));
        }
        Ok(())
    }

    #[test]
    fn coherent_mappings_are_left_alone() -> Result {
        let mut list = List::new();
        let mapping = Fake::new(Coherent, Bidirectional)?;
        list.add(&mapping)?;
        for access in BRACKETS {
            assert_eq!(bracket(&mut list, access)?, (0, 0));
        }
        list.remove(mapping.clone());
        assert!(mapping.saw(&[GiveBack(true)]));
        Ok(())
    }

    #[test]
    fn lines_are_cleaned_then_invalidated_at_begin_and_cleaned_at_end() -> Result {
        let both = &[ForDevice(ToDevice), ForCpu(FromDevice)][..];
        for (direction, begin, end) in [
            (Bidirectional, both, Bidirectional),
            (FromDevice, both, Bidirectional),
            (ToDevice, &[][..], ToDevice),
        ] {
            for coherency in [Cache, OwnCache] {
                let mut list = List::new();
                let mapping = Fake::new(coherency, direction)?;
                list.add(&mapping)?;
                for access in BRACKETS {
                    mapping.forget();
                    list.begin(access, || Process(1))?;
                    assert!(mapping.saw(begin));
                    list.end(access, || Process(1));
                    assert!(mapping.saw(&[ForDevice(end)]));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn one_mapping_that_allows_the_most_stands_for_all_caches() -> Result {
        let mut list = List::new();
        let reader = Fake::new(Cache, ToDevice)?;
        let writer = Fake::new(Cache, FromDevice)?;
        let other = Fake::new(Cache, Bidirectional)?;
        let all = [&reader, &writer, &other];
        for mapping in all {
            list.add(mapping)?;
            mapping.forget();
        }
        assert_eq!(bracket(&mut list, Bidirectional)?, (1, 1));
        assert!(reader.saw(&[]));
        assert!(writer.saw(&[
            ForDevice(ToDevice),
            ForCpu(FromDevice),
            ForDevice(Bidirectional)
        ]));
        assert!(other.saw(&[]));

        // Only readers are left.
        list.remove(writer);
        list.remove(other);
        assert_eq!(bracket(&mut list, Bidirectional)?, (0, 1));
        assert!(reader.saw(&[ForDevice(ToDevice)]));
        Ok(())
    }

    #[test]
    fn what_does_more_than_cache_maintenance_is_synced_one_by_one() -> Result {
        for coherency in [OwnCache, Bounce] {
            let mut list = List::new();
            for _ in 0..3 {
                list.add(&Fake::new(coherency, Bidirectional)?)?;
            }
            list.add(&Fake::new(Cache, Bidirectional)?)?;
            assert_eq!(bracket(&mut list, Bidirectional)?, (4, 4));
        }
        Ok(())
    }

    #[test]
    fn a_written_bounce_buffer_takes_the_request_at_end() -> Result {
        for direction in [Bidirectional, FromDevice] {
            let mut list = List::new();
            let mapping = Fake::new(Bounce, direction)?;
            list.add(&mapping)?;
            for access in BRACKETS {
                mapping.forget();
                list.begin(access, || Process(1))?;
                assert!(mapping.saw(&[ForCpu(FromDevice)]));
                list.end(access, || Process(1));
                assert!(mapping.saw(&[ForDevice(access)]));
            }
        }
        Ok(())
    }

    #[test]
    fn a_read_bounce_buffer_is_refreshed_at_every_end() -> Result {
        let mut list = List::new();
        let mapping = Fake::new(Bounce, ToDevice)?;
        list.add(&mapping)?;
        for access in BRACKETS {
            mapping.forget();
            list.begin(access, || Process(1))?;
            assert!(mapping.saw(&[]));
            list.end(access, || Process(1));
            assert!(mapping.saw(&[ForDevice(ToDevice)]));
        }
        Ok(())
    }

    #[test]
    fn nothing_comes_home_over_an_open_write_bracket() -> Result {
        for (coherency, removal) in [
            (Bounce, &[GiveBack(false)][..]),
            (Cache, &[ForDevice(ToDevice), GiveBack(false)][..]),
        ] {
            let mut list = List::new();
            let mapping = Fake::new(coherency, Bidirectional)?;
            list.add(&mapping)?;
            list.begin(ToDevice, || Process(1))?;
            mapping.forget();

            // Another process, and the same one again.
            for process in [Process(2), Process(1)] {
                assert_eq!(list.begin(FromDevice, || process)?, 0);
                assert!(mapping.saw(&[]));
                list.end(FromDevice, || process);
                mapping.forget();
            }
            list.remove(mapping.clone());
            assert!(mapping.saw(removal));
        }
        Ok(())
    }

    #[test]
    fn a_bracket_opened_before_the_mapping_counts() -> Result {
        let mut list = List::new();
        list.begin(Bidirectional, || Process(1))?;
        let mapping = Fake::new(Bounce, FromDevice)?;
        list.add(&mapping)?;
        mapping.forget();
        list.begin(FromDevice, || Process(2))?;
        assert!(mapping.saw(&[]));
        list.end(Bidirectional, || Process(1));
        list.begin(FromDevice, || Process(2))?;
        assert!(mapping.saw(&[ForDevice(Bidirectional), ForCpu(FromDevice)]));
        Ok(())
    }

    #[test]
    fn the_bracket_of_a_dead_process_does_not_count() -> Result {
        let mut list = List::new();
        let mapping = Fake::new(Bounce, Bidirectional)?;
        list.add(&mapping)?;
        list.begin(ToDevice, || Process(0))?;
        mapping.forget();
        list.begin(FromDevice, || Process(1))?;
        assert!(mapping.saw(&[ForCpu(FromDevice)]));
        list.remove(mapping.clone());
        assert!(mapping.saw(&[GiveBack(true)]));
        Ok(())
    }

    #[test]
    fn lines_are_cleaned_before_an_unmap_invalidates_them() -> Result {
        for (direction, events) in [
            (Bidirectional, &[ForDevice(ToDevice), GiveBack(true)][..]),
            (FromDevice, &[ForDevice(ToDevice), GiveBack(true)][..]),
            (ToDevice, &[][..]),
        ] {
            let mut list = List::new();
            let mapping = Fake::new(Cache, direction)?;
            list.add(&mapping)?;
            mapping.forget();
            list.remove(mapping.clone());
            assert!(mapping.saw(events));
        }
        Ok(())
    }

    #[test]
    fn a_mapping_is_released_when_removed() -> Result {
        let mut list = List::new();
        let mapping = Fake::new(Cache, Bidirectional)?;
        let other = Fake::new(Cache, Bidirectional)?;
        list.add(&mapping)?;
        list.add(&other)?;
        assert!(mapping.saw(&[GiveBack(true)]));
        list.remove(mapping.clone());
        assert!(Arc::into_unique_or_drop(mapping).is_some());
        assert!(Arc::into_unique_or_drop(other).is_none());
        Ok(())
    }

    #[test]
    fn what_needs_no_sync_is_not_kept() -> Result {
        let mut list = List::new();
        let mapping = Fake::new(Coherent, Bidirectional)?;
        list.add(&mapping)?;
        assert!(list.is_idle());
        assert!(mapping.saw(&[GiveBack(true)]));
        list.remove(mapping.clone());
        assert!(Arc::into_unique_or_drop(mapping).is_some());
        Ok(())
    }

    #[test]
    fn adopted_brackets_are_open() -> Result {
        let mut list = List::new();
        let sole = Sole::new();
        assert!(sole.open(Process(1)));
        list.adopt(sole.take().ok_or(EINVAL)?);
        assert!(!list.is_idle());

        let mapping = Fake::new(Bounce, Bidirectional)?;
        list.add(&mapping)?;
        mapping.forget();
        list.begin(FromDevice, || Process(2))?;
        assert!(mapping.saw(&[]));
        list.end(ToDevice, || Process(1));
        list.remove(mapping);
        assert!(list.is_idle());
        Ok(())
    }
}
