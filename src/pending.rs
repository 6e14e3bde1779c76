// SPDX-License-Identifier: GPL-2.0

//! Whether begin and end have anything to do, in one word.
//!
//! # Ordering
//!
//! Begin and end leave the mutex of the attachments alone where the word has no devices, so the word has
//! to order what the mutex would. It is written with the mutex held only.
//!
//! - End against map: whoever ends an access has written to the pages and then looks at the word;
//!   map writes the word and then looks at the pages. Each writes one thing and reads another, so
//!   each has a full barrier in between: then either end sees the word, and hands over, or map sees
//!   what was written. (Dekker's problem; "store buffering" in `tools/memory-model`.)
//! - Begin against unmap: what unmap brought to the pages is there for whoever sees the word
//!   cleared: a release, and an acquire.
//!
//! `selftests/loom` tries all orders.

use crate::ffi::{
    atomic::load_relaxed,
    compat::smp_mb, //
};
use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};

/// A device is mapped that does not see what the CPU sees.
const DEVICES: u32 = 1;
/// Somebody wants to hear of every begin and end, as long as the buffer lives.
const CHECKED: u32 = 2;

/// What there is to do at begin and end.
pub(crate) struct Pending {
    word: Atomic<u32>,
    /// What is in the word without devices.
    others: u32,
}

impl Pending {
    /// Of a buffer without devices, whose begins and ends somebody wants to hear of, or not.
    pub(crate) const fn new(is_checked: bool) -> Self {
        let others = if is_checked { CHECKED } else { 0 };
        Self {
            word: Atomic::new(others),
            others,
        }
    }

    /// From now on there are devices; the caller looks at the pages afterwards.
    pub(crate) fn set(&self) {
        self.word.store(self.others | DEVICES, Relaxed);
        smp_mb();
    }

    /// The pages hold everything, and no device is left.
    pub(crate) fn clear(&self) {
        self.word.store(self.others, Release);
    }

    /// Before the CPU accesses the pages: whether there is anything to do.
    #[inline]
    pub(crate) fn has_work_at_begin(&self) -> bool {
        self.word.load(Acquire) != 0
    }

    /// After the CPU has accessed the pages: whether there is anything to do.
    #[inline]
    pub(crate) fn has_work_at_end(&self) -> bool {
        smp_mb();
        load_relaxed(&self.word) != 0
    }

    /// Before the CPU accesses the pages: whether there are devices.
    pub(crate) fn has_devices_at_begin(&self) -> bool {
        self.word.load(Acquire) & DEVICES != 0
    }

    /// After the CPU has accessed the pages: whether there are devices.
    pub(crate) fn has_devices_at_end(&self) -> bool {
        smp_mb();
        load_relaxed(&self.word) & DEVICES != 0
    }
}
