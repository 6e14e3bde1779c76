// SPDX-License-Identifier: GPL-2.0

//! What programs may do with a checked buffer, and what they do wrong.
//!
//! A hand-over knows nobody: nothing here has a say in what it does. Of a checked buffer, user
//! mappings have entries only while an access is open that allows them, so that every other one
//! faults and can be judged.
//!
//! # Rules
//!
//! 1. An access is open from START to END. Whoever began it, it allows everybody what it allows, in the
//!    pages of which it has a part: reading, and writing if it may write. No page can be written and not
//!    read, so writing includes reading.
//! 2. An END ends the access of its process that fits best: of the same kind, of the same bytes, the last
//!    one. It takes nobody else's rights away: whoever has begun may go on until they end, so that nobody
//!    can make another program do something wrong.
//! 3. Pages whose rights an END takes away lose their entries, before anything is handed over.
//! 4. What is wrong is let through, in a page of its own, which loses its entry at the next START or END.
//! 5. What a process has open when it ends is open no more.

use crate::{
    direction::Direction,
    span::Span, //
};
use core::ops::Range;
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    prelude::*,
};

/// A process, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Process(pub(crate) i32);

/// What a program does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Wrong {
    /// It touches what no access is open to.
    Outside,
    /// It writes where an access is open that only reads.
    WritesInRead,
    /// It ends an access that nobody has begun.
    NotBegun,
    /// It ends an access as another one than it was begun as.
    EndsAsOther,
    /// It has an access open, and there is nobody to end it.
    NotEnded,
    /// It has more accesses open than are remembered: nothing is judged any more.
    TooMany,
}

/// Where a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    /// In its address space.
    pub(crate) instruction: usize,
    /// In the file that this is from; 0 if that is not known.
    pub(crate) place: usize,
    pub(crate) thread: i32,
    /// The thread's name, with zeros behind it.
    pub(crate) program: [u8; 16],
}

/// What a fault may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The page indices that an access is open to.
    pub(crate) pages: Range<usize>,
    /// Whether they may be written.
    pub(crate) writable: bool,
}

/// An access that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) process: Process,
    pub(crate) access: Direction,
    pub(crate) span: Span,
}

impl Open {
    fn allows(&self, page: usize, write: bool) -> bool {
        self.span.pages().contains(&page) && (!write || self.access.has_to_device())
    }

    /// Whether it allows all that `other` does.
    fn covers(&self, other: &Self) -> bool {
        let (own, others) = (self.span.pages(), other.span.pages());
        own.start <= others.start
            && others.end <= own.end
            && (self.access.has_to_device() || !other.access.has_to_device())
    }
}

/// An access that is remembered.
struct Kept {
    open: Open,
    /// Where it was begun.
    site: Site,
}

/// As many accesses are remembered. Who opens more has lost count as well.
const MOST: usize = 256;

/// The accesses to a buffer that are open.
pub(crate) struct Accesses {
    kept: KVVec<Kept>,
    /// There may be entries that no access allows.
    stray: bool,
    /// One could not be remembered: nothing can be judged any more.
    lost: bool,
}

impl Accesses {
    pub(crate) const fn new() -> Self {
        Self {
            kept: KVVec::new(),
            stray: false,
            lost: false,
        }
    }

    /// An access has begun. Returns whether it is remembered.
    pub(crate) fn begin(&mut self, open: Open, site: Site) -> bool {
        let kept = Kept { open, site };
        let is_kept = self.kept.len() < MOST
            && self
                .kept
                .push(kept, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)
                .is_ok();
        self.lost |= !is_kept;
        is_kept
    }

    fn open(&self) -> impl DoubleEndedIterator<Item = &Open> + ExactSizeIterator {
        self.kept.iter().map(|kept| &kept.open)
    }

    /// An access is about to end. Returns what is wrong with that, and the pages that are not allowed
    /// any more.
    pub(crate) fn end(&mut self, ended: Open) -> (Option<Wrong>, Option<Span>) {
        if self.lost {
            return (None, None);
        }
        let fits = |(index, open): &(usize, &Open)| {
            (open.access == ended.access, open.span == ended.span, *index)
        };
        let own = |(_, open): &(usize, &Open)| open.process == ended.process;
        let best = self.open().enumerate().filter(own).max_by_key(fits);
        let Some(index) = best.map(|(index, _)| index) else {
            return (Some(Wrong::NotBegun), None);
        };
        let Ok(Kept { open: gone, .. }) = self.kept.remove(index) else {
            return (None, None);
        };
        let wrong = (gone.access != ended.access).then_some(Wrong::EndsAsOther);
        let still = self.open().any(|open| open.covers(&gone));
        (wrong, (!still).then_some(gone.span))
    }

    /// What a fault on page index `page` may have.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub(crate) fn judge(&self, page: usize, write: bool) -> core::result::Result<Grant, Wrong> {
        let allowed = |write| self.open().find(|open| open.allows(page, write));
        match (allowed(true), allowed(false)) {
            (Some(open), _) => Ok(Grant {
                pages: open.span.pages(),
                writable: true,
            }),
            (None, Some(open)) if !write => Ok(Grant {
                pages: open.span.pages(),
                writable: false,
            }),
            _ if self.lost => Ok(Grant {
                pages: page..page + 1,
                writable: true,
            }),
            (None, Some(_)) => Err(Wrong::WritesInRead),
            (None, None) => Err(Wrong::Outside),
        }
    }

    /// An entry is made that no access allows.
    pub(crate) fn let_through(&mut self) {
        self.stray = true;
    }

    /// Whether there may be such entries; they go away now.
    pub(crate) fn take_strays(&mut self) -> bool {
        core::mem::take(&mut self.stray)
    }

    /// What is open to page index `page`: all that anybody may do there.
    pub(crate) fn open_to(&self, page: usize) -> Option<Direction> {
        let all = self.open().filter(|open| open.allows(page, false));
        all.map(|open| open.access)
            .reduce(|one, other| match one == other {
                true => one,
                false => Direction::Bidirectional,
            })
    }

    /// One of those that `is_one` is true of and that nobody will end: it is not open any more.
    pub(crate) fn give_up(&mut self, is_one: impl Fn(&Open) -> bool) -> Option<(Open, Site)> {
        if self.lost {
            return None;
        }
        let index = self.open().position(is_one)?;
        let Kept { open, site } = self.kept.remove(index).ok()?;
        self.stray = true;
        Some((open, site))
    }
}

#[kunit_tests(udmabuf_accesses)]
mod tests {
    use super::*;
    use Direction::*;
    use Wrong::*;

    const A: Process = Process(1);
    const B: Process = Process(2);
    const WHOLE: Span = Span::whole(4);
    const SITE: Site = Site {
        instruction: 7,
        place: 3,
        thread: 1,
        program: [0; 16],
    };

    fn open(process: Process, access: Direction) -> Open {
        Open {
            process,
            access,
            span: WHOLE,
        }
    }

    fn grant(pages: Range<usize>, writable: bool) -> core::result::Result<Grant, Wrong> {
        Ok(Grant { pages, writable })
    }

    #[test]
    fn nothing_is_allowed_outside() {
        let mut accesses = Accesses::new();
        assert_eq!(accesses.judge(0, false), Err(Outside));
        accesses.begin(open(A, FromDevice), SITE);
        assert_eq!(accesses.judge(0, false), grant(0..4, false));
        assert_eq!(accesses.judge(0, true), Err(WritesInRead));
        assert_eq!(accesses.end(open(A, FromDevice)), (None, Some(WHOLE)));
        assert_eq!(accesses.judge(0, false), Err(Outside));
    }

    #[test]
    fn writing_includes_reading() {
        let mut accesses = Accesses::new();
        for access in [ToDevice, Bidirectional] {
            accesses.begin(open(A, access), SITE);
            assert_eq!(accesses.judge(3, false), grant(0..4, true));
            assert_eq!(accesses.judge(3, true), grant(0..4, true));
            assert_eq!(accesses.end(open(A, access)), (None, Some(WHOLE)));
        }
    }

    #[test]
    fn a_part_allows_its_pages() -> Result {
        let mut accesses = Accesses::new();
        let size = kernel::page::PAGE_SIZE as u64;
        let span = Span::new(size + 5, size, 4)?;
        let part = Open {
            span,
            ..open(A, ToDevice)
        };
        accesses.begin(part, SITE);
        assert_eq!(accesses.judge(1, true), grant(1..3, true));
        assert_eq!(accesses.judge(2, true), grant(1..3, true));
        assert_eq!(accesses.judge(3, true), Err(Outside));
        accesses.begin(open(B, FromDevice), SITE);
        assert_eq!(accesses.judge(3, false), grant(0..4, false));
        // Who reads goes on in the same pages.
        assert_eq!(accesses.end(part), (None, Some(span)));
        assert_eq!(accesses.judge(1, true), Err(WritesInRead));
        Ok(())
    }

    #[test]
    fn an_end_ends_what_fits_best() {
        let mut accesses = Accesses::new();
        assert_eq!(accesses.end(open(A, ToDevice)), (Some(NotBegun), None));
        accesses.begin(open(A, FromDevice), SITE);
        accesses.begin(open(B, ToDevice), SITE);
        // What another one began is theirs.
        let ended = accesses.end(open(A, ToDevice));
        assert_eq!(ended, (Some(EndsAsOther), None));
        assert_eq!(accesses.end(open(A, ToDevice)), (Some(NotBegun), None));
        assert_eq!(accesses.judge(0, true), grant(0..4, true));
        assert_eq!(accesses.open().len(), 1);
        assert_eq!(accesses.open_to(0), Some(ToDevice));
        assert_eq!(accesses.end(open(B, ToDevice)), (None, Some(WHOLE)));
    }

    #[test]
    fn the_same_bytes_rather_than_the_last() -> Result {
        let mut accesses = Accesses::new();
        let size = kernel::page::PAGE_SIZE as u64;
        let part = |page| -> Result<Open> {
            let span = Span::new(page * size, size, 4)?;
            Ok(Open {
                span,
                ..open(A, ToDevice)
            })
        };
        accesses.begin(part(0)?, SITE);
        accesses.begin(part(1)?, SITE);
        let ended = part(0)?;
        assert_eq!(accesses.end(ended), (None, Some(ended.span)));
        assert_eq!(accesses.judge(0, true), Err(Outside));
        assert_eq!(accesses.judge(1, true), grant(1..2, true));
        Ok(())
    }

    #[test]
    fn rights_that_somebody_else_has_stay() {
        let mut accesses = Accesses::new();
        for process in [A, B] {
            accesses.begin(open(process, ToDevice), SITE);
        }
        assert_eq!(accesses.end(open(A, ToDevice)), (None, None));
        assert_eq!(accesses.judge(0, true), grant(0..4, true));
        assert_eq!(accesses.end(open(B, ToDevice)), (None, Some(WHOLE)));
    }

    #[test]
    fn who_opens_too_many_is_not_judged() {
        let mut accesses = Accesses::new();
        for _ in 0..MOST {
            accesses.begin(open(A, FromDevice), SITE);
        }
        assert_eq!(accesses.judge(0, true), Err(WritesInRead));
        accesses.begin(open(A, ToDevice), SITE);
        assert_eq!(accesses.judge(0, true), grant(0..1, true));
        assert_eq!(accesses.end(open(B, ToDevice)), (None, None));
        // Nor is it told of what it may well have ended.
        assert_eq!(accesses.give_up(|_| true), None);
    }

    #[test]
    fn what_is_given_up_is_told_once_and_allows_nothing() {
        let mut accesses = Accesses::new();
        accesses.begin(open(A, ToDevice), SITE);
        accesses.begin(open(B, FromDevice), SITE);
        let of_b = |open: &Open| open.process == B;
        assert_eq!(accesses.give_up(of_b), Some((open(B, FromDevice), SITE)));
        assert_eq!(accesses.give_up(of_b), None);
        assert_eq!(accesses.open_to(0), Some(ToDevice));
        assert!(accesses.take_strays());
        assert_eq!(accesses.give_up(|_| true), Some((open(A, ToDevice), SITE)));
        assert_eq!(accesses.give_up(|_| true), None);
    }

    #[test]
    fn strays_are_taken_once() {
        let mut accesses = Accesses::new();
        assert!(!accesses.take_strays());
        accesses.let_through();
        assert!(accesses.take_strays() && !accesses.take_strays());
    }
}
