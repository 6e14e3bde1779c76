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
//! 1. First, what devices of class [`Cache`](crate::coherency::Coherency::Cache) wrote, then, from every shadow, what
//!    its device changed comes to the pages; only then do the shadows get what changed in the
//!    pages. So one hand-over takes data from each device to every other.
//! 2. Begin and unmap write each cache line back and drop it, in one instruction; end only writes
//!    back. Between memory and a shadow a line is dropped at end, too: the shadow wants what the
//!    other device wrote. What was collected goes to memory before the next device may look.
//! 3. Where page and shadow both changed a byte, the device's stands at begin, and at an end of
//!    reading; the page's at an end that may have written, at map and at unmap.
//! 4. Mapping for whatever device hands over what the others have; so does unmapping.
//! 5. A device has one shadow, however many importers attach it and map: from the first mapping to
//!    the last detach.
//! 6. [`Pending`] tells begin and end whether there is anything to do, without the mutex.

use crate::{
    direction::Direction,
    merge::Stands,
    pending::Pending, //
};
use kernel::{
    alloc::flags::GFP_KERNEL_ACCOUNT,
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
    attached: KVec<Attached<D, S>>,
    /// The mappings of class [`Cache`](crate::coherency::Coherency::Cache).
    cached: KVec<Arc<M>>,
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
            attached: KVec::new(),
            cached: KVec::new(),
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
        Ok(self.attached.push(attached, GFP_KERNEL_ACCOUNT)?)
    }

    /// The reverse of [`attach`](Self::attach). With the last importer goes the shadow, unless
    /// somebody has forgotten to unmap it: the device may still write there.
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
        self.cached.reserve(1, GFP_KERNEL_ACCOUNT)?;
        self.hand_over(Purpose::Receive, Stands::Page);
        // Whoever ends an access from here on comes to hand over; what was ended before is written
        // back by `map`.
        pending.set();
        let mapping = map().inspect_err(|_| self.settle(pending))?;
        self.cached.push(mapping.clone(), GFP_KERNEL_ACCOUNT)?;
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
        // Whatever may fail does before anything changes.
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
        if let Some(fresh) = fresh {
            attached.shadow.insert(fresh).fill();
        } else if let Some(shadow) = &mut attached.shadow {
            shadow.publish();
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
        let shadows = |attached: &mut KVec<Attached<D, S>>, action: &mut dyn FnMut(&mut S)| {
            let mapped = attached.iter_mut().filter(|attached| attached.mappings > 0);
            mapped.filter_map(|attached| attached.shadow.as_mut()).for_each(action);
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
