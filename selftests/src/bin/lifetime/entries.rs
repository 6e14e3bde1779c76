// SPDX-License-Identifier: GPL-2.0

//! Large page table entries, of which the kernel has to change a part.
//!
//! Every change is made in a child, for what goes wrong may be one that no signal ends. What an
//! entry for a GiB breaks without a hang comes first: the clock of a guest whose kernel spins
//! hardly advances, and it takes minutes until a limit of seconds is over.

use std::fmt;
use std::ops::Range;

use rustix::process::Signal;
use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::HUGE_PAGE;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Piece;
use selftests::Udmabuf;
use selftests::child::in_child;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::sys::signal;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    gib_of_huge_pages_moved,
    gib_of_huge_pages_changed_in_part,
    gib_of_huge_pages_closed,
    gib_of_transparent_pages_moved,
    gib_of_transparent_pages_changed_in_part,
    gib_of_transparent_pages_closed,
    huge_pages_moved_at_every_edge,
    huge_pages_changed_at_every_edge,
    huge_pages_closed,
];

const GIB: usize = 1 << 30;

/// What the search for a GiB in one piece may take.
const SEARCHED: usize = 3 << 30;

/// Bytes looked at in each place.
const LEN: usize = 8;

const PATTERN: fn() -> Pattern = || Pattern::new(40);

/// What is done to a part of a mapping.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// munmap()
    Unmap,
    /// mprotect(), for reading only
    Protect,
    /// MADV_DONTFORK, and fork()
    KeepFromChildren,
    /// mremap(), so many bytes beyond an aligned place
    Move(usize),
}

const MOVES: [Change; 3] = [Change::Move(0), Change::Move(HUGE_PAGE), Change::Move(PAGE)];

const CHANGES: [Change; 3] = [Change::KeepFromChildren, Change::Protect, Change::Unmap];

/// A buffer in one piece of memory.
struct Subject {
    buffer: DmaBuf,
    /// Its size, and what the address of a mapping is a multiple of.
    size: usize,
    align: usize,
    /// The distance of the places that are looked at, beside those at the edges of a part.
    step: usize,
}

impl Subject {
    /// A GiB that one entry could map.
    fn gib(backing: Backing) -> Outcome<Subject> {
        let piece = Piece::find(backing, GIB, SEARCHED)?;
        Ok(Subject {
            buffer: Udmabuf::open()?.create_list(&piece.items())?,
            size: GIB,
            align: GIB,
            step: HUGE_PAGE,
        })
    }

    /// Three huge pages.
    fn huge_pages() -> Outcome<Subject> {
        let size = 3 * HUGE_PAGE;
        if hugepage::free()? < 3 {
            return skip("3 free huge pages");
        }
        let memfd = Memfd::builder(size).backing(Backing::Huge).create()?;
        Ok(Subject {
            buffer: Udmabuf::open()?.create(memfd.whole())?,
            size,
            align: HUGE_PAGE,
            step: 16 * PAGE,
        })
    }

    /// Makes the changes to the parts, each in a child, and says which one went wrong.
    fn change(&self, changes: &[Change], parts: &[Range<usize>]) -> Outcome {
        for part in parts {
            for &change in changes {
                let what = format!("{change:?} {:#x}..{:#x}", part.start, part.end);
                in_child(&what, || self.change_one(change, part))?;
            }
        }
        Ok(())
    }

    fn change_one(&self, change: Change, part: &Range<usize>) -> Outcome {
        let mapping = Mapping::aligned(&self.buffer, 0, self.size, Access::ReadWrite, self.align)?;
        let places = Places::new(self, part);
        // All entries are there, and may be written through.
        for at in places.all() {
            PATTERN().write_to(&mapping, at, LEN);
        }
        match change {
            Change::Unmap => {
                let lost = mapping.address() + part.start;
                let [before, middle, after] = cut(mapping, part);
                drop(middle);
                places.check_around(&before, &after)?;
                faults("what was unmapped", || _ = Mapping::touch_lost(lost))
            }
            Change::Protect => {
                mapping.protect(part.start, part.len(), Some(Access::Read))?;
                places.check_all(&mapping)?;
                for &at in &places.outside {
                    PATTERN().write_to(&mapping, at, LEN);
                }
                faults("writing what is protected", || {
                    mapping.write(part.start, &[0])
                })
            }
            Change::KeepFromChildren => {
                mapping.keep_from_children(part.start, part.len())?;
                in_child("the child", || {
                    for &at in &places.outside {
                        PATTERN().check_in(&mapping, at, LEN)?;
                    }
                    faults("what was kept from it", || _ = mapping.touch(part.start))
                })?;
                Ok(places.check_all(&mapping)?)
            }
            Change::Move(beyond) => {
                let lost = mapping.address() + part.start;
                let [before, mut middle, after] = cut(mapping, part);
                if let Some(middle) = &mut middle {
                    middle.relocate_beyond(self.align, beyond)?;
                    for &at in &places.inside {
                        equal(
                            format_args!("byte {at:#x} where it was moved to"),
                            bytes(middle, at - part.start),
                            PATTERN().bytes(at, LEN),
                        )?;
                    }
                }
                places.check_around(&before, &after)?;
                faults("where it was", || _ = Mapping::touch_lost(lost))
            }
        }
    }

    /// Closes everything while half of a mapping is left, then that too, and looks where memory
    /// was that is somebody else's by then: the process ends with success if nothing is there.
    fn close(self, refill: impl FnOnce() -> Outcome) -> Outcome {
        let half = 0..self.size / 2;
        let places = Places::new(&self, &half);
        let map = || Mapping::aligned(&self.buffer, 0, self.size, Access::ReadWrite, self.align);
        let mut moved = map()?;
        let kept = map()?;
        for at in places.all() {
            PATTERN().write_to(&kept, at, LEN);
            PATTERN().check_in(&moved, at, LEN)?;
        }
        let lost = moved.address();
        moved.relocate_beyond(self.align, HUGE_PAGE)?;
        drop(moved);
        let [first, second, _] = cut(kept, &(half.end..self.size));
        drop(first);
        drop(self.buffer);
        places.check_around(&None, &second)?;
        drop(second);
        refill()?;
        faults("where freed memory was", || _ = Mapping::touch_lost(lost))
    }
}

/// Offsets in a buffer that are looked at.
struct Places {
    inside: Vec<usize>,
    outside: Vec<usize>,
    /// Where the part ends, behind which a mapping of the rest begins.
    end: usize,
}

impl Places {
    fn new(subject: &Subject, part: &Range<usize>) -> Places {
        let edges = [part.start, part.end].into_iter();
        let edges = edges.flat_map(|edge| [edge.wrapping_sub(PAGE), edge]);
        let mut all: Vec<_> = (0..subject.size)
            .step_by(subject.step)
            .chain([subject.size - PAGE])
            .chain(edges.filter(|at| *at < subject.size))
            .collect();
        all.sort_unstable();
        all.dedup();
        let (inside, outside) = all.into_iter().partition(|at| part.contains(at));
        Places {
            inside,
            outside,
            end: part.end,
        }
    }

    fn all(&self) -> impl Iterator<Item = usize> {
        self.inside.iter().chain(&self.outside).copied()
    }

    fn check_all(&self, mapping: &Mapping) -> Outcome {
        for at in self.all() {
            PATTERN().check_in(mapping, at, LEN)?;
        }
        Ok(())
    }

    /// Checks what is left in front of the part, and behind it.
    fn check_around(&self, before: &Option<Mapping>, after: &Option<Mapping>) -> Outcome {
        for &at in &self.outside {
            let (mapping, start) = match at < self.end {
                true => (before, 0),
                false => (after, self.end),
            };
            if let Some(mapping) = mapping {
                equal(
                    format_args!("byte {at:#x} beside the part"),
                    bytes(mapping, at - start),
                    PATTERN().bytes(at, LEN),
                )?;
            }
        }
        Ok(())
    }
}

fn bytes(mapping: &Mapping, at: usize) -> Vec<u8> {
    let mut bytes = vec![0; LEN];
    mapping.read(at, &mut bytes);
    bytes
}

/// What is in front of the part, the part, and what is behind it.
fn cut(mapping: Mapping, part: &Range<usize>) -> [Option<Mapping>; 3] {
    let (before, rest) = match part.start {
        0 => (None, mapping),
        at => {
            let (before, rest) = mapping.split(at);
            (Some(before), rest)
        }
    };
    let (middle, after) = match rest.len() == part.len() {
        true => (rest, None),
        false => {
            let (middle, after) = rest.split(part.len());
            (middle, Some(after))
        }
    };
    [before, Some(middle), after]
}

/// Ends this process, with success if the access raises SIGSEGV.
fn faults(what: impl fmt::Display, access: impl FnOnce()) -> Outcome {
    signal::succeed_by(Signal::SEGV)?;
    access();
    fail(format_args!("{what} can still be accessed"))
}

/// Halves, everything, and single pages.
fn parts_of_gib() -> Vec<Range<usize>> {
    let middle = GIB / 2;
    vec![
        0..middle,
        middle..GIB,
        0..GIB,
        0..PAGE,
        3 * PAGE..4 * PAGE,
        middle - PAGE..middle,
        GIB - PAGE..GIB,
    ]
}

/// Pages at every edge of the entry in the middle, pages across edges, and whole entries.
fn parts_of_huge_pages() -> Vec<Range<usize>> {
    let (start, end) = (HUGE_PAGE, 2 * HUGE_PAGE);
    let middle = start + HUGE_PAGE / 2;
    vec![
        start..start + PAGE,
        end - PAGE..end,
        middle..middle + PAGE,
        start - PAGE..start + PAGE,
        end - 3 * PAGE..end + PAGE,
        start..middle,
        middle..end,
        start..end,
        start..3 * HUGE_PAGE,
        0..3 * HUGE_PAGE,
    ]
}

fn gib_of_huge_pages_moved() -> Outcome {
    Subject::gib(Backing::Huge)?.change(&MOVES, &parts_of_gib())
}

fn gib_of_huge_pages_changed_in_part() -> Outcome {
    Subject::gib(Backing::Huge)?.change(&CHANGES, &parts_of_gib())
}

fn gib_of_transparent_pages_moved() -> Outcome {
    Subject::gib(Backing::Transparent)?.change(&MOVES, &parts_of_gib())
}

fn gib_of_transparent_pages_changed_in_part() -> Outcome {
    Subject::gib(Backing::Transparent)?.change(&CHANGES, &parts_of_gib())
}

fn huge_pages_moved_at_every_edge() -> Outcome {
    Subject::huge_pages()?.change(&MOVES, &parts_of_huge_pages())
}

fn huge_pages_changed_at_every_edge() -> Outcome {
    Subject::huge_pages()?.change(&CHANGES, &parts_of_huge_pages())
}

/// New memory of the kind that was freed, with other bytes in it; of huge pages as many as there are,
/// for a kernel that checks every free keeps some back.
fn refill(backing: Backing, size: usize) -> Outcome {
    let size = match backing {
        Backing::Huge => size.min(hugepage::free()? * HUGE_PAGE),
        _ => size,
    };
    if size == 0 {
        return skip("huge pages that are free again");
    }
    let memfd = Memfd::builder(size).backing(backing).create()?;
    let mapping = memfd.map()?;
    for at in (0..size).step_by(HUGE_PAGE) {
        mapping.write(at, &[0xee; LEN]);
    }
    Ok(())
}

/// The end of the process is the test's.
fn gib_of_huge_pages_closed() -> Outcome {
    Subject::gib(Backing::Huge)?.close(|| refill(Backing::Huge, GIB))
}

fn gib_of_transparent_pages_closed() -> Outcome {
    Subject::gib(Backing::Transparent)?.close(|| refill(Backing::Transparent, GIB))
}

fn huge_pages_closed() -> Outcome {
    let subject = Subject::huge_pages()?;
    subject.close(|| refill(Backing::Huge, 3 * HUGE_PAGE))
}
