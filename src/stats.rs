// SPDX-License-Identifier: GPL-2.0

//! What the driver holds and has done since it was loaded.

use kernel::{
    fmt,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// A number that only this module's counters touch; readers may see the counters at slightly
/// different times.
pub(crate) struct Counter(Atomic<u64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    pub(crate) fn add(&self, n: usize) {
        self.0.fetch_add(n as u64, Relaxed);
    }

    pub(crate) fn sub(&self, n: usize) {
        self.0.fetch_sub(n as u64, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

macro_rules! statistics {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counters.
        pub(crate) struct Stats {
            $($(#[$doc])* pub(crate) $name: Counter,)*
        }

        /// The counters of this module.
        pub(crate) static STATS: Stats = Stats {
            $($name: Counter::new(),)*
        };

        impl kernel::debugfs::Writer for Stats {
            /// One line per counter: name and value.
            fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                $(writeln!(f, concat!(stringify!($name), " {}"), self.$name.get())?;)*
                Ok(())
            }
        }
    };
}

statistics! {
    /// Buffers alive.
    buffers,
    /// Pages in them.
    pages,
    /// Extents in them, each of one item; `UDMABUF_QUERY` counts runs.
    extents,
    /// Buffers made so far.
    created,
    /// Device mappings alive.
    mappings,
    /// Times that a device was refused for a buffer's mode.
    refused,
    /// Shadows alive: copies that devices work on instead of the pages.
    shadows,
    /// Pages in them.
    shadow_pages,
    /// Bytes taken from shadows to pages: what devices changed.
    collected,
    /// Bytes taken from pages to shadows: what the CPU, or another device, changed.
    published,
    /// Times that a begin brought home what devices wrote.
    synced_for_cpu,
    /// Times that an end handed over to devices.
    synced_for_device,
}

impl Stats {
    /// A buffer of that size has been made.
    pub(crate) fn add_buffer(&self, pages: usize, extents: usize) {
        self.buffers.add(1);
        self.pages.add(pages);
        self.extents.add(extents);
    }

    /// It is about to go away.
    pub(crate) fn sub_buffer(&self, pages: usize, extents: usize) {
        self.buffers.sub(1);
        self.pages.sub(pages);
        self.extents.sub(extents);
    }
}
