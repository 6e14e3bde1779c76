// SPDX-License-Identifier: GPL-2.0

//! Whether begin and end have anything to do, in one word.
//!
//! # Ordering
//!
//! Begin and end leave the mutex of the attachments alone where the word is clear, so the word has to
//! order what the mutex would. It is written with the mutex held only.
//!
//! - End against map: whoever ends an access has written to the pages and then looks at the word;
//!   map writes the word and then looks at the pages. Each writes one thing and reads another, so
//!   each has a full barrier in between: then either end sees the word, and hands over, or map sees
//!   what was written. (Dekker's problem; "store buffering" in `tools/memory-model`.)
//! - Begin against unmap: what unmap brought to the pages is there for whoever sees the word
//!   cleared: a release, and an acquire.

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

/// Set while a device is mapped that does not see what the CPU sees.
pub(crate) struct Pending(Atomic<bool>);

impl Pending {
    pub(crate) const fn new() -> Self {
        Self(Atomic::new(false))
    }

    /// From now on there is something to do; the caller looks at the pages afterwards.
    pub(crate) fn set(&self) {
        self.0.store(true, Relaxed);
        smp_mb();
    }

    /// The pages hold everything, and nothing is left to do.
    pub(crate) fn clear(&self) {
        self.0.store(false, Release);
    }

    /// Before the CPU accesses the pages.
    #[inline]
    pub(crate) fn at_begin(&self) -> bool {
        self.0.load(Acquire)
    }

    /// After the CPU has accessed the pages.
    #[inline]
    pub(crate) fn at_end(&self) -> bool {
        smp_mb();
        load_relaxed(&self.0)
    }
}
