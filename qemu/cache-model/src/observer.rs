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
