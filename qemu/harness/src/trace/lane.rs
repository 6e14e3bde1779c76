// SPDX-License-Identifier: GPL-2.0

//! What one thread or one device did with one buffer.

use std::fmt;

use super::{
    bracket::{Bracket, Fault},
    call::Call,
};

/// Whose lane it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A thread, and the program that it belongs to.
    Thread {
        /// Its number.
        thread: u32,
        /// The program's name.
        task: String,
    },
    /// A device.
    Device(String),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Thread { thread, task } => write!(f, "{task}-{thread}"),
            Who::Device(name) => f.write_str(name),
        }
    }
}

/// From map to unmap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// From when to when; as far as the trace goes where it has only a part.
    pub from: u64,
    pub to: u64,
    /// When mapping it was over, and when unmapping it began.
    pub mapped: Option<u64>,
    pub unmapping: Option<u64>,
    /// How data change hands, and in which direction.
    pub class: String,
    pub direction: String,
}

impl Mapping {
    /// How data change hands, and who writes them, for a reader.
    pub fn kind(&self) -> String {
        let does = match self.direction.as_str() {
            "TO_DEVICE" => ", reads",
            "FROM_DEVICE" => ", writes",
            "BIDIRECTIONAL" => ", reads and writes",
            _ => "",
        };
        format!("{}{does}", self.class)
    }
}

/// Bytes on their way between a device's shadow and the pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// From when to when.
    pub from: u64,
    pub to: u64,
    /// How many had changed.
    pub changed: u64,
    /// Whether they went to the shadow.
    pub published: bool,
}

/// A touch of a user mapping that the driver's checker found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// When.
    pub at: u64,
    /// "outside" of any bracket, or "writes-in-read".
    pub wrong: String,
    /// The page, by its first byte in the buffer.
    pub offset: u64,
    /// Where the program was, in its address space, and in its ELF file.
    pub instruction: String,
    pub place: String,
}

/// Something that takes no time worth drawing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A user mapping was touched where it had no entry.
    Fault,
    /// The mode of the buffer does not allow the device.
    Refused,
    /// A call failed, with an errno.
    Failed(i64),
}

/// What one thread or one device did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lane {
    /// Who that is.
    pub who: Who,
    /// Its accesses, in the order in which they began.
    pub brackets: Vec<Bracket>,
    /// When it was mapped.
    pub mappings: Vec<Mapping>,
    /// What was copied for it.
    pub copies: Vec<Transfer>,
    /// What else happened, and when.
    pub marks: Vec<(u64, Mark)>,
    /// What the driver's checker says of it.
    pub touches: Vec<Touch>,
    /// How many events it is made of.
    pub events: usize,
    /// The brackets and mappings that nothing has ended yet.
    open: Vec<usize>,
    mapped: Vec<usize>,
}

impl Lane {
    /// A lane in which nothing has happened.
    pub fn new(who: Who) -> Self {
        Lane {
            who,
            brackets: Vec::new(),
            mappings: Vec::new(),
            copies: Vec::new(),
            marks: Vec::new(),
            touches: Vec::new(),
            events: 0,
            open: Vec::new(),
            mapped: Vec::new(),
        }
    }

    /// A call has begun an access, or failed to.
    pub fn begin(&mut self, access: &str, part: (u64, u64), begin: Call) {
        if begin.error != 0 {
            self.marks.push((begin.to, Mark::Failed(begin.error)));
            return;
        }
        let depth = self.open.len();
        self.open.push(self.brackets.len());
        let bracket = Bracket::begun(access, part, begin, depth);
        self.brackets.push(bracket);
    }

    /// A call has ended an access, or failed to: then there is another one to come. `others` tells
    /// who else could have been meant.
    pub fn end(
        &mut self,
        access: &str,
        part: (u64, u64),
        end: Call,
        others: impl FnOnce() -> Option<String>,
    ) {
        if end.error != 0 {
            self.marks.push((end.to, Mark::Failed(end.error)));
            return;
        }
        // A thread may have several open: the one that fits best, of those the last.
        let fits = |index: &usize| {
            let bracket = &self.brackets[*index];
            (bracket.access == access, bracket.part == part, *index)
        };
        let Some(index) = self.open.iter().copied().max_by_key(fits) else {
            let bracket = Bracket::only_ended(access, part, end, others());
            self.brackets.push(bracket);
            return;
        };
        self.open.retain(|other| *other != index);
        self.brackets[index].end(access, end);
    }

    /// Whether it has an access of that kind open.
    pub fn has_open(&self, access: &str) -> bool {
        let mut open = self.open.iter();
        open.any(|index| self.brackets[*index].access == access)
    }

    /// The device was mapped.
    pub fn map(&mut self, mapping: Mapping) {
        self.mapped.push(self.mappings.len());
        self.mappings.push(mapping);
    }

    /// The device was unmapped, in so much time. The trace may have begun after it was mapped.
    pub fn unmap(&mut self, class: &str, from: u64, to: u64, trace_begin: u64) {
        let fits = |index: &usize| self.mappings[*index].class == class;
        let place = self.mapped.iter().rposition(fits);
        let index = match place {
            Some(place) => self.mapped.remove(place),
            None => {
                self.mappings.push(Mapping {
                    from: trace_begin,
                    to,
                    mapped: None,
                    unmapping: None,
                    class: class.to_owned(),
                    direction: String::new(),
                });
                self.mappings.len() - 1
            }
        };
        let mapping = &mut self.mappings[index];
        mapping.to = to;
        mapping.unmapping = Some(from);
    }

    /// Nothing more comes: the buffer is released, or the trace is over.
    pub fn close(&mut self, at: u64, fault: &Fault) {
        for index in self.open.drain(..) {
            self.brackets[index].leave(at, fault.clone());
        }
        for index in self.mapped.drain(..) {
            self.mappings[index].to = at;
        }
    }

    /// Whether something in it is wrong.
    pub fn is_wrong(&self) -> bool {
        !self.touches.is_empty() || self.brackets.iter().any(|bracket| bracket.fault.is_some())
    }
}
