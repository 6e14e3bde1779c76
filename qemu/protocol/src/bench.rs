// SPDX-License-Identifier: GPL-2.0

//! What a benchmark in the guest tells: a line of JSON for each thing measured.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Contender {
    /// This project's driver.
    Rust,
    /// The driver in the kernel tree.
    C,
    /// The system dma-buf heap, which allocates memory of its own.
    Heap,
    /// Nobody: the least that the kernel lets anybody do it for.
    Floor,
}

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Case {
    /// Making a buffer; the floor is pinning its pages.
    Create,
    /// The same with `UDMABUF_CREATE_EXT` and the mode of any device; the C driver has `UDMABUF_CREATE`
    /// only.
    CreateExt,
    /// The same with the mode of devices that see what the CPU sees.
    CreateCoherent,
    /// Closing it, the last reference; the floor is unpinning its pages.
    Close,
    /// Mapping it for a device and unmapping it again.
    MapUnmap,
    /// Touching one page, in the middle, of a fresh user mapping.
    FirstTouch,
    /// Touching every page of a fresh user mapping, from the first to the last.
    EveryPage,
    /// Touching one page at a random place in every 2 MiB of a fresh user mapping.
    ScatteredTouch,
    /// Unmapping a user mapping all of whose pages were touched.
    Munmap,
    /// Mapping it into the kernel and unmapping it again.
    Vmap,
    /// A bracket for reading and writing; the floor is two such calls that are refused at once.
    BeginEnd,
    /// A bracket around one page, in the middle: ours of that page only, others of everything.
    BeginEndPage,
    /// Writing to one page between two accesses of a device that keeps its mapping: to a buffer of ours
    /// that hands itself over, or in a bracket around all of it.
    PageTouched,
    /// A bracket in which one page is written; ours is checked.
    Checked,
    /// Closing many buffers that are mapped for a device, with that device's file: what each takes.
    CloseAll,
    /// Making, mapping for a device, unmapping and closing by several threads at once: a round.
    Threads,
    /// Kernel memory held while the buffer exists, beside the pages themselves.
    Memory,
}

/// What kind of pages the buffer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// 4 KiB, as the kernel hands them out: mostly side by side.
    Base,
    /// 4 KiB, no two of them side by side.
    Apart,
    /// 4 KiB, in a number of contiguous pieces of the same size, which the record has.
    Pieces,
    /// 2 MiB, transparent.
    Thp,
    /// 2 MiB, from the hugetlb pool.
    Hugetlb,
}

/// One thing measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What.
    pub case: Case,
    /// Whose.
    pub contender: Contender,
    /// The machine's name; the harness fills it in.
    #[serde(default)]
    pub machine: String,
    /// Backing.
    pub pages: Pages,
    /// Ranges that the buffer is made of.
    pub items: u32,
    /// Size of the buffer.
    pub bytes: u64,
    /// How many times it is mapped for a device meanwhile, and whether that device snoops.
    pub attachments: u32,
    /// Whether the attached devices snoop the CPU's caches.
    pub coherent: bool,
    /// How many other buffers of the same contender are alive and mapped for a device meanwhile; for
    /// [`Case::CloseAll`], how many are closed.
    #[serde(default)]
    pub others: u32,
    /// How many threads are at work, for [`Case::Threads`].
    #[serde(default)]
    pub threads: u32,
    /// How often one of them slept in 512 rounds.
    #[serde(default)]
    pub waits: Option<u64>,
    /// Physically contiguous pieces that the buffer consists of; 0 if nobody knows.
    pub pieces: u64,
    /// Instructions, a number for each repetition. Empty for [`Case::Memory`].
    pub instructions: Vec<u64>,
    /// Bytes of kernel memory, for [`Case::Memory`].
    pub memory: Option<u64>,
    /// Cache maintenance operations by the cache model, for one repetition; filled in by the
    /// harness where there is one.
    #[serde(default)]
    pub maintenance: Option<u64>,
}

/// A line of the benchmark's output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// Comes first: so many records will follow.
    Plan(usize),
    /// Something was measured.
    Record(Record),
    /// Where a function of the kernel, or of a module, is.
    Symbol(u64, String),
}

impl Record {
    /// The median number of instructions; none if none were counted.
    pub fn median(&self) -> Option<u64> {
        let mut sorted = self.instructions.clone();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }

    /// Its pieces, if they were wanted so; 0 if they came about.
    pub fn pieces_wanted(&self) -> u64 {
        match self.pages {
            Pages::Pieces => self.pieces,
            Pages::Base | Pages::Apart | Pages::Thp | Pages::Hugetlb => 0,
        }
    }

    /// Names the record among those of one machine; also the name of its scope for the cache model.
    pub fn name(&self) -> String {
        let Record {
            items,
            bytes,
            attachments,
            others,
            threads,
            ..
        } = self;
        let circumstances = circumstances(*others, self.pieces_wanted(), *threads);
        let device = if self.coherent {
            "coherent"
        } else {
            "noncoherent"
        };
        format!(
            "bench/{}/{circumstances}{}/{}/{items}/{bytes}/{attachments}/{device}",
            self.contender, self.case, self.pages
        )
    }
}

/// What in a name is not as usual, between contender and case: so that the usual name is no part of it.
pub fn circumstances(others: u32, pieces: u64, threads: u32) -> String {
    let word = |name, number| match number {
        0 => String::new(),
        _ => format!("{name}-{number}/"),
    };
    word("beside", others.into()) + &word("pieces", pieces) + &word("threads", threads.into())
}

/// The word that serde knows a value by.
macro_rules! display_as_serde {
    ($($type:ty)*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}

display_as_serde!(Contender Case Pages);

#[cfg(test)]
mod tests {
    use super::*;

    fn record(instructions: &[u64]) -> Record {
        Record {
            case: Case::BeginEnd,
            contender: Contender::Rust,
            machine: String::new(),
            pages: Pages::Thp,
            items: 1,
            bytes: 4096,
            attachments: 8,
            coherent: false,
            others: 0,
            threads: 0,
            waits: None,
            pieces: 1,
            instructions: instructions.to_vec(),
            memory: None,
            maintenance: None,
        }
    }

    #[test]
    fn median_is_the_one_in_the_middle() {
        assert_eq!(record(&[5, 1, 9, 2, 7]).median(), Some(5));
        assert_eq!(record(&[]).median(), None);
    }

    #[test]
    fn name_tells_records_apart() {
        let name = record(&[]).name();
        assert_eq!(name, "bench/rust/begin_end/thp/1/4096/8/noncoherent");
        let mut pieces = record(&[]);
        pieces.pages = Pages::Pieces;
        pieces.pieces = 16;
        assert!(
            pieces
                .name()
                .starts_with("bench/rust/pieces-16/begin_end/pieces/")
        );
        let mut beside = record(&[]);
        beside.others = 100;
        let name = beside.name();
        assert_eq!(
            name,
            "bench/rust/beside-100/begin_end/thp/1/4096/8/noncoherent"
        );
    }
}
