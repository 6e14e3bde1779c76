// SPDX-License-Identifier: GPL-2.0

//! The lines of the pages that are watched.

use std::ops::Range;

use protocol::channel;
use rustc_hash::FxHashMap;

use crate::line::{self, Access, Actor, Breach, Line};

/// Bytes of a page, as the guest counts them when it talks to the model.
pub const PAGE_SIZE: u64 = channel::PAGE_SIZE as u64;

/// Lines of a page.
pub const LINES: usize = (PAGE_SIZE / line::SIZE) as usize;

/// A rule that was broken, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which rule, and who wrote the newer bytes.
    pub breach: Breach,
    /// The physical address of the line.
    pub line: u64,
    /// The line's offset in the buffer.
    pub offset: u64,
    /// Who broke it.
    pub by: Actor,
}

struct Page {
    /// Its index in the buffer.
    index: u32,
    lines: [Line; LINES],
}

/// All lines that are watched, by physical address.
#[derive(Default)]
pub struct Model {
    pages: FxHashMap<u64, Page>,
}

impl Model {
    /// Watches page frame `frame`, page `index` of a buffer; returns whether it was not watched
    /// before. Of a page that was, everything is known already.
    pub fn watch(&mut self, frame: u64, index: u32) -> bool {
        let mut new = false;
        let page = self.pages.entry(frame).or_insert_with(|| {
            new = true;
            Page {
                index,
                lines: [Line::default(); LINES],
            }
        });
        page.index = index;
        new
    }

    /// Watches nothing any more.
    pub fn unwatch(&mut self) {
        self.pages.clear();
    }

    /// How many pages are watched.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Whether any byte of this physical range is watched.
    pub fn watches(&self, range: &Range<u64>) -> bool {
        lines(range).any(|line| self.pages.contains_key(&(line / PAGE_SIZE)))
    }

    /// Lets `by` access a physical range; returns the rules that this breaks.
    pub fn access(&mut self, range: &Range<u64>, access: Access, by: Actor) -> Vec<Violation> {
        let mut violations = Vec::new();
        for address in lines(range) {
            let Some(page) = self.pages.get_mut(&(address / PAGE_SIZE)) else {
                continue;
            };
            let within = address % PAGE_SIZE;
            let whole = range.start <= address && address + line::SIZE <= range.end;
            let line = &mut page.lines[(within / line::SIZE) as usize];
            if let Some(breach) = line.access(access, whole, by) {
                violations.push(Violation {
                    breach,
                    line: address,
                    offset: u64::from(page.index) * PAGE_SIZE + within,
                    by,
                });
            }
        }
        violations
    }
}

/// The addresses of the lines that a range touches.
fn lines(range: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    let first = range.start & !(line::SIZE - 1);
    let end = if range.is_empty() { first } else { range.end };
    (first..end).step_by(line::SIZE as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Kind;

    const CPU: Actor = Actor::Cpu { index: 1, pc: 4 };
    const EDU: Actor = Actor::Device(0);
    const FRAME: u64 = 0x40123;
    const BASE: u64 = FRAME * PAGE_SIZE;

    fn model() -> Model {
        let mut model = Model::default();
        model.watch(FRAME, 2);
        model.access(&(BASE..BASE + PAGE_SIZE), Access::Clean, CPU);
        model
    }

    #[test]
    fn violations_say_where() {
        let mut model = model();
        let start = BASE + 0x7d0;
        model.access(&(start..start + 4), Access::Store, CPU);
        let violations = model.access(&(BASE..BASE + PAGE_SIZE), Access::Read, EDU);
        assert_eq!(
            violations,
            [Violation {
                breach: Breach {
                    kind: Kind::DeviceReadsDirty,
                    last_writer: CPU
                },
                line: BASE + 0x7c0,
                offset: 2 * PAGE_SIZE + 0x7c0,
                by: EDU,
            }]
        );
    }

    #[test]
    fn an_access_touches_every_line_it_overlaps() {
        for (range, touched) in [
            (0x3f..0x41, 2),
            (0x40..0x80, 1),
            (0x41..0x81, 2),
            (0x10..0x10, 0),
            (0..PAGE_SIZE, LINES),
            // The pages around are not watched.
            (PAGE_SIZE - 8..PAGE_SIZE + 8, 1),
        ] {
            let mut model = model();
            let range = BASE + range.start..BASE + range.end;
            model.access(&range, Access::Store, CPU);
            let dirty = model.access(&(BASE..BASE + PAGE_SIZE), Access::Read, EDU);
            assert_eq!(dirty.len(), touched, "{range:x?}");
        }
    }

    #[test]
    fn only_whole_lines_are_replaced() {
        let mut model = model();
        model.access(&(BASE..BASE + 0x100), Access::Write, EDU);
        let partly = BASE + 0x20..BASE + 0xe0;
        let violations = model.access(&partly, Access::Store, CPU);
        let lines: Vec<u64> = violations.iter().map(|v| v.line - BASE).collect();
        assert_eq!(lines, [0, 0xc0]);
    }

    #[test]
    fn what_is_not_watched_breaks_nothing() {
        let mut model = model();
        let other = BASE + PAGE_SIZE..BASE + 2 * PAGE_SIZE;
        assert!(!model.watches(&other));
        assert!(model.watches(&(other.start - 1..other.end)));
        model.access(&other, Access::Store, CPU);
        assert_eq!(model.access(&other, Access::Read, EDU), []);
        model.access(&(BASE..BASE + 1), Access::Store, CPU);
        model.unwatch();
        assert_eq!(model.pages(), 0);
        assert_eq!(model.access(&(BASE..BASE + 1), Access::Read, EDU), []);
    }

    #[test]
    fn a_page_watched_twice_keeps_its_state() {
        let mut model = model();
        assert!(!model.watch(FRAME, 3));
        assert_eq!(model.access(&(BASE..BASE + 1), Access::Read, EDU), []);
        model.access(&(BASE..BASE + 1), Access::Store, CPU);
        let violations = model.access(&(BASE..BASE + 1), Access::Read, EDU);
        assert_eq!(violations[0].offset, 3 * PAGE_SIZE);
        assert_eq!(model.pages(), 1);
    }
}
