// SPDX-License-Identifier: GPL-2.0

//! Puts together what CPUs access, what devices transfer and what the guest says of it.

use std::{collections::HashMap, io::Write, ops::Range, sync::Arc};

use protocol::channel::{Decoder, MAGIC, Message};

use crate::{
    filter::Filter,
    instruction::Maintenance,
    line::{self, Access, Actor},
    model::{Model, PAGE_SIZE},
    report::Report,
    transfers::{BusMap, Engine, Progress, Transfer},
};

/// Offset of the register that the guest writes messages to.
const LIVENESS: u64 = 0x04;

/// No arm64 machine has a page frame beyond: physical addresses have 52 bits at most.
const FRAMES: u64 = 1 << (52 - 12);

/// An edu device that the guest has introduced.
struct Device {
    index: u32,
    coherent: bool,
    engine: Engine,
    bus: BusMap,
    /// The physical ranges of the transfer that runs: translations may change until it ends.
    ranges: Vec<Range<u64>>,
}

/// A page of registers that messages come through.
#[derive(Default)]
struct Port {
    decoder: Decoder,
    /// The device, once the guest has said that it is one.
    device: Option<Device>,
}

/// Sees all that happens to watched lines.
pub struct Observer<W> {
    model: Model,
    /// By the physical address of their page of registers.
    ports: HashMap<u64, Port>,
    filter: Arc<Filter>,
    report: Report<W>,
}

impl<W: Write> Observer<W> {
    /// An observer that writes to `out` and tells `filter` which pages it wants to hear of.
    pub fn new(out: W, filter: Arc<Filter>) -> Self {
        Observer {
            model: Model::default(),
            ports: HashMap::new(),
            filter,
            report: Report::new(out),
        }
    }

    /// A CPU has read a physical range of RAM.
    pub fn load(&mut self, range: &Range<u64>, by: Actor) {
        self.access(range, Access::Load, by);
    }

    /// A CPU has written a physical range of RAM.
    pub fn store(&mut self, range: &Range<u64>, by: Actor) {
        self.access(range, Access::Store, by);
    }

    /// A CPU executes an instruction on the data cache, whose operand leads to `physical`, if
    /// that is known.
    pub fn maintain(&mut self, operation: Maintenance, physical: Option<u64>, by: Actor) {
        let access = match operation {
            Maintenance::Clean => Some(Access::Clean),
            Maintenance::CleanInvalidate => Some(Access::CleanInvalidate),
            Maintenance::Invalidate => Some(Access::Invalidate),
            Maintenance::Zero => Some(Access::Store),
            Maintenance::CleanToUnification => None,
            Maintenance::SetWay => {
                if self.model.pages() > 0 {
                    self.report.counts.maintenance(operation);
                }
                return;
            }
        };
        let Some(physical) = physical else {
            if self.model.pages() > 0 {
                self.report.counts.unresolved += 1;
            }
            return;
        };
        let start = physical & !(line::SIZE - 1);
        let range = start..start + line::SIZE;
        if self.model.watches(&range) {
            self.report.counts.maintenance(operation);
            if let Some(access) = access {
                self.access(&range, access, by);
            }
        }
    }

    /// A CPU has written `value`, of so many bytes, to a device at a physical address.
    pub fn device_store(&mut self, address: u64, bytes: u64, value: u64) {
        let (page, offset) = (address - address % PAGE_SIZE, address % PAGE_SIZE);
        if offset == LIVENESS && bytes == 4 {
            self.word(page, value as u32);
        } else if let Some(device) = self.device(page) {
            match device.engine.store(offset, bytes, value) {
                Ok(Some(progress)) => self.transfer(page, progress),
                Ok(None) => {}
                Err(error) => self.report.noise(error),
            }
        }
    }

    /// A CPU has read `value` from a device at a physical address.
    pub fn device_load(&mut self, address: u64, value: u64) {
        let (page, offset) = (address - address % PAGE_SIZE, address % PAGE_SIZE);
        if let Some(device) = self.device(page)
            && let Some(progress) = device.engine.load(offset, value)
        {
            self.transfer(page, progress);
        }
    }

    /// Something was seen that the model cannot make sense of.
    pub fn noise(&mut self, message: impl std::fmt::Display) {
        self.report.noise(message);
    }

    /// Ends the report.
    pub fn finish(&mut self) {
        self.report.close();
    }

    fn access(&mut self, range: &Range<u64>, access: Access, by: Actor) {
        for violation in self.model.access(range, access, by) {
            self.report.violation(&violation);
        }
    }

    fn device(&mut self, page: u64) -> Option<&mut Device> {
        self.ports.get_mut(&page)?.device.as_mut()
    }

    /// The device of a page of registers starts or ends a transfer. Both ends are judged: in
    /// between the CPUs may have spoilt what was right.
    fn transfer(&mut self, page: u64, progress: Progress) {
        let Some(device) = self
            .ports
            .get_mut(&page)
            .and_then(|port| port.device.as_mut())
        else {
            return;
        };
        let by = Actor::Device(device.index);
        let (ranges, Transfer { writes, .. }) = match progress {
            Progress::Starts(transfer) => {
                device.ranges = device.bus.physical(&transfer.bus);
                let watched = device.ranges.iter().any(|range| self.model.watches(range));
                let counts = &mut self.report.counts;
                match transfer.writes {
                    true => counts.device_writes += u64::from(watched),
                    false => counts.device_reads += u64::from(watched),
                }
                (device.ranges.clone(), transfer)
            }
            Progress::Ends(transfer) => (std::mem::take(&mut device.ranges), transfer),
        };
        let access = match (writes, device.coherent) {
            (true, false) => Access::Write,
            (true, true) => Access::Store,
            (false, false) => Access::Read,
            (false, true) => Access::Snoop,
        };
        for range in ranges {
            self.access(&range, access, by);
        }
    }

    /// A word was written where messages go. Other devices have a register there as well, so a
    /// port opens only with the header of a message, and stays open only for a device.
    fn word(&mut self, page: u64, word: u32) {
        if !self.ports.contains_key(&page) && word & 0xffff_0000 != MAGIC {
            return;
        }
        let port = self.ports.entry(page).or_default();
        match port.decoder.word(word) {
            Ok(None) => {}
            Ok(Some(message)) => self.message(page, message),
            Err(noise) => {
                if port.device.is_none() {
                    self.ports.remove(&page);
                }
                self.report.noise(noise);
            }
        }
    }

    fn message(&mut self, page: u64, message: Message) {
        if let Message::Device { index, coherent } = message {
            self.introduce(page, index, coherent);
            return;
        }
        let Some(device) = self
            .ports
            .get_mut(&page)
            .and_then(|port| port.device.as_mut())
        else {
            self.ports.remove(&page);
            self.report.noise(format!(
                "a message through {page:#x}, which is no device that was introduced"
            ));
            return;
        };
        match message {
            Message::Device { .. } => {}
            Message::Translate { frame, .. } | Message::Watch { frame, .. } if frame >= FRAMES => {
                self.report
                    .noise(format!("page frame {frame:#x} is outside of any machine"));
            }
            Message::Translate { bus, frame } => device.bus.map(bus, frame),
            Message::Watch { frame, page } => {
                let new = self.model.watch(frame, page);
                self.report.counts.watched(usize::from(new));
                self.filter.insert(frame);
            }
            Message::Unwatch => {
                self.filter.clear();
                self.model.unwatch();
            }
            Message::Scope(name) => {
                self.report.scope(name);
                self.report.counts.watched(self.model.pages());
            }
        }
    }

    /// A device is bound: all that was known of one with its place or its number is over.
    fn introduce(&mut self, page: u64, index: u32, coherent: bool) {
        self.ports.retain(|&other, port| {
            other == page
                || port
                    .device
                    .as_ref()
                    .is_none_or(|device| device.index != index)
        });
        self.ports.entry(page).or_default().device = Some(Device {
            index,
            coherent,
            engine: Engine::default(),
            bus: BusMap::default(),
            ranges: Vec::new(),
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const CPU: Actor = Actor::Cpu { index: 0, pc: 8 };
    const FRAME: u64 = 0x40123;
    const BASE: u64 = FRAME * PAGE_SIZE;
    /// Registers of two devices.
    const EDU: [u64; 2] = [0x1000_0000, 0x1010_0000];

    /// An observer whose guest has two devices, the second one coherent, and watches a page.
    struct Guest {
        observer: Observer<Vec<u8>>,
        filter: Arc<Filter>,
    }

    impl Guest {
        fn new() -> Self {
            let filter = Arc::new(Filter::default());
            let mut guest = Guest {
                observer: Observer::new(Vec::new(), filter.clone()),
                filter,
            };
            for (index, coherent) in [(0, false), (1, true)] {
                guest.say(index as usize, &Message::Device { index, coherent });
            }
            guest.say(0, &Message::Scope("test".into()));
            guest.say(
                0,
                &Message::Watch {
                    frame: FRAME,
                    page: 1,
                },
            );
            guest
        }

        fn say(&mut self, device: usize, message: &Message) {
            for word in message.encode() {
                self.write(EDU[device] + LIVENESS, 4, word.into());
            }
        }

        fn write(&mut self, address: u64, bytes: u64, value: u64) {
            self.observer.device_store(address, bytes, value);
        }

        fn maintain(&mut self, operation: Maintenance, range: Range<u64>) {
            for line in range.step_by(line::SIZE as usize) {
                self.observer.maintain(operation, Some(line), CPU);
            }
        }

        fn store(&mut self, address: u64) {
            self.observer.store(&(address..address + 8), CPU);
        }

        fn load(&mut self, address: u64) {
            self.observer.load(&(address..address + 8), CPU);
        }

        fn start(&mut self, device: usize, bus: u64, count: u64, writes: bool) {
            let (source, destination) = if writes {
                (0x4_0000, bus)
            } else {
                (bus, 0x4_0000)
            };
            self.write(EDU[device] + 0x80, 8, source);
            self.write(EDU[device] + 0x88, 8, destination);
            self.write(EDU[device] + 0x90, 8, count);
            self.write(EDU[device] + 0x98, 4, 0b101 | u64::from(writes) << 1);
        }

        fn end(&mut self, device: usize) {
            self.write(EDU[device] + 0x64, 4, 0x100);
        }

        fn transfer(&mut self, device: usize, bus: u64, count: u64, writes: bool) {
            self.start(device, bus, count, writes);
            self.end(device);
        }

        /// The report, a line each.
        fn report(mut self) -> Vec<Value> {
            self.observer.finish();
            let text = String::from_utf8(self.observer.report.into_inner()).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }

        /// The kinds of violations.
        fn kinds(self) -> Vec<String> {
            let lines = self.report();
            let violations = lines.iter().filter(|line| line["type"] == "violation");
            violations
                .map(|line| line["kind"].as_str().unwrap().to_owned())
                .collect()
        }
    }

    #[test]
    fn a_clean_hand_over_breaks_nothing() {
        let mut guest = Guest::new();
        guest.store(BASE);
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.transfer(0, BASE, PAGE_SIZE, false);
        guest.transfer(0, BASE, PAGE_SIZE, true);
        guest.maintain(Maintenance::Invalidate, BASE..BASE + PAGE_SIZE);
        guest.load(BASE);
        let report = guest.report();
        assert_eq!(report.len(), 2);
        for (name, count) in [
            ("violations", 0),
            ("clean", 64),
            ("invalidate", 64),
            ("bytes", 2 * PAGE_SIZE),
            ("lines_watched", 64),
            ("device_reads", 1),
            ("device_writes", 1),
            ("unresolved", 0),
        ] {
            assert_eq!(report[0][name], count, "{name}");
        }
    }

    #[test]
    fn a_dirty_line_is_named() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.store(BASE + 0x7f8);
        guest.transfer(0, BASE, PAGE_SIZE, false);
        let report = guest.report();
        assert_eq!(report[0]["scope"], "test");
        assert_eq!(report[0]["kind"], "device-reads-dirty");
        assert_eq!(report[0]["line"], "0x401237c0");
        assert_eq!(report[0]["offset"], "0x17c0");
        assert_eq!(report[0]["last_writer"], "cpu 0 pc 0x8");
        assert_eq!(report[0]["by"], "edu 0");
        assert_eq!(report[1]["violations"], 1);
    }

    #[test]
    fn the_end_of_a_transfer_counts_as_well() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.start(0, BASE, 64, true);
        guest.maintain(Maintenance::Invalidate, BASE..BASE + 64);
        guest.end(0);
        guest.load(BASE);
        assert_eq!(guest.kinds(), ["cpu-reads-stale"]);

        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.start(0, BASE, 64, false);
        guest.store(BASE);
        guest.observer.device_load(EDU[0] + 0x98, 0);
        assert_eq!(guest.kinds(), ["device-reads-dirty"]);
    }

    #[test]
    fn a_coherent_device_needs_no_maintenance() {
        let mut guest = Guest::new();
        guest.store(BASE);
        guest.transfer(1, BASE, PAGE_SIZE, false);
        guest.transfer(1, BASE, PAGE_SIZE, true);
        guest.load(BASE);
        assert_eq!(guest.kinds(), Vec::<String>::new());
    }

    #[test]
    fn what_a_coherent_device_wrote_is_in_the_caches() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.transfer(1, BASE, 64, true);
        guest.transfer(0, BASE, PAGE_SIZE, false);
        let report = guest.report();
        assert_eq!(report[0]["last_writer"], "edu 1");
        assert_eq!(report[1]["violations"], 1);
    }

    #[test]
    fn a_coherent_device_meets_stale_lines() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.transfer(0, BASE, 256, true);
        guest.transfer(1, BASE, 64, false);
        // The second line whole, the third in part.
        guest.transfer(1, BASE + 64, 96, true);
        assert_eq!(guest.kinds(), ["device-reads-stale", "cpu-writes-stale"]);
    }

    #[test]
    fn zeroing_is_a_store_of_the_whole_line() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE..BASE + PAGE_SIZE);
        guest.transfer(0, BASE, 64, true);
        guest.maintain(Maintenance::Zero, BASE + 0x10..BASE + 0x11);
        guest.transfer(0, BASE, 64, false);
        assert_eq!(guest.kinds(), ["device-reads-dirty"]);
    }

    #[test]
    fn some_maintenance_helps_no_device() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::CleanToUnification, BASE..BASE + PAGE_SIZE);
        guest.maintain(Maintenance::SetWay, 0..1);
        guest.transfer(0, BASE, 64, false);
        let report = guest.report();
        assert_eq!(report[0]["kind"], "device-reads-dirty");
        assert_eq!(report[1]["other"], 65);
        assert_eq!(report[1]["bytes"], 0);
    }

    #[test]
    fn maintenance_of_other_lines_is_not_counted() {
        let mut guest = Guest::new();
        guest.maintain(Maintenance::Clean, BASE + PAGE_SIZE..BASE + 2 * PAGE_SIZE);
        guest.observer.maintain(Maintenance::Clean, None, CPU);
        guest.say(0, &Message::Unwatch);
        guest.observer.maintain(Maintenance::Clean, None, CPU);
        guest.maintain(Maintenance::SetWay, 0..1);
        let report = guest.report();
        assert_eq!(report[0]["clean"], 0);
        assert_eq!(report[0]["unresolved"], 1);
        assert_eq!(report[0]["other"], 0);
    }

    #[test]
    fn bus_addresses_are_translated_for_their_device_only() {
        let bus = 0xffff_0000;
        let translate = Message::Translate {
            bus: bus / PAGE_SIZE,
            frame: FRAME,
        };
        let mut guest = Guest::new();
        guest.say(1, &translate);
        guest.transfer(0, bus, 64, false);
        assert_eq!(guest.kinds(), Vec::<String>::new());

        let mut guest = Guest::new();
        guest.say(0, &translate);
        guest.start(0, bus, 64, false);
        // What it is said to be later is for the next transfer.
        guest.say(
            0,
            &Message::Translate {
                bus: bus / PAGE_SIZE,
                frame: 1,
            },
        );
        guest.store(BASE);
        guest.end(0);
        guest.transfer(0, bus, 128, false);
        let report = guest.report();
        assert_eq!(report[0]["line"], "0x40123000");
        assert_eq!(report[1]["violations"], 1);
        assert_eq!(report[1]["device_reads"], 1);
    }

    #[test]
    fn a_device_bound_anew_has_no_past() {
        let mut guest = Guest::new();
        guest.start(0, BASE, 64, true);
        guest.say(
            0,
            &Message::Device {
                index: 0,
                coherent: true,
            },
        );
        guest.end(0);
        guest.transfer(0, BASE + 64, 64, false);
        // The start of the write was all that happened to a device that does not snoop.
        assert_eq!(guest.kinds(), ["device-writes-under-dirty"]);

        // The same device in another place.
        let mut guest = Guest::new();
        for word in (Message::Device {
            index: 0,
            coherent: false,
        })
        .encode()
        {
            guest.write(0x2000_0004, 4, word.into());
        }
        guest.transfer(0, BASE, 64, false);
        assert_eq!(guest.kinds(), Vec::<String>::new());
    }

    #[test]
    fn only_watched_pages_pass_the_filter() {
        let mut guest = Guest::new();
        assert!(guest.filter.any() && guest.filter.may_have(FRAME));
        assert!(!guest.filter.may_have(FRAME + 1));
        guest.say(0, &Message::Unwatch);
        assert!(!guest.filter.any());
        guest.transfer(0, BASE, 64, false);
        assert_eq!(guest.kinds(), Vec::<String>::new());
    }

    #[test]
    fn what_is_watched_already_counts_in_the_next_scope() {
        let mut guest = Guest::new();
        guest.say(
            0,
            &Message::Watch {
                frame: FRAME,
                page: 1,
            },
        );
        guest.say(0, &Message::Scope("next".into()));
        let report = guest.report();
        assert_eq!(report[0]["lines_watched"], 64);
        assert_eq!(report[1]["lines_watched"], 64);
    }

    #[test]
    fn noise_is_reported() {
        let mut guest = Guest::new();
        // A word that is no header; a frame beyond any machine; a transfer out of the device.
        guest.write(EDU[0] + LIVENESS, 4, 0x1234);
        guest.say(
            0,
            &Message::Watch {
                frame: 1 << 40,
                page: 0,
            },
        );
        guest.transfer(0, BASE, PAGE_SIZE + 1, false);
        // A message through something that was not introduced.
        for word in Message::Unwatch.encode() {
            guest.write(0x2000_0004, 4, word.into());
        }
        assert!(guest.filter.any());
        let report = guest.report();
        let noise = report.iter().filter(|line| line["type"] == "noise");
        assert_eq!(noise.count(), 4);
        assert_eq!(report.last().unwrap()["noise"], 4);
    }

    #[test]
    fn other_devices_are_left_alone() {
        let mut guest = Guest::new();
        guest.write(0x900_0004, 4, 0x1234);
        guest.write(0x900_0098, 4, 1);
        guest.write(0x900_0004, 8, MAGIC.into());
        guest.observer.device_load(0x900_0098, 0);
        assert_eq!(guest.report().last().unwrap()["noise"], 0);
    }
}
