// SPDX-License-Identifier: GPL-2.0

//! The flag that begin and end look at without the mutex.

use loom::{
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc, Mutex,
    },
    thread,
};

use crate::{
    attach::{Attachments, Cached, Counted, Shadow},
    direction::Direction,
    merge::Stands,
    pending::Pending,
    prelude::*,
    span::Span,
};

/// A flag that all threads know.
fn pending() -> Arc<Pending> {
    let pending = Arc::new(Pending::new(false));
    assert!(!pending.has_devices_at_begin());
    pending
}

/// The CPU writes to a page and ends its access, while a device is mapped.
pub fn end_against_map() {
    let page = Arc::new(AtomicU64::new(0));
    let pending = pending();
    let cpu = thread::spawn({
        let (page, pending) = (page.clone(), pending.clone());
        move || {
            page.store(1, Relaxed);
            pending.has_devices_at_end()
        }
    });
    pending.set();
    let seen = page.load(Relaxed) == 1;
    let comes = cpu.join().unwrap();
    assert!(seen || comes, "nobody hands over what the CPU wrote");
}

/// What a device wrote comes to a page at unmap, while the CPU begins an access.
pub fn begin_against_unmap() {
    let page = Arc::new(AtomicU64::new(0));
    let pending = pending();
    pending.set();
    let unmap = thread::spawn({
        let (page, pending) = (page.clone(), pending.clone());
        move || {
            page.store(1, Relaxed);
            pending.clear();
        }
    });
    if !pending.has_devices_at_begin() {
        assert_eq!(page.load(Relaxed), 1, "the CPU sees what was there before");
    }
    unmap.join().unwrap();
}

/// A page in the CPU's cache, and the memory behind it, which a device sees that does not snoop.
#[derive(Clone)]
struct Cache {
    page: Arc<AtomicU64>,
    memory: Arc<AtomicU64>,
}

impl Cached for crate::sync::Arc<Cache> {
    fn is(&self, other: &Self) -> bool {
        crate::sync::Arc::ptr_eq(self, other)
    }
    fn may_write(&self) -> bool {
        false
    }
    fn clean(&self, _: Span) {
        self.memory.store(self.page.load(Relaxed), Relaxed);
    }
    fn clean_and_invalidate(&self, span: Span) {
        self.clean(span);
    }
}

/// No device has one here.
enum NoShadow {}

impl Shadow for NoShadow {
    fn is_scarce(&self) -> bool {
        match *self {}
    }
    fn is_in_reach(&self) -> bool {
        match *self {}
    }
    fn fill(&mut self) {
        match *self {}
    }
    fn allow_writing(&mut self) -> Result {
        match *self {}
    }
    fn may_write(&self) -> bool {
        match *self {}
    }
    fn collect(&mut self, _: Span, _: Stands) -> usize {
        match *self {}
    }
    fn publish(&mut self, _: Span) -> usize {
        match *self {}
    }
}

const PAGES: usize = 1;
const WHOLE: Span = Span::whole(PAGES);

impl Counted for u32 {
    fn has_own_operations(&self) -> bool {
        false
    }
}

/// What a buffer has of `exporter.rs`, whose few lines around the mutex are written once more here:
/// that file needs a kernel.
struct Buffer {
    pending: Arc<Pending>,
    attachments: Mutex<Attachments<u32, crate::sync::Arc<Cache>, NoShadow>>,
    cache: Cache,
}

impl Buffer {
    fn map(&self) -> crate::sync::Arc<Cache> {
        let mut attachments = self.attachments.lock().unwrap();
        let mapping = crate::sync::Arc::new(self.cache.clone(), GFP_KERNEL).unwrap();
        let mapped = attachments.map_cached(&self.pending, &0, mapping.clone());
        mapped.map(|()| mapping).unwrap()
    }

    fn unmap(&self, mapping: crate::sync::Arc<Cache>) {
        let mut attachments = self.attachments.lock().unwrap();
        attachments.unmap_cached(&self.pending, &mapping);
    }

    fn end(&self) {
        if self.pending.has_devices_at_end() {
            self.attachments
                .lock()
                .unwrap()
                .end(Direction::ToDevice, WHOLE);
        }
    }
}

/// The CPU writes and ends, while one device is mapped and unmapped, and then another one mapped. That
/// one has to see it.
pub fn end_against_devices_that_come_and_go() {
    let cache = Cache {
        page: Arc::new(AtomicU64::new(0)),
        memory: Arc::new(AtomicU64::new(0)),
    };
    let buffer = Arc::new(Buffer {
        pending: pending(),
        attachments: Mutex::new(Attachments::new(PAGES)),
        cache,
    });
    let cpu = thread::spawn({
        let buffer = buffer.clone();
        move || {
            buffer.cache.page.store(1, Relaxed);
            buffer.end();
        }
    });
    let first = buffer.map();
    buffer.unmap(first);
    let _second = buffer.map();
    cpu.join().unwrap();
    let memory = buffer.cache.memory.load(Relaxed);
    assert_eq!(memory, 1, "nobody hands over what the CPU wrote");
}
