// SPDX-License-Identifier: GPL-2.0

//! Follows the DMA engine of an edu device by what CPUs write to its registers.

use std::{collections::HashMap, fmt, ops::Range};

use crate::model::PAGE_SIZE;

/// Offsets of registers.
mod register {
    pub const ACKNOWLEDGE: u64 = 0x64;
    pub const SOURCE: u64 = 0x80;
    pub const DESTINATION: u64 = 0x88;
    pub const COUNT: u64 = 0x90;
    pub const COMMAND: u64 = 0x98;
}

/// Bits of the command register.
mod command {
    pub const RUN: u64 = 1;
    pub const TO_BUS: u64 = 2;
}

/// The interrupt that says that a transfer has ended.
const TRANSFER_INTERRUPT: u64 = 0x100;

/// Where the device sees its own memory.
const MEMORY: Range<u64> = 0x4_0000..0x4_1000;

/// A transfer between the bus and the device's own memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The bus addresses.
    pub bus: Range<u64>,
    /// Whether the device writes them; else it reads them.
    pub writes: bool,
}

/// What a CPU's access to a register tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// A transfer starts.
    Starts(Transfer),
    /// It has ended.
    Ends(Transfer),
}

/// A transfer that the device cannot do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    inside: u64,
    bus: u64,
    count: u64,
}

impl fmt::Display for OutOfRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "a transfer of {} bytes between bus address {:#x} and device address {:#x} \
             leaves the bus or the device's memory",
            self.count, self.bus, self.inside
        )
    }
}

/// The registers of one DMA engine.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    source: u64,
    destination: u64,
    count: u64,
    running: Option<Transfer>,
}

impl Engine {
    /// A CPU has written `value`, of so many bytes, to the register at `offset`.
    ///
    /// # Errors
    ///
    /// [`OutOfRange`] for the start of a transfer that the device cannot do.
    pub fn store(
        &mut self,
        offset: u64,
        bytes: u64,
        value: u64,
    ) -> Result<Option<Progress>, OutOfRange> {
        if offset == register::ACKNOWLEDGE && bytes == 4 && value & TRANSFER_INTERRUPT != 0 {
            return Ok(self.end());
        }
        // The registers ignore what is written while a transfer runs.
        if self.running.is_some() || !matches!(bytes, 4 | 8) {
            return Ok(None);
        }
        match offset {
            register::SOURCE => self.source = value,
            register::DESTINATION => self.destination = value,
            register::COUNT => self.count = value,
            register::COMMAND if value & command::RUN != 0 => {
                return self.start(value & command::TO_BUS != 0).map(Some);
            }
            _ => {}
        }
        Ok(None)
    }

    /// A CPU has read `value` from the register at `offset`.
    pub fn load(&mut self, offset: u64, value: u64) -> Option<Progress> {
        if offset == register::COMMAND && value & command::RUN == 0 {
            self.end()
        } else {
            None
        }
    }

    fn start(&mut self, writes: bool) -> Result<Progress, OutOfRange> {
        let (inside, bus) = if writes {
            (self.source, self.destination)
        } else {
            (self.destination, self.source)
        };
        let fits = inside >= MEMORY.start
            && inside
                .checked_add(self.count)
                .is_some_and(|end| end <= MEMORY.end);
        let end = bus.checked_add(self.count).filter(|_| fits);
        let transfer = Transfer {
            bus: bus..end.ok_or(OutOfRange {
                inside,
                bus,
                count: self.count,
            })?,
            writes,
        };
        self.running = Some(transfer.clone());
        Ok(Progress::Starts(transfer))
    }

    fn end(&mut self) -> Option<Progress> {
        self.running.take().map(Progress::Ends)
    }
}

/// The pages of RAM behind the bus pages of one device.
#[derive(Clone, Debug, Default)]
pub struct BusMap {
    frames: HashMap<u64, u64>,
}

impl BusMap {
    /// Bus page `bus` is page frame `frame` from now on.
    pub fn map(&mut self, bus: u64, frame: u64) {
        self.frames.insert(bus, frame);
    }

    /// The physical ranges behind a range of bus addresses; pages that nothing was said of are
    /// where the bus has them.
    pub fn physical(&self, bus: &Range<u64>) -> Vec<Range<u64>> {
        let mut ranges = Vec::new();
        let mut start = bus.start;
        while start < bus.end {
            let page = start / PAGE_SIZE;
            let end = bus.end.min((page + 1).saturating_mul(PAGE_SIZE));
            let frame = self.frames.get(&page).copied().unwrap_or(page);
            let physical = frame * PAGE_SIZE + start % PAGE_SIZE;
            ranges.push(physical..physical.saturating_add(end - start));
            start = end;
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUS: u64 = 0x4567_8040;

    /// An engine whose registers say 0x100 bytes from the first address to the second.
    fn engine(source: u64, destination: u64) -> Engine {
        let mut engine = Engine::default();
        for (offset, value) in [(0x80, source), (0x88, destination), (0x90, 0x100)] {
            assert_eq!(engine.store(offset, 8, value), Ok(None));
        }
        engine
    }

    fn reads() -> Transfer {
        Transfer {
            bus: BUS..BUS + 0x100,
            writes: false,
        }
    }

    #[test]
    fn a_command_starts_a_transfer() {
        let mut engine = engine(BUS, 0x4_0000);
        assert_eq!(
            engine.store(0x98, 4, 0b101),
            Ok(Some(Progress::Starts(reads())))
        );
        let mut engine = super::tests::engine(0x4_0f00, BUS);
        let writes = Transfer {
            writes: true,
            ..reads()
        };
        assert_eq!(
            engine.store(0x98, 8, 0b111),
            Ok(Some(Progress::Starts(writes)))
        );
    }

    #[test]
    fn without_the_start_bit_nothing_starts() {
        let mut engine = engine(BUS, 0x4_0000);
        assert_eq!(engine.store(0x98, 4, 0b110), Ok(None));
        assert_eq!(engine.store(0x98, 2, 0b101), Ok(None));
        assert_eq!(engine.load(0x98, 0), None);
    }

    #[test]
    fn the_acknowledgement_ends_it() {
        let mut engine = engine(BUS, 0x4_0000);
        engine.store(0x98, 4, 0b101).unwrap();
        assert_eq!(engine.store(0x64, 4, 0x1), Ok(None));
        assert_eq!(
            engine.store(0x64, 4, 0x100),
            Ok(Some(Progress::Ends(reads())))
        );
        assert_eq!(engine.store(0x64, 4, 0x100), Ok(None));
    }

    #[test]
    fn a_read_of_the_command_ends_it() {
        let mut engine = engine(BUS, 0x4_0000);
        engine.store(0x98, 4, 0b001).unwrap();
        assert_eq!(engine.load(0x98, 1), None);
        assert_eq!(engine.load(0x24, 0), None);
        assert_eq!(engine.load(0x98, 0), Some(Progress::Ends(reads())));
    }

    #[test]
    fn a_running_transfer_is_not_disturbed() {
        let mut engine = engine(BUS, 0x4_0000);
        engine.store(0x98, 4, 0b101).unwrap();
        for (offset, value) in [(0x80, 0), (0x90, 0), (0x98, 0b111)] {
            assert_eq!(engine.store(offset, 4, value), Ok(None));
        }
        assert_eq!(engine.load(0x98, 0), Some(Progress::Ends(reads())));
        // Nor are the registers changed.
        assert_eq!(
            engine.store(0x98, 4, 1),
            Ok(Some(Progress::Starts(reads())))
        );
    }

    #[test]
    fn what_the_device_cannot_do_is_an_error() {
        for (source, destination, command) in [
            (BUS, 0x3_ff00, 1),
            (BUS, 0x4_0f01, 1),
            (BUS, u64::MAX, 1),
            (0, BUS, 3),
            (u64::MAX, 0x4_0000, 1),
        ] {
            let mut engine = engine(source, destination);
            assert!(
                engine.store(0x98, 4, command).is_err(),
                "{source:#x} {destination:#x}"
            );
            assert_eq!(engine.load(0x98, 0), None);
        }
    }

    #[test]
    fn bus_pages_lead_where_they_are_said_to() {
        let mut map = BusMap::default();
        map.map(0xffff0, 0x40123);
        map.map(0xffff2, 0x40001);
        let bus = 0xffff_0f00..0xffff_2080;
        assert_eq!(
            map.physical(&bus),
            [
                0x4012_3f00..0x4012_4000,
                0xffff_1000..0xffff_2000,
                0x4000_1000..0x4000_1080
            ]
        );
        map.map(0xffff0, 0x40999);
        assert_eq!(map.physical(&bus)[0], 0x4099_9f00..0x4099_a000);
        assert_eq!(map.physical(&(8..8)), []);
    }
}
