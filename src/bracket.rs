// SPDX-License-Identifier: GPL-2.0

//! Brackets in which the CPU may write.
//!
//! While one is open, the pages are the CPU's, and nothing may be copied over them: not by
//! another thread's bracket, nor when a mapping goes away.

use kernel::{
    alloc::flags::GFP_KERNEL,
    prelude::*, //
};

/// Whoever opens a bracket.
pub(crate) trait Opener: PartialEq {
    /// Whether the bracket may still be closed.
    fn is_alive(&self) -> bool;
}

/// The open write brackets of a buffer.
///
/// A bracket belongs to the process that opened it (or to the kernel), which alone can close it:
/// whoever ends a bracket without having begun one closes nobody else's. It ends with its process
/// at the latest. Neither exec nor closing the descriptor ends it, and an end that is only for
/// reading does not close what was begun for writing.
pub(crate) struct Brackets<O> {
    open: KVec<(O, usize)>,
}

impl<O: Opener> Brackets<O> {
    pub(crate) const fn new() -> Self {
        Self { open: KVec::new() }
    }

    /// `opener` begins to write.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; the bracket is not open then.
    pub(crate) fn open(&mut self, opener: O) -> Result {
        if let Some((_, depth)) = self.open.iter_mut().find(|(other, _)| *other == opener) {
            *depth += 1;
            return Ok(());
        }
        if self.open.len() == self.open.capacity() {
            self.forget_the_dead();
        }
        Ok(self.open.push((opener, 1), GFP_KERNEL)?)
    }

    /// `closer` has written.
    pub(crate) fn close(&mut self, closer: &O) {
        for (opener, depth) in self.open.iter_mut() {
            if opener == closer {
                *depth -= 1;
            }
        }
        self.open.retain(|(_, depth)| *depth > 0);
    }

    /// Whether anybody may be writing.
    pub(crate) fn any_open(&mut self) -> bool {
        self.forget_the_dead();
        !self.open.is_empty()
    }

    fn forget_the_dead(&mut self) {
        self.open.retain(|(opener, _)| opener.is_alive());
    }
}

#[kunit_tests(udmabuf_bracket)]
mod tests {
    use super::*;

    #[derive(PartialEq)]
    struct Process {
        id: u32,
        alive: bool,
    }

    impl Opener for Process {
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
        b.close(&process(1));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn nested_in_one_process() -> Result {
        let mut b = Brackets::new();
        b.open(process(1))?;
        b.open(process(1))?;
        b.close(&process(1));
        assert!(b.any_open());
        b.close(&process(1));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn of_several_processes() -> Result {
        let mut b = Brackets::new();
        b.open(process(1))?;
        b.open(process(2))?;
        b.close(&process(2));
        assert!(b.any_open());
        b.close(&process(1));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn not_closed_by_another_process() -> Result {
        let mut b = Brackets::new();
        b.open(process(1))?;
        b.open(process(2))?;
        b.close(&process(3));
        b.close(&process(1));
        assert!(b.any_open());
        b.close(&process(1));
        assert!(b.any_open());
        b.close(&process(2));
        assert!(!b.any_open());
        Ok(())
    }

    #[test]
    fn closed_without_being_open() {
        let mut b = Brackets::<Process>::new();
        b.close(&process(1));
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
        b.close(&process(2));
        assert!(!b.any_open());
        Ok(())
    }
}
