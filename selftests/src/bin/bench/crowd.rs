// SPDX-License-Identifier: GPL-2.0

//! Others that are alive meanwhile.

use std::mem;

use selftests::DmaBuf;
use selftests::Memfd;
use selftests::PAGE;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::outcome::Stop;
use selftests::sys::clock;

use crate::contender::Maker;
use crate::measure::DEVICE;

/// Pages that a crowd has its buffers of, in turn.
const PAGES: usize = 1024;

/// Buffers of one page each, all mapped for a device.
pub struct Crowd {
    buffers: Vec<DmaBuf>,
    /// Has them attached and mapped, and gives them back when it is closed.
    edu: Edu,
}

impl Crowd {
    pub fn new(maker: &Maker, count: u32) -> Result<Crowd, Stop> {
        let memfd = Memfd::new(PAGES * PAGE)?;
        let edu = Edu::open(DEVICE)?;
        let mut buffers = Vec::new();
        for index in 0..count as usize {
            let page = memfd.range(index % PAGES * PAGE, PAGE);
            let buffer = maker.make_of(&[page], PAGE)?;
            let attachment = edu.attach(&buffer)?;
            let mapping = attachment.map(Direction::Bidirectional)?;
            mem::forget(mapping);
            mem::forget(attachment);
            buffers.push(buffer);
        }
        Ok(Crowd { buffers, edu })
    }

    /// Closes them all: with the importer's file each is unmapped, detached and gone. Says what
    /// that took for each.
    pub fn close(self) -> u64 {
        let count = self.buffers.len().max(1) as u64;
        let close = || {
            drop(self.buffers);
            drop(self.edu);
        };
        clock::time(close).1 / count
    }
}
