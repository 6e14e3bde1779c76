// SPDX-License-Identifier: GPL-2.0

//! What the kernel holds for the programs that run: dma-bufs and pins.

use std::fmt;
use std::io;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bufinfo;
use crate::bufinfo::Entry;
use crate::limit::Limit;
use crate::pins::Pins;

/// How long the kernel may take to give back what a process had, once that is gone.
const SETTLED: Limit = Limit::seconds(5);

/// What both drivers call themselves; programs look for this name.
pub const EXPORTER: &str = "udmabuf";

/// Everything that could be left over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Pins of pages in the whole system.
    pub pinned: u64,
    /// dma-bufs in the whole system.
    pub buffers: Vec<Entry>,
}

impl Held {
    /// Counts.
    ///
    /// # Errors
    ///
    /// When the kernel does not say.
    pub fn now() -> io::Result<Self> {
        Ok(Held {
            pinned: Pins::now()?.held(),
            buffers: bufinfo::list()?,
        })
    }

    /// Waits a moment until something holds; returns what there is then.
    ///
    /// # Errors
    ///
    /// As [`Held::now`].
    pub fn wait_until(holds: impl Fn(&Held) -> bool) -> io::Result<Self> {
        let deadline = Instant::now() + SETTLED.here()?;
        loop {
            let now = Held::now()?;
            if holds(&now) || Instant::now() > deadline {
                return Ok(now);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// How many udmabufs there are.
    pub fn udmabufs(&self) -> usize {
        let ours = |entry: &&Entry| entry.exporter == EXPORTER;
        self.buffers.iter().filter(ours).count()
    }

    /// How many udmabufs there are of a size in bytes.
    pub fn count(&self, size: usize) -> usize {
        let wanted = Entry {
            size,
            exporter: EXPORTER.to_owned(),
        };
        let entries = self.buffers.iter();
        entries.filter(|entry| **entry == wanted).count()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: usize = self.buffers.iter().map(|entry| entry.size).sum();
        let count = self.buffers.len();
        write!(f, "{count} dma-bufs of {bytes} bytes, {} pins", self.pinned)
    }
}
