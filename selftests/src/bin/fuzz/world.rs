// SPDX-License-Identifier: GPL-2.0

//! What there is: descriptors, mappings and attachments, by slot, and who has them.

use selftests::Backing;

use crate::call::Way;
use crate::cells::Grid;
use crate::cells::Version;
use crate::pages::Memory;
use crate::pages::Party;

/// Processes, and those of their threads that do as they are told; the last thread of a process that
/// has more than one is for transfers of devices. A process of one thread can fork.
pub const THREADS: [usize; PROCESSES] = [1, 3, 3];
pub const PROCESSES: usize = 3;

/// Numbers of slots.
pub const BUFFERS: usize = 6;
pub const MAPPINGS: usize = 8;
pub const ATTACHMENTS: usize = 6;
pub const TRANSFERS: usize = 6;

/// The first pages of a memfd, or of a buffer that has no memfd, are watched.
pub const WATCHED: usize = 6;

/// Pages of memfds of base pages, at first.
pub const SMALL: usize = 8;

/// Where buffers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// `/dev/udmabuf`, and whether that is ours.
    Udmabuf { ours: bool },
    /// The system heap, which takes no memfds.
    Heap,
}

/// What does not change.
#[derive(Clone, Debug)]
pub struct Setting {
    pub source: Source,
    /// Edu devices of this machine, by the address bits that each has.
    pub bits: Vec<u8>,
    pub grid: Grid,
    /// The memfds of a round.
    pub backings: Vec<Backing>,
}

impl Setting {
    /// Edu devices of this machine.
    pub fn devices(&self) -> usize {
        self.bits.len()
    }

    /// The size of a memfd, in pages.
    pub fn pages(&self, memfd: usize) -> usize {
        match self.backings[memfd] {
            Backing::Base => SMALL,
            other => other.page_size() / selftests::PAGE,
        }
    }
}

/// The file that all processes have.
#[derive(Clone, Debug)]
pub struct Memfd {
    pub frames: Vec<usize>,
    pub pages: usize,
    pub may_grow: bool,
}

/// A buffer that at least one process has a descriptor of.
#[derive(Clone, Debug)]
pub struct Slot {
    pub buffer: usize,
    /// The descriptor's number, by process.
    pub descriptors: [Option<i64>; PROCESSES],
}

/// A CPU's mapping of a buffer.
#[derive(Clone, Debug)]
pub struct Mapping {
    pub process: usize,
    pub buffer: usize,
    pub page: usize,
    pub pages: usize,
    /// What is allowed.
    pub way: Option<Way>,
    pub address: i64,
}

#[derive(Clone, Debug)]
pub struct Attachment {
    pub process: usize,
    pub buffer: usize,
    pub device: usize,
    /// Not any more if the device has lost its driver.
    pub alive: bool,
    /// Whether it has been mapped: the device keeps its address bits from then on.
    pub mapped: bool,
}

/// A device's mapping of a buffer.
#[derive(Clone, Debug)]
pub struct Transfer {
    pub process: usize,
    pub attachment: usize,
    pub buffer: usize,
    pub device: usize,
    pub view: usize,
    pub way: Way,
    pub alive: bool,
}

/// A device that is at work.
#[derive(Clone, Debug)]
pub struct Work {
    pub process: usize,
    pub device: usize,
    pub party: Party,
    pub frame: usize,
    pub cells: u8,
    /// What it writes; it reads otherwise.
    pub writes: Option<Version>,
    /// Calls until it is waited for.
    pub left: u16,
}

/// Everything that is known.
#[derive(Clone, Debug)]
pub struct World {
    pub setting: Setting,
    pub memory: Memory,
    pub memfds: Vec<Memfd>,
    pub buffers: [Option<Slot>; BUFFERS],
    pub mappings: [Option<Mapping>; MAPPINGS],
    pub attachments: [Option<Attachment>; ATTACHMENTS],
    pub transfers: [Option<Transfer>; TRANSFERS],
    pub works: Vec<Work>,
    pub small_limits: bool,
    /// Buffers that were made.
    pub created: usize,
}

impl World {
    /// Nothing but memfds.
    pub fn new(setting: Setting) -> World {
        let mut memory = Memory::new(setting.grid);
        let memfds = (0..setting.backings.len())
            .map(|memfd| Memfd {
                frames: (0..WATCHED).map(|_| memory.frame()).collect(),
                pages: setting.pages(memfd),
                may_grow: true,
            })
            .collect();
        World {
            setting,
            memory,
            memfds,
            buffers: Default::default(),
            mappings: Default::default(),
            attachments: Default::default(),
            transfers: Default::default(),
            works: Vec::new(),
            small_limits: false,
            created: 0,
        }
    }

    /// A slot's buffer, if the process has a descriptor of it.
    pub fn buffer(&self, process: usize, slot: u8) -> Option<usize> {
        let slot = self.buffers.get(usize::from(slot))?.as_ref()?;
        slot.descriptors[process].map(|_| slot.buffer)
    }

    /// How many buffers something leads to.
    pub fn buffers_alive(&self) -> usize {
        let slots = self.buffers.iter().flatten().map(|slot| slot.buffer);
        let mappings = self.mappings.iter().flatten().map(|mapping| mapping.buffer);
        let attachments = self.attachments.iter().flatten();
        let attached = attachments.filter(|attachment| attachment.alive);
        let attached = attached.map(|attachment| attachment.buffer);
        let mut all: Vec<usize> = slots.chain(mappings).chain(attached).collect();
        all.sort_unstable();
        all.dedup();
        all.len()
    }

    /// How often something is mapped for a device.
    pub fn transfers_alive(&self) -> usize {
        self.transfers
            .iter()
            .flatten()
            .filter(|transfer| transfer.alive)
            .count()
    }

    /// The process has lost its descriptor.
    pub fn closed(&mut self, process: usize, slot: usize) {
        if let Some(buffer) = &mut self.buffers[slot] {
            buffer.descriptors[process] = None;
            if buffer.descriptors.iter().all(Option::is_none) {
                self.buffers[slot] = None;
            }
        }
    }

    /// The process is gone, and what it had.
    pub fn killed(&mut self, process: usize) {
        (0..BUFFERS).for_each(|slot| self.closed(process, slot));
        for mapping in &mut self.mappings {
            mapping.take_if(|mapping| mapping.process == process);
        }
        for transfer in &mut self.transfers {
            if let Some(transfer) = transfer.take_if(|transfer| transfer.process == process)
                && transfer.alive
            {
                self.memory.unmap(transfer.view);
            }
        }
        for attachment in &mut self.attachments {
            attachment.take_if(|attachment| attachment.process == process);
        }
    }

    /// The device has lost its driver, and with it what was attached.
    pub fn unbound(&mut self, device: usize) {
        for transfer in self.transfers.iter_mut().flatten() {
            if transfer.device == device && transfer.alive {
                transfer.alive = false;
                self.memory.unmap(transfer.view);
            }
        }
        for attachment in self.attachments.iter_mut().flatten() {
            attachment.alive &= attachment.device != device;
        }
    }

    /// The device has done its work.
    pub fn worked(&mut self, work: &Work) {
        match work.writes {
            Some(version) => self
                .memory
                .written(work.party, work.frame, work.cells, version),
            None => self.memory.reads(work.frame, work.cells, false),
        }
    }
}
