// SPDX-License-Identifier: GPL-2.0

//! One cache line: its states, and the rules.

use std::fmt;

use serde::Serialize;

/// Bytes of a line.
pub const SIZE: u64 = 64;

/// Who accesses a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A CPU, through its caches.
    Cpu {
        /// Which one.
        index: u32,
        /// The virtual address of the instruction.
        pc: u64,
    },
    /// The edu device of that number.
    Device(u32),
    /// Whoever wrote the page before it was watched, through a cache for all that is known.
    BeforeWatch,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Actor::Cpu { index, pc } => write!(f, "cpu {index} pc {pc:#x}"),
            Actor::Device(index) => write!(f, "edu {index}"),
            Actor::BeforeWatch => f.write_str("before watch"),
        }
    }
}

/// What happens to a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A CPU reads.
    Load,
    /// A CPU, or a device that snoops the caches, writes.
    Store,
    /// Memory gets what the cache has.
    Clean,
    /// Memory gets what the cache has, and the cache forgets the line.
    CleanInvalidate,
    /// The cache forgets the line.
    Invalidate,
    /// A device reads memory, past the caches.
    Read,
    /// A device writes memory, past the caches.
    Write,
    /// A device that snoops the caches reads.
    Snoop,
}

/// What breaks a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A device read memory while the newer bytes were in a cache.
    DeviceReadsDirty,
    /// A device wrote memory under newer bytes in a cache, which may be written over its own later.
    DeviceWritesUnderDirty,
    /// A CPU read a cached line although a device had written memory since.
    CpuReadsStale,
    /// A part of a line was written over a cached line older than what a device wrote to memory.
    CpuWritesStale,
    /// An invalidation threw away what no memory has.
    InvalidateDropsDirty,
    /// A snooping device read a cached line although another one had written memory since.
    DeviceReadsStale,
}

/// How a line in the caches relates to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// They agree, or no cache has the line.
    Clean,
    /// The cache has newer bytes, which this one wrote last.
    Dirty(Actor),
    /// Memory has newer bytes, which this one wrote last.
    Stale(Actor),
}

/// A rule that an access broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// Which rule.
    pub kind: Kind,
    /// Who wrote the newer bytes.
    pub last_writer: Actor,
}

/// A line that is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    state: State,
    /// The kinds reported since the line last became dirty or stale, a bit each: reading stale
    /// bytes once more is no news.
    reported: u8,
}

impl Default for Line {
    /// A line that nothing is known of: the kernel zeroed its page through the cache.
    fn default() -> Self {
        Line {
            state: State::Dirty(Actor::BeforeWatch),
            reported: 0,
        }
    }
}

impl Line {
    /// Its state.
    pub fn state(&self) -> State {
        self.state
    }

    /// Lets `by` access the line, or the `whole` of it; returns the rule that this breaks, unless
    /// it was returned before.
    pub fn access(&mut self, access: Access, whole: bool, by: Actor) -> Option<Breach> {
        let (next, kind) = step(self.state, access, whole, by);
        let breach = match (kind, self.state) {
            (Some(kind), State::Dirty(last_writer) | State::Stale(last_writer))
                if self.reported & bit(kind) == 0 =>
            {
                self.reported |= bit(kind);
                Some(Breach { kind, last_writer })
            }
            _ => None,
        };
        let was_dirty = matches!(self.state, State::Dirty(_));
        if access == Access::Write || (access == Access::Store && !was_dirty) {
            self.reported = 0;
        }
        self.state = next;
        breach
    }
}

fn bit(kind: Kind) -> u8 {
    1 << kind as u8
}

/// The rules: what becomes of a line, and whether that is a mistake.
fn step(state: State, access: Access, whole: bool, by: Actor) -> (State, Option<Kind>) {
    use State::{Clean, Dirty, Stale};

    match (access, state) {
        (Access::Load, Stale(_)) => (state, Some(Kind::CpuReadsStale)),
        // Nothing of the old line survives a store to all of it.
        (Access::Store, Stale(_)) if !whole => (Dirty(by), Some(Kind::CpuWritesStale)),
        (Access::Store, _) => (Dirty(by), None),
        (Access::Clean, Dirty(_)) => (Clean, None),
        (Access::CleanInvalidate, _) => (Clean, None),
        (Access::Invalidate, Dirty(_)) => (Clean, Some(Kind::InvalidateDropsDirty)),
        (Access::Invalidate, _) => (Clean, None),
        (Access::Read, Dirty(_)) => (state, Some(Kind::DeviceReadsDirty)),
        (Access::Write, Dirty(_)) => (Stale(by), Some(Kind::DeviceWritesUnderDirty)),
        (Access::Write, _) => (Stale(by), None),
        (Access::Snoop, Stale(_)) => (state, Some(Kind::DeviceReadsStale)),
        (Access::Load | Access::Clean | Access::Read | Access::Snoop, _) => (state, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPU: Actor = Actor::Cpu { index: 0, pc: 16 };
    const EDU: Actor = Actor::Device(0);
    const OTHER: Actor = Actor::Device(1);

    /// A line that went through these accesses, of part of it, and what the last one broke.
    fn after(accesses: &[(Access, Actor)]) -> (State, Option<Kind>) {
        let mut line = Line::default();
        let mut breach = None;
        for &(access, by) in accesses {
            breach = line.access(access, false, by);
        }
        (line.state(), breach.map(|breach| breach.kind))
    }

    use Access::*;

    #[test]
    fn nothing_is_known_of_a_new_line() {
        assert_eq!(Line::default().state(), State::Dirty(Actor::BeforeWatch));
        assert_eq!(after(&[(Read, EDU)]).1, Some(Kind::DeviceReadsDirty));
    }

    #[test]
    fn a_device_reads_what_was_cleaned() {
        for clean in [Clean, CleanInvalidate] {
            let trace = [(Store, CPU), (clean, CPU), (Read, EDU)];
            assert_eq!(after(&trace), (State::Clean, None));
        }
        assert_eq!(
            after(&[(Clean, CPU), (Store, CPU), (Read, EDU)]),
            (State::Dirty(CPU), Some(Kind::DeviceReadsDirty))
        );
    }

    #[test]
    fn a_device_writes_what_was_cleaned() {
        assert_eq!(
            after(&[(Clean, CPU), (Write, EDU)]),
            (State::Stale(EDU), None)
        );
        assert_eq!(
            after(&[(Clean, CPU), (Store, CPU), (Write, EDU)]),
            (State::Stale(EDU), Some(Kind::DeviceWritesUnderDirty))
        );
    }

    #[test]
    fn a_cpu_reads_what_was_invalidated_after_the_write() {
        for invalidate in [Invalidate, CleanInvalidate] {
            let right = [(Clean, CPU), (Write, EDU), (invalidate, CPU), (Load, CPU)];
            assert_eq!(after(&right), (State::Clean, None));
            let early = [(Clean, CPU), (invalidate, CPU), (Write, EDU), (Load, CPU)];
            assert_eq!(
                after(&early),
                (State::Stale(EDU), Some(Kind::CpuReadsStale))
            );
        }
        // A clean line is written back nowhere, and stays.
        assert_eq!(
            after(&[(Clean, CPU), (Write, EDU), (Clean, CPU), (Load, CPU)]).1,
            Some(Kind::CpuReadsStale)
        );
    }

    #[test]
    fn a_write_that_ends_makes_stale_again() {
        let trace = [
            (Clean, CPU),
            (Write, EDU),
            (Invalidate, CPU),
            (Write, EDU),
            (Load, CPU),
        ];
        assert_eq!(after(&trace).1, Some(Kind::CpuReadsStale));
    }

    #[test]
    fn a_cpu_writes_what_was_invalidated() {
        assert_eq!(
            after(&[(Clean, CPU), (Write, EDU), (Invalidate, CPU), (Store, CPU)]),
            (State::Dirty(CPU), None)
        );
        assert_eq!(
            after(&[(Clean, CPU), (Write, EDU), (Store, CPU)]),
            (State::Dirty(CPU), Some(Kind::CpuWritesStale))
        );
    }

    #[test]
    fn a_store_to_the_whole_line_replaces_stale_bytes() {
        let mut line = Line::default();
        line.access(Clean, false, CPU);
        line.access(Write, false, EDU);
        assert_eq!(line.access(Store, true, CPU), None);
        assert_eq!(line.state(), State::Dirty(CPU));
    }

    #[test]
    fn an_invalidation_drops_only_what_memory_has() {
        assert_eq!(
            after(&[(Store, CPU), (Clean, CPU), (Invalidate, CPU)]),
            (State::Clean, None)
        );
        assert_eq!(
            after(&[(Store, CPU), (Invalidate, CPU)]),
            (State::Clean, Some(Kind::InvalidateDropsDirty))
        );
        assert_eq!(
            after(&[(Store, CPU), (CleanInvalidate, CPU)]),
            (State::Clean, None)
        );
    }

    #[test]
    fn a_snooping_device_sees_the_caches() {
        assert_eq!(after(&[(Store, CPU), (Snoop, EDU)]).1, None);
        assert_eq!(
            after(&[(Clean, CPU), (Write, EDU), (Snoop, OTHER)]).1,
            Some(Kind::DeviceReadsStale)
        );
        // What it wrote is in the caches.
        assert_eq!(
            after(&[(Clean, CPU), (Store, OTHER), (Read, EDU)]),
            (State::Dirty(OTHER), Some(Kind::DeviceReadsDirty))
        );
        assert_eq!(
            after(&[(Clean, CPU), (Write, EDU), (Store, OTHER)]).1,
            Some(Kind::CpuWritesStale)
        );
    }

    #[test]
    fn the_same_mistake_is_reported_once() {
        let mut line = Line::default();
        line.access(Clean, false, CPU);
        line.access(Write, false, EDU);
        assert!(line.access(Load, false, CPU).is_some());
        assert_eq!(line.access(Load, false, CPU), None);
        line.access(Write, false, EDU);
        assert!(line.access(Load, false, CPU).is_some());

        let mut line = Line::default();
        assert!(line.access(Read, false, EDU).is_some());
        line.access(Store, false, CPU);
        assert_eq!(line.access(Read, false, EDU), None);
        line.access(Clean, false, CPU);
        line.access(Store, false, CPU);
        assert!(line.access(Read, false, EDU).is_some());
    }

    #[test]
    fn the_last_writer_is_named() {
        let mut line = Line::default();
        assert_eq!(
            line.access(Read, false, EDU).unwrap().last_writer,
            Actor::BeforeWatch
        );
        line.access(Clean, false, CPU);
        line.access(Store, false, CPU);
        assert_eq!(line.access(Write, false, EDU).unwrap().last_writer, CPU);
        assert_eq!(line.access(Load, false, CPU).unwrap().last_writer, EDU);
        assert_eq!(CPU.to_string(), "cpu 0 pc 0x10");
        assert_eq!(EDU.to_string(), "edu 0");
        assert_eq!(Actor::BeforeWatch.to_string(), "before watch");
    }
}
