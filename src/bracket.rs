// SPDX-License-Identifier: GPL-2.0

//! Brackets in which the CPU may write.
//!
//! While one is open, the pages are the CPU's, and nothing may be copied over them: not by
//! another thread's bracket, nor when a mapping goes away.
//!
//! A bracket belongs to the process that opened it (or to the kernel), which alone can close it:
//! whoever ends a bracket without having begun one closes nobody else's. It ends with its process
//! at the latest. Neither exec nor closing the descriptor ends it, and an end that is only for
//! reading does not close what was begun for writing.
//!
//! Most buffers have one writer at a time and no mapping that needs syncs, so that opening and
//! closing is all that there is to do. [`Sole`] does that without a lock. As soon as there is more,
//! its state is taken over by [`Brackets`], which are under one.
//!
//! # Ordering
//!
//! What the mutex would order, the word has to. Whoever takes the word over, or gives it back, does
//! so in one fully ordered operation, with the work of the mutex on its other side.
//!
//! - Begin: what is read from the pages afterwards is not older than the work of whoever gave the
//!   word back. An acquiring load is enough for that, and so is a successful exchange.
//! - End: either the taker's work sees what was written to the pages before, or the end sees that
//!   the word is taken. Both sides write one thing and read another, so both need a full barrier:
//!   the end has that of its successful exchange, or one of its own in front of the load.

use core::marker::PhantomData;
use kernel::{
    alloc::flags::GFP_KERNEL,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Full,
            Relaxed, //
        },
        barrier::smp_mb, //
    },
};

/// Whoever opens a bracket.
pub(crate) trait Opener: Copy + PartialEq {
    /// Bits of the number that identifies it.
    const BITS: u32;

    /// The number, which fits into [`BITS`](Self::BITS).
    fn to_bits(self) -> u64;

    /// The reverse of [`to_bits`](Self::to_bits).
    fn from_bits(bits: u64) -> Self;

    /// Whether the bracket may still be closed.
    fn is_alive(&self) -> bool;
}

/// The brackets of one opener.
#[derive(Clone, Copy)]
pub(crate) struct Open<O> {
    opener: O,
    /// How many, one inside the other.
    depth: usize,
}

/// The one writer of a buffer, in one word: 0 if there is none; opener and depth; or [`TAKEN`].
pub(crate) struct Sole<O> {
    word: Atomic<u64>,
    _opener: PhantomData<O>,
}

/// [`Brackets`] have everything, and the lock has to be taken.
const TAKEN: u64 = u64::MAX;

impl<O: Opener> Sole<O> {
    const DEPTH_BITS: u32 = u64::BITS - O::BITS;
    /// One less than there is room for, so that no state is [`TAKEN`].
    const MOST: usize = (1 << Self::DEPTH_BITS) - 2;

    pub(crate) const fn new() -> Self {
        Self {
            word: Atomic::new(0),
            _opener: PhantomData,
        }
    }

    fn pack(open: Open<O>) -> u64 {
        match open.depth {
            0 => 0,
            depth => open.opener.to_bits() << Self::DEPTH_BITS | depth as u64,
        }
    }

    fn unpack(word: u64) -> Option<Open<O>> {
        let depth = word & ((1 << Self::DEPTH_BITS) - 1);
        (word != TAKEN && depth != 0).then(|| Open {
            opener: O::from_bits(word >> Self::DEPTH_BITS),
            depth: depth as usize,
        })
    }

    /// Whether the lock has to be taken for what comes next, an access to the pages.
    pub(crate) fn is_taken(&self) -> bool {
        self.word.load(Acquire) == TAKEN
    }

    /// Whether the lock has to be taken for what has been, an access to the pages.
    pub(crate) fn was_taken(&self) -> bool {
        smp_mb(Full);
        self.word.load(Relaxed) == TAKEN
    }

    fn change(&self, old: u64, new: u64) -> bool {
        self.word.cmpxchg(old, new, Full).is_ok()
    }

    /// `opener` begins to write. Returns whether that is all there is to do.
    #[inline]
    pub(crate) fn open(&self, opener: O) -> bool {
        let first = Open { opener, depth: 1 };
        self.change(0, Self::pack(first)) || self.open_another(opener)
    }

    #[cold]
    fn open_another(&self, opener: O) -> bool {
        let old = self.word.load(Relaxed);
        let deeper = |open: Open<O>| {
            let depth = open.depth + 1;
            self.change(old, Self::pack(Open { opener, depth }))
        };
        Self::unpack(old)
            .filter(|open| open.opener == opener && open.depth < Self::MOST)
            .is_some_and(deeper)
    }

    /// `closer` has written. Returns whether that is all there is to do.
    #[inline]
    pub(crate) fn close(&self, closer: O) -> bool {
        let last = Open {
            opener: closer,
            depth: 1,
        };
        self.change(Self::pack(last), 0) || self.close_one(closer)
    }

    #[cold]
    fn close_one(&self, closer: O) -> bool {
        // An exchange that failed orders nothing.
        smp_mb(Full);
        let old = self.word.load(Relaxed);
        match Self::unpack(old) {
            Some(Open { opener, depth }) if opener == closer => {
                let depth = depth - 1;
                let opener = closer;
                self.change(old, Self::pack(Open { opener, depth }))
            }
            // What was not opened is not closed.
            _ => old != TAKEN,
        }
    }

    /// Takes over what is open; from now on, everybody has to take the lock, which the caller has.
    pub(crate) fn take(&self) -> Option<Open<O>> {
        Self::unpack(self.word.xchg(TAKEN, Full))
    }

    /// Nothing is open and no mapping needs syncs: nobody needs the lock, which the caller has.
    pub(crate) fn give_back(&self) {
        self.word.xchg(0, Full);
    }
}

/// The open write brackets of a buffer.
pub(crate) struct Brackets<O> {
    first: Option<Open<O>>,
    others: KVec<Open<O>>,
}

impl<O: Opener> Brackets<O> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            others: KVec::new(),
        }
    }

    /// These were opened already, when there were no others.
    pub(crate) fn adopt(&mut self, open: Open<O>) {
        self.first = Some(open);
    }

    /// `opener` begins to write.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the bracket is not open then.
    pub(crate) fn open(&mut self, opener: O) -> Result {
        let mut all = Iterator::chain(self.first.iter_mut(), self.others.iter_mut());
        if let Some(open) = all.find(|open| open.opener == opener) {
            open.depth += 1;
            return Ok(());
        }
        let open = Open { opener, depth: 1 };
        if self.first.is_none() {
            self.first = Some(open);
            return Ok(());
        }
        if self.others.len() == self.others.capacity() {
            self.forget_the_dead();
        }
        Ok(self.others.push(open, GFP_KERNEL)?)
    }

    /// `closer` has written.
    pub(crate) fn close(&mut self, closer: O) {
        self.retain(|open| {
            open.depth -= usize::from(open.opener == closer);
            open.depth > 0
        });
    }

    /// Whether anybody may be writing.
    pub(crate) fn any_open(&mut self) -> bool {
        self.forget_the_dead();
        self.first.is_some() || !self.others.is_empty()
    }

    fn forget_the_dead(&mut self) {
        self.retain(|open| open.opener.is_alive());
    }

    fn retain(&mut self, mut keep: impl FnMut(&mut Open<O>) -> bool) {
        if self.first.as_mut().is_some_and(|open| !keep(open)) {
            self.first = None;
        }
        self.others.retain(keep);
    }
}

#[kunit_tests(udmabuf_bracket)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, PartialEq)]
    struct Process {
        id: u32,
        alive: bool,
    }

    impl Opener for Process {
        const BITS: u32 = 62;

        fn to_bits(self) -> u64 {
            u64::from(self.id) << 1 | u64::from(self.alive)
        }

        fn from_bits(bits: u64) -> Self {
            Self {
                id: (bits >> 1) as u32,
                alive: bits & 1 != 0,
            }
        }

        fn is_alive(&self) -> bool {
            self.alive
        }
    }

    fn process(id: u32) -> Process {
        Process { id, alive: true }
    }

    #[test]
    fn open_until_closed() -> Result {
        let mut b = Brackets::new();
        assert!(!b.any_open());
        b.open(process(1))?;
        assert!(b.any_open());
        b.close(process(1));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn nested_in_one_process() -> Result {
        let mut b = Brackets::new();
        b.open(process(1))?;
        b.open(process(1))?;
        b.close(process(1));
        assert!(b.any_open());
        b.close(process(1));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn of_several_processes() -> Result {
        let mut b = Brackets::new();
        b.open(process(1))?;
        b.open(process(2))?;
        b.close(process(2));
        assert!(b.any_open());
        b.close(process(1));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn not_closed_by_another_process() -> Result {
        let mut b = Brackets::new();
        b.open(process(1))?;
        b.open(process(2))?;
        b.close(process(3));
        b.close(process(1));
        assert!(b.any_open());
        b.close(process(1));
        assert!(b.any_open());
        b.close(process(2));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn closed_without_being_open() {
        let mut b = Brackets::<Process>::new();
        b.close(process(1));
        assert!(!b.any_open());
    }

    #[test]
    fn ends_with_its_process() -> Result {
        let mut b = Brackets::new();
        b.open(Process {
            id: 1,
            alive: false,
        })?;
        assert!(!b.any_open());
        b.open(Process {
            id: 1,
            alive: false,
        })?;
        b.open(process(2))?;
        assert!(b.any_open());
        b.close(process(2));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn sole_writer_opens_and_closes() {
        let sole = Sole::new();
        assert!(sole.open(process(1)) && sole.open(process(1)));
        assert!(sole.close(process(1)) && sole.close(process(1)));
        // Once more than it was opened, and by somebody else.
        assert!(sole.close(process(1)) && sole.close(process(2)));
        assert!(sole.open(process(2)));
        assert!(sole.close(process(1)));
        assert!(sole.take().is_some_and(|open| open.opener == process(2)));
    }

    #[test]
    fn sole_writer_stays_the_only_one() {
        let sole = Sole::new();
        assert!(sole.open(process(1)));
        assert!(!sole.open(process(2)));
        assert!(!sole.is_taken());
        // Two bits of depth, and the last state is another.
        assert!(sole.open(process(1)));
        assert!(!sole.open(process(1)));
        let open = sole.take();
        assert!(open.is_some_and(|open| open.opener == process(1) && open.depth == 2));
    }

    #[test]
    fn what_is_taken_is_nobodys() {
        let sole = Sole::<Process>::new();
        assert!(sole.take().is_none());
        assert!(sole.is_taken());
        assert!(!sole.open(process(1)) && !sole.close(process(1)));
        assert!(sole.take().is_none());
        sole.give_back();
        assert!(!sole.is_taken() && sole.open(process(1)));
    }

    #[test]
    fn adopted_brackets_are_closed_one_by_one() -> Result {
        let mut b = Brackets::new();
        b.adopt(Open {
            opener: process(1),
            depth: 2,
        });
        b.open(process(2))?;
        b.close(process(1));
        b.close(process(2));
        assert!(b.any_open());
        b.close(process(1));
        assert!(!b.any_open());
        Ok(())
    }
}
