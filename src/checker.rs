// SPDX-License-Identifier: GPL-2.0

//! Watches what programs do with a buffer, and says what is wrong.
//!
//! See [`accesses`](crate::accesses) for the rules.
//!
//! # Locking
//!
//! Lock of the mappings, then the mutex here, then what changes page tables. With the mutex held, a fault
//! judges and makes its entry, and an END takes rights away and forgets entries: no entry is made that
//! was allowed before.

use crate::{
    accesses::{
        Accesses,
        Open,
        Process,
        Wrong, //
    },
    direction::Direction,
    ffi::{
        folio::PinnedPages,
        mutex::{
            new_mutex,
            Mutex, //
        },
        task, trace,
        vma::{
            Fault,
            FaultResult,
            UserMappings, //
        },
    },
    mmap,
    span::Span, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// What is done about what is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    /// Nothing is looked at.
    Off,
    /// It is told.
    Report,
    /// And a touch gets `SIGBUS`.
    Strict,
}

impl Check {
    /// As the module parameter has it; what is too much is strict.
    pub(crate) fn of_number(number: u32) -> Self {
        match number {
            0 => Self::Off,
            1 => Self::Report,
            _ => Self::Strict,
        }
    }
}

/// Something wrong in one place of a program.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    process: Process,
    wrong: Wrong,
    /// Where the program was, in its address space.
    instruction: usize,
}

/// Places that are remembered, so that each is told once.
const PLACES: usize = 64;

struct State {
    accesses: Accesses,
    told: KVVec<Place>,
}

/// The checker of one buffer.
#[pin_data]
pub(crate) struct Checker {
    strict: bool,
    #[pin]
    state: Mutex<State>,
}

impl Checker {
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(check: Check) -> Result<Option<Pin<KBox<Self>>>> {
        if check == Check::Off {
            return Ok(None);
        }
        let checker = pin_init!(Self {
            strict: check == Check::Strict,
            state <- new_mutex!(c"udmabuf checker", State {
                accesses: Accesses::new(),
                told: KVVec::new(),
            }),
        });
        Ok(Some(KBox::pin_init(checker, GFP_KERNEL_ACCOUNT)?))
    }

    /// An access has begun, and what devices wrote is in the pages.
    pub(crate) fn begin(&self, access: Direction, span: Span, users: UserMappings<'_>) {
        let mut state = self.state.lock();
        forget_strays(&mut state, users);
        state.accesses.begin(Open {
            process: task::process(),
            access,
            span,
        });
    }

    /// An access is about to end: nobody writes any more when what was written is handed over.
    pub(crate) fn end(
        &self,
        pages: &PinnedPages,
        access: Direction,
        span: Span,
        users: UserMappings<'_>,
    ) {
        let mut state = self.state.lock();
        forget_strays(&mut state, users);
        let (wrong, gone) = state.accesses.end(Open {
            process: task::process(),
            access,
            span,
        });
        if let Some(gone) = gone {
            users.forget(gone);
        }
        if let Some(wrong) = wrong {
            tell(&mut state, pages, wrong, span.start());
        }
    }

    /// A user mapping is touched where it has no entry.
    pub(crate) fn fault(&self, fault: &Fault<'_>) -> FaultResult {
        let (page, write) = (fault.page(), fault.is_write());
        let mut state = self.state.lock();
        match state.accesses.judge(page, write) {
            Ok(grant) => {
                let around = mmap::around(fault);
                let start = around.start.max(grant.pages.start);
                let end = around.end.min(grant.pages.end);
                fault.insert_for(&(start..end), grant.writable)
            }
            Err(wrong) => {
                tell(&mut state, fault.pages(), wrong, page << PAGE_SHIFT);
                if self.strict {
                    return FaultResult::SIGBUS;
                }
                state.accesses.let_through();
                fault.insert_for(&(page..page + 1), write)
            }
        }
    }

    /// A user mapping is written where it has an entry that may be read.
    pub(crate) fn first_write(&self, fault: &Fault<'_>) -> FaultResult {
        let page = fault.page();
        let mut state = self.state.lock();
        if let Err(wrong) = state.accesses.judge(page, true) {
            tell(&mut state, fault.pages(), wrong, page << PAGE_SHIFT);
            if self.strict {
                return FaultResult::SIGBUS;
            }
            state.accesses.let_through();
        }
        FaultResult::GO_ON
    }

    /// The buffer is no more.
    pub(crate) fn release(&self, pages: &PinnedPages) {
        let state = self.state.lock();
        for open in state.accesses.open() {
            trace::wrong(pages, Wrong::NotEnded, open.span.start(), 0, open.process);
            task::log_wrong(pages.inode(), Wrong::NotEnded, open.span.start(), 0);
        }
    }
}

/// What was let through is to be seen again.
fn forget_strays(state: &mut State, users: UserMappings<'_>) {
    if state.accesses.take_strays() {
        users.forget(Span::EVERYTHING);
    }
}

/// Tells of something wrong at `offset`, once for each place.
fn tell(state: &mut State, pages: &PinnedPages, wrong: Wrong, offset: usize) {
    let place = Place {
        process: task::process(),
        wrong,
        instruction: task::user_instruction(),
    };
    if state.told.contains(&place) {
        return;
    }
    if state.told.len() < PLACES {
        // Without memory, it is told once more.
        let _ = state.told.push(place, GFP_KERNEL_ACCOUNT);
    }
    trace::wrong(pages, wrong, offset, place.instruction, place.process);
    task::log_wrong(pages.inode(), wrong, offset, place.instruction);
}
