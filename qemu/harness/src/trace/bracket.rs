// SPDX-License-Identifier: GPL-2.0

//! An access, from its beginning to its end.

use super::call::Call;

/// What an access of a device is called, which has no name in the trace.
pub const DEVICE: &str = "device";

/// An access of a thread or a device to a buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bracket {
    /// What was begun: r, w, rw, or [`DEVICE`].
    pub access: String,
    /// The part of the buffer: its beginning and length.
    pub part: (u64, u64),
    /// The call that began it, if one did.
    pub begin: Option<Call>,
    /// The call that ended it, if one did.
    pub end: Option<Call>,
    /// Brackets of the same lane that it is in.
    pub depth: usize,
    /// From when to when; one that is never ended lasts as long as it could be.
    pub from: u64,
    pub to: u64,
    /// What is wrong with it.
    pub fault: Option<Fault>,
}

/// What a program did wrong, or forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nobody had begun it; somebody else may have an access open that this could be meant for.
    NoStart(Option<String>),
    /// It was not ended before the trace was over.
    Open,
    /// It was not ended before the buffer was released.
    Released,
    /// It was ended as something else.
    Other(String),
}

impl Bracket {
    /// One that a call has begun inside of `depth` others.
    pub fn begun(access: &str, part: (u64, u64), begin: Call, depth: usize) -> Self {
        Bracket {
            access: access.to_owned(),
            part,
            depth,
            from: begin.from,
            to: begin.to,
            begin: Some(begin),
            end: None,
            fault: None,
        }
    }

    /// One that a call has ended without anybody having begun it.
    pub fn only_ended(access: &str, part: (u64, u64), end: Call, other: Option<String>) -> Self {
        Bracket {
            access: access.to_owned(),
            part,
            depth: 0,
            from: end.from,
            to: end.to,
            begin: None,
            end: Some(end),
            fault: Some(Fault::NoStart(other)),
        }
    }

    /// A call has ended it.
    pub fn end(&mut self, access: &str, end: Call) {
        self.to = end.to;
        self.end = Some(end);
        if access != self.access {
            self.fault = Some(Fault::Other(access.to_owned()));
        }
    }

    /// Nothing will end it any more.
    pub fn leave(&mut self, at: u64, fault: Fault) {
        self.to = self.to.max(at);
        self.fault = Some(fault);
    }

    /// What both of its calls took, in nanoseconds.
    pub fn cost(&self) -> u64 {
        let calls = self.begin.iter().chain(&self.end);
        calls.map(Call::cost).sum()
    }
}
