// SPDX-License-Identifier: GPL-2.0

//! Memory of a memfd that is a dma-buf as well.

use anyhow::{Context, Result, ensure};
use selftests::{Access, DmaBuf, Mapping, Memfd, PAGE, Udmabuf, driver::Driver, statistics};

/// A dma-buf over a memfd of its own, mapped.
pub struct Shared {
    /// The buffer.
    pub buffer: DmaBuf,
    mapping: Mapping,
}

impl Shared {
    /// Makes one of at least that many bytes. Where our driver is to be the one that made it, its
    /// own numbers have to say so.
    pub fn new(bytes: usize) -> Result<Self> {
        let memfd = Memfd::new(bytes.next_multiple_of(PAGE)).context("cannot make a memfd")?;
        let device = Udmabuf::open().context("cannot open /dev/udmabuf")?;
        let before = statistics::counter("created")?;
        let buffer = device.create(memfd.whole());
        let buffer = buffer.context("cannot make a dma-buf of a memfd")?;
        let made = statistics::counter("created")?.zip(before);
        let made = made.map(|(after, before)| after - before);
        let expected = match Driver::under_test() {
            Driver::Rust => Some(1),
            Driver::C => None,
        };
        ensure!(
            made == expected,
            "our driver has made {made:?} dma-bufs in the inner guest instead of {expected:?}"
        );
        let mapping = buffer.map(Access::ReadWrite);
        let mapping = mapping.context("cannot map the dma-buf")?;
        Ok(Shared { buffer, mapping })
    }

    /// Writes pieces of bytes, each at its offset, inside one sync bracket.
    pub fn write(&self, pieces: impl Iterator<Item = (usize, Vec<u8>)>) -> Result<()> {
        let bracket = self.buffer.begin(Access::Write).context("SYNC_START")?;
        for (at, bytes) in pieces {
            self.mapping.write(at, &bytes);
        }
        bracket.end().context("SYNC_END")
    }

    /// Reads bytes from the start on, inside a sync bracket.
    pub fn read(&self, bytes: &mut [u8]) -> Result<()> {
        let bracket = self.buffer.begin(Access::Read).context("SYNC_START")?;
        self.mapping.read(0, bytes);
        bracket.end().context("SYNC_END")
    }
}
