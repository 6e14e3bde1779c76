// SPDX-License-Identifier: GPL-2.0

//! Completions that are waited for again and again, and not for ever.
//!
//! The kernel crate's `Completion` can be neither waited for with a timeout nor used twice.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)

use kernel::{
    bindings,
    prelude::*,
    time::Jiffies,
    types::Opaque, //
};

/// Counts events that one side reports and the other waits for, one by one.
#[pin_data]
pub(crate) struct Events {
    #[pin]
    completion: Opaque<bindings::completion>,
}

// SAFETY: A C completion does not care which thread uses it.
unsafe impl Send for Events {}
// SAFETY: A C completion has a lock of its own.
unsafe impl Sync for Events {}

impl Events {
    /// No event has been reported yet.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            completion <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for writing a completion.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Reports one event, in any context.
    pub(crate) fn report(&self) {
        // SAFETY: `new` initialised the completion.
        unsafe { bindings::complete(self.completion.get()) };
    }

    /// Forgets what was reported and not waited for.
    pub(crate) fn forget(&self) {
        // SAFETY: `new` initialised the completion.
        while unsafe { bindings::try_wait_for_completion(self.completion.get()) } {}
    }

    /// Waits until an event is reported, but no longer than `limit`.
    ///
    /// Returns what is left of `limit`, [`None`] if nothing was reported.
    pub(crate) fn wait(&self, limit: Jiffies) -> Option<Jiffies> {
        // SAFETY: `new` initialised the completion.
        match unsafe { bindings::wait_for_completion_timeout(self.completion.get(), limit) } {
            0 => None,
            left => Some(left),
        }
    }
}
