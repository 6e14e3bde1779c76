// SPDX-License-Identifier: GPL-2.0

//! One call, as it is written down: numbers of slots, and no addresses, descriptors or data, so that
//! a list of calls means the same on every run, and with calls left out.

use serde::Deserialize;
use serde::Serialize;

use selftests::Access;
use selftests::Mode;
use selftests::abi;

/// What is done, and by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    pub process: u8,
    /// One of its threads that do what they are told.
    pub thread: u8,
    pub deed: Deed,
}

/// Consecutive pages of a memfd, as an item of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pages {
    pub memfd: u8,
    pub first: u16,
    pub count: u16,
}

/// Cells of one page, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spot {
    /// Counted from the start of what is accessed.
    pub page: u16,
    pub first: u8,
    pub cells: u8,
}

/// Reading, writing or both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Way {
    Read,
    Write,
    Both,
}

impl Way {
    pub const ALL: [Way; 3] = [Way::Read, Way::Write, Way::Both];

    pub fn access(self) -> Access {
        match self {
            Way::Read => Access::Read,
            Way::Write => Access::Write,
            Way::Both => Access::ReadWrite,
        }
    }

    pub fn reads(self) -> bool {
        self != Way::Write
    }

    pub fn writes(self) -> bool {
        self != Way::Read
    }
}

/// The way by which a CPU gets at the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Through {
    /// A mapping of the memfd.
    Memfd(u8),
    /// pread() and pwrite() of the memfd.
    File(u8),
    /// A mapping of the buffer.
    Mapping(u8),
    /// The same, by a child that has inherited it.
    Child(u8),
    /// The same, from outside: `/proc/PID/mem`, where ptrace() goes too.
    Debugger(u8),
    /// The kernel's own mapping of a buffer, by the importer.
    Kernel(u8),
}

/// What a [`Deed::CreateIn`] may ask for besides a mode.
const FLAGS: [u32; 4] = [
    0,
    abi::UDMABUF_FLAGS_CHECK,
    abi::UDMABUF_FLAGS_AUTO_SYNC,
    abi::UDMABUF_FLAGS_CHECK | abi::UDMABUF_FLAGS_AUTO_SYNC,
];

/// How many different things can be asked for.
pub const ASKED: u8 = (Mode::OFFERED.len() * FLAGS.len()) as u8;

/// The mode and the flags that stand behind a number.
pub fn asked(number: u8) -> Option<(Mode, u32)> {
    let (mode, flags) = (
        usize::from(number) % Mode::OFFERED.len(),
        usize::from(number) / Mode::OFFERED.len(),
    );
    Some((Mode::OFFERED[mode], *FLAGS.get(flags)?))
}

/// Numbers are those of slots unless they are called otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Deed {
    Create {
        buffer: u8,
        of: Vec<Pages>,
    },
    /// The same, with what is [asked for](asked) by a number.
    CreateIn {
        buffer: u8,
        of: Vec<Pages>,
        mode: u8,
    },
    /// Asks what a buffer is, or, without one, what there is to ask.
    Query {
        buffer: Option<u8>,
    },
    /// A bracket around cells: those of `spot`, and all from there to the same place so many pages
    /// further on.
    SyncRange {
        buffer: u8,
        flags: u32,
        spot: Spot,
        further: u16,
    },
    /// A request that must be refused; its number in `broken.rs`, and bytes for the one of chance.
    Broken {
        kind: u8,
        chance: u64,
    },
    /// Gets a descriptor of the buffer from another process.
    Take {
        buffer: u8,
        from: u8,
    },
    Close {
        buffer: u8,
    },
    Sync {
        buffer: u8,
        flags: u64,
    },
    /// Begins an access while a device works on the buffer, so that it has to wait.
    Fence {
        buffer: u8,
        way: Way,
    },
    /// Takes what there is to wait for as a sync file.
    Export {
        buffer: u8,
    },
    Mmap {
        mapping: u8,
        buffer: u8,
        page: u16,
        pages: u16,
        way: Way,
        huge: bool,
    },
    /// A mapping that must be refused.
    MmapPrivate {
        buffer: u8,
    },
    Munmap {
        mapping: u8,
    },
    /// Moves the mapping to another address.
    Move {
        mapping: u8,
        huge: bool,
    },
    /// Makes it longer, which must be refused.
    Stretch {
        mapping: u8,
    },
    /// Unmaps all but the first pages.
    Shorten {
        mapping: u8,
        pages: u16,
    },
    /// Nothing is allowed without a way.
    Protect {
        mapping: u8,
        way: Option<Way>,
    },
    Advise {
        mapping: u8,
        advice: u8,
    },
    Lock {
        mapping: u8,
        yes: bool,
    },
    /// Compares bytes with what must be there, or puts others there.
    Touch {
        through: Through,
        spot: Spot,
        write: bool,
    },
    Attach {
        attachment: u8,
        buffer: u8,
        device: u8,
    },
    Detach {
        attachment: u8,
    },
    Map {
        transfer: u8,
        attachment: u8,
        way: Way,
    },
    Unmap {
        transfer: u8,
    },
    /// The device compares or writes bytes while as many further calls are made.
    Dma {
        transfer: u8,
        spot: Spot,
        write: bool,
        during: u16,
    },
    Punch {
        memfd: u8,
        page: u16,
    },
    Grow {
        memfd: u8,
    },
    /// Makes the memfd shorter, which its seal forbids.
    Shrink {
        memfd: u8,
    },
    /// Seals that are refused while there are mappings, and one that is not.
    Seal {
        memfd: u8,
        write: bool,
    },
    /// The module's parameters: as documented, or small.
    Limit {
        small: bool,
    },
    /// Unloading the module, which must be refused.
    Unload,
    /// Takes the driver from the device and gives it back.
    Rebind {
        device: u8,
    },
    /// Another number of address bits.
    Narrow {
        device: u8,
        bits: u8,
    },
    /// SIGKILL, perhaps in the middle of a call; another process takes its place.
    Kill {
        during: Option<Box<Deed>>,
    },
    /// The driver's own counters.
    Count,
    /// No call: from now on something wrong is expected, which must be found.
    Lie {
        memfd: u8,
        page: u16,
        cell: u8,
    },
}
