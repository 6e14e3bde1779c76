// SPDX-License-Identifier: GPL-2.0

//! What the agents do, and on which machine.

use std::ops::Range;

use crate::{direction::Direction, touched::CHUNK_ORDER};

/// Devices of a machine, at most.
pub const DEVICES: usize = 2;

/// How a device is attached to memory; the module's classes, to be named outside this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Coherent,
    Cache,
    Shadow,
}

impl Class {
    pub const ALL: [Class; 3] = [Class::Coherent, Class::Cache, Class::Shadow];
}

/// What a bracket is for, or what a device may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    Read,
    Write,
    ReadWrite,
}

impl Access {
    /// Of a bracket: a read has moved data from devices.
    pub(crate) fn of_cpu(self) -> Direction {
        match self {
            Access::Read => Direction::FromDevice,
            Access::Write => Direction::ToDevice,
            Access::ReadWrite => Direction::Bidirectional,
        }
    }

    /// Of a mapping: a device that reads is moved data to.
    pub(crate) fn of_device(self) -> Direction {
        match self {
            Access::Read => Direction::ToDevice,
            Access::Write => Direction::FromDevice,
            Access::ReadWrite => Direction::Bidirectional,
        }
    }
}

/// Where the words of an automatic buffer are, and what a fault makes entries of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layout {
    /// In a chunk each.
    Apart,
    /// In one chunk, which a fault takes as a whole.
    Together,
    /// In one chunk, of which a fault takes a page: the mapping has no more of it.
    Cut,
}

impl Layout {
    pub const ALL: [Layout; 3] = [Layout::Apart, Layout::Together, Layout::Cut];

    /// The page index of a word.
    pub fn page(self, word: usize) -> usize {
        match self {
            Layout::Apart => word << CHUNK_ORDER,
            Layout::Together | Layout::Cut => word,
        }
    }

    /// The page indices that get an entry together with that of a word.
    pub fn around(self, word: usize) -> Range<usize> {
        let page = self.page(word);
        let chunk = page >> CHUNK_ORDER;
        match self {
            Layout::Apart | Layout::Together => chunk << CHUNK_ORDER..(chunk + 1) << CHUNK_ORDER,
            Layout::Cut => page..page + 1,
        }
    }
}

/// One operation of an agent. Bytes are counted from the start of the buffer. An agent can be a
/// thread, an importer with its device, or both, if it waits for the one before the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    Begin(Access),
    End(Access),
    Load {
        byte: usize,
    },
    Store {
        byte: usize,
        value: u8,
    },
    /// Attach and map; may be done several times.
    Map {
        device: usize,
        access: Access,
    },
    /// Unmap and detach.
    Unmap {
        device: usize,
    },
    /// A mapping that fails when its device has been made way for.
    MapInVain {
        device: usize,
    },
    /// A device that is mapped says that it accesses the buffer, and that it has.
    BeginDevice {
        device: usize,
    },
    EndDevice {
        device: usize,
        access: Access,
    },
    DeviceLoad {
        device: usize,
        byte: usize,
    },
    DeviceStore {
        device: usize,
        byte: usize,
        value: u8,
    },
}

/// Operations of which an agent does one list, whichever.
pub type Choice = Vec<Vec<Op>>;

/// What the agents do, one choice after the other each. All that can be chosen is explored at once, so
/// that what comes to the same state is one state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Script {
    pub classes: [Class; DEVICES],
    pub agents: Vec<Vec<Choice>>,
    /// Whether stores of the CPU stay in a store buffer for a while.
    pub buffered: bool,
    /// If the buffer hands itself over, how it lies.
    pub automatic: Option<Layout>,
}

impl Script {
    /// Whether anything depends on what is in the CPU's cache.
    pub fn has_cache(&self) -> bool {
        self.classes.contains(&Class::Cache)
    }

    /// In how many ways the agents can choose.
    pub fn ways(&self) -> usize {
        self.agents.iter().flatten().map(Vec::len).product()
    }
}
