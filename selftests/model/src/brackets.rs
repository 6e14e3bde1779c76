// SPDX-License-Identifier: GPL-2.0

//! What the checker makes of brackets, against a definition: who may do what follows from the multiset
//! of what is open, whoever opened it.

use kernel::page::{PAGE_SHIFT, PAGE_SIZE};
use proptest::{prelude::*, sample::Index};

use crate::{
    accesses::{Accesses, Open, Process, Site, Wrong},
    direction::Direction,
    span::Span,
};

const PAGES: usize = 3;

/// Where everything is begun.
const SITE: Site = Site {
    instruction: 1,
    place: 1,
    thread: 1,
    program: [0; 16],
};

/// An entry of a page: it may be read, or written as well.
type Entry = Option<bool>;

#[derive(Clone, Debug)]
enum Step {
    Begin(Open),
    /// Ends one of those that are open, by its process, as it was begun.
    EndOne(Index),
    /// Ends anything.
    EndAny(Open),
    Touch {
        page: usize,
        write: bool,
    },
}

fn process() -> impl Strategy<Value = Process> {
    prop_oneof![Just(Process(1)), Just(Process(2))]
}

fn open() -> impl Strategy<Value = Open> {
    let access = prop_oneof![
        Just(Direction::FromDevice),
        Just(Direction::ToDevice),
        Just(Direction::Bidirectional),
    ];
    // Some begin with a page, some within one.
    const HALF: u64 = PAGE_SIZE as u64 / 2;
    let halves =
        (0..2 * PAGES as u64).prop_flat_map(|start| (Just(start), start + 1..=2 * PAGES as u64));
    (process(), access, halves).prop_map(|(process, access, (start, end))| Open {
        process,
        access,
        span: Span::new(start * HALF, (end - start) * HALF, PAGES).expect("it is in the buffer"),
    })
}

fn touch() -> impl Strategy<Value = Step> {
    (0..PAGES, any::<bool>()).prop_map(|(page, write)| Step::Touch { page, write })
}

/// Every END is one of an access that is open.
fn bracketed() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        open().prop_map(Step::Begin),
        any::<Index>().prop_map(Step::EndOne),
        touch(),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Programs that make mistakes.
fn mistaken() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        open().prop_map(Step::Begin),
        open().prop_map(Step::EndAny),
        touch(),
    ];
    proptest::collection::vec(step, 0..40)
}

/// Whether an access has a byte of the page, and allows that.
fn allows(open: &Open, page: usize, write: bool) -> bool {
    let (start, end) = (open.span.start(), open.span.start() + open.span.len());
    let is_there = start < (page + 1) << PAGE_SHIFT && page << PAGE_SHIFT < end;
    is_there && (!write || open.access != Direction::FromDevice)
}

/// What is open, and what entries user mappings have.
struct Buffer {
    accesses: Accesses,
    open: Vec<Open>,
    entries: [Entry; PAGES],
}

impl Buffer {
    fn new() -> Self {
        Buffer {
            accesses: Accesses::new(),
            open: Vec::new(),
            entries: [None; PAGES],
        }
    }

    fn may(&self, page: usize, write: bool) -> bool {
        self.open.iter().any(|open| allows(open, page, write))
    }

    /// As a START or END does, before anything else.
    fn forget_strays(&mut self) {
        if self.accesses.take_strays() {
            self.entries = [None; PAGES];
        }
    }

    fn begin(&mut self, open: Open) {
        self.forget_strays();
        self.accesses.begin(open, SITE);
        self.open.push(open);
        self.check();
    }

    /// Which one of those that are open an END ends, step by step: of its process, the kind decides, then the
    /// bytes, then the order.
    fn best(&self, ended: &Open) -> Option<usize> {
        let own = |&at: &usize| self.open[at].process == ended.process;
        let mut left: Vec<usize> = (0..self.open.len()).filter(own).collect();
        let rules: [fn(&Open, &Open) -> bool; 2] = [
            |one, other| one.access == other.access,
            |one, other| one.span == other.span,
        ];
        for fits in rules {
            let fitting: Vec<usize> = left
                .iter()
                .copied()
                .filter(|&at| fits(&self.open[at], ended))
                .collect();
            if !fitting.is_empty() {
                left = fitting;
            }
        }
        left.last().copied()
    }

    fn end(&mut self, ended: Open) -> Option<Wrong> {
        self.forget_strays();
        let before: Vec<_> = self.rights().collect();
        let (wrong, gone) = self.accesses.end(ended);
        let Some(best) = self.best(&ended) else {
            assert_eq!((wrong, gone), (Some(Wrong::NotBegun), None));
            return wrong;
        };
        let was = self.open.remove(best);
        let is_other = was.access != ended.access;
        assert_eq!(wrong, is_other.then_some(Wrong::EndsAsOther));
        // All of it, or nothing if nobody has lost a right.
        let lost = before.into_iter().ne(self.rights());
        assert!(!lost || gone.is_some(), "{was:?} leaves something");
        assert!(gone.is_none_or(|gone| gone == was.span));
        for page in gone.map_or(0..0, Span::pages) {
            self.entries[page] = None;
        }
        self.check();
        wrong
    }

    fn rights(&self) -> impl Iterator<Item = (bool, bool)> + '_ {
        (0..PAGES).map(|page| (self.may(page, false), self.may(page, true)))
    }

    /// An entry is there, or is made for what is granted. Returns what is wrong, if somebody hears of it.
    fn touch(&mut self, page: usize, write: bool) -> Option<Wrong> {
        let entry = self.entries[page];
        if entry.is_some_and(|writable| writable || !write) {
            return None;
        }
        match self.accesses.judge(page, write) {
            Ok(grant) => {
                assert!(grant.pages.contains(&page) && (grant.writable || !write));
                assert!(
                    self.may(page, write),
                    "a touch that nothing open allows is granted"
                );
                for page in grant.pages {
                    // Those that are there stay.
                    self.entries[page].get_or_insert(grant.writable);
                }
                // Core makes one writable that was not.
                self.entries[page] = Some(grant.writable);
                self.check();
                None
            }
            Err(wrong) => {
                assert!(!self.may(page, write), "a touch that is allowed is told of");
                let expected = match self.may(page, false) {
                    true => Wrong::WritesInRead,
                    false => Wrong::Outside,
                };
                assert_eq!(wrong, expected);
                self.accesses.let_through();
                self.entries[page] = Some(write);
                Some(wrong)
            }
        }
    }

    /// Unless something was let through, which the next START or END looks after, nobody has an entry
    /// that no open access grants.
    fn check(&mut self) {
        if self.accesses.take_strays() {
            self.accesses.let_through();
            return;
        }
        for (page, entry) in self.entries.iter().enumerate() {
            if let Some(writable) = entry {
                assert!(self.may(page, *writable), "page {page} keeps a right");
            }
        }
    }

    /// Whatever nobody will end.
    fn is_left_open(&mut self) -> bool {
        self.accesses.give_up(|_| true).is_some()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A touch is told of if, and only if, nothing open allows it; whoever brackets well hears nothing
    /// else.
    #[test]
    fn who_brackets_well_is_not_told_of(steps in bracketed()) {
        let mut buffer = Buffer::new();
        for step in steps {
            match step {
                Step::Begin(open) => buffer.begin(open),
                Step::EndOne(index) if !buffer.open.is_empty() => {
                    let open = *index.get(&buffer.open);
                    prop_assert_eq!(buffer.end(open), None);
                }
                Step::Touch { page, write } if buffer.may(page, write) => {
                    prop_assert_eq!(buffer.touch(page, write), None);
                }
                _ => {}
            }
        }
        while let Some(&open) = buffer.open.last() {
            prop_assert_eq!(buffer.end(open), None);
        }
        prop_assert_eq!(buffer.entries, [None; PAGES]);
        prop_assert!(!buffer.is_left_open());
    }

    #[test]
    fn mistakes_are_what_they_are(steps in mistaken()) {
        let mut buffer = Buffer::new();
        for step in steps {
            match step {
                Step::Begin(open) => buffer.begin(open),
                Step::EndAny(open) => {
                    buffer.end(open);
                }
                Step::Touch { page, write } => {
                    let has_entry = buffer.entries[page].is_some_and(|writable| writable || !write);
                    let is_told = buffer.touch(page, write).is_some();
                    prop_assert_eq!(is_told, !has_entry && !buffer.may(page, write));
                }
                Step::EndOne(..) => unreachable!("only those who bracket well do so"),
            }
        }
        prop_assert_eq!(buffer.is_left_open(), !buffer.open.is_empty());
    }
}

/// More than can be remembered: nothing is told of any more, also not at the end.
#[test]
fn who_brackets_well_very_often_is_not_told_of() {
    let open = Open {
        process: Process(1),
        access: Direction::Bidirectional,
        span: Span::whole(PAGES),
    };
    let mut accesses = Accesses::new();
    for _ in 0..1000 {
        accesses.begin(open, SITE);
    }
    for _ in 0..1000 {
        assert_eq!(accesses.end(open).0, None);
    }
    assert!(accesses.give_up(|_| true).is_none());
}
