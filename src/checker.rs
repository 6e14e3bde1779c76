// SPDX-License-Identifier: GPL-2.0

//! Watches what programs do with a buffer, and says what is wrong.
//!
//! See [`accesses`](crate::accesses) for the rules.
//!
//! Nobody brackets an [automatic](crate::automatic) buffer, which is right if devices say when they access
//! it. A touch outside of any bracket is wrong there if a device has the buffer mapped, and is unmapped
//! without ever having said so.
//!
//! # Locking
//!
//! Lock of the mappings, or reservation lock, then the mutex here, then that of automatic buffers, then
//! what changes page tables. With the mutex held, a fault judges and makes its entry, and an END takes
//! rights away and forgets entries: no entry is made that was allowed before.

use crate::{
    accesses::{
        Accesses,
        Open,
        Process,
        Wrong, //
    },
    direction::Direction,
    ffi::{
        device::Device,
        folio::PinnedPages,
        mutex::{
            new_mutex,
            Mutex, //
        },
        reports, task, trace,
        vma::{
            Fault,
            FaultResult,
            UserMappings, //
        },
    },
    report::Report,
    span::Span, //
};
use core::ops::Range;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    fmt,
    page::PAGE_SHIFT,
    prelude::*,
    str::CString, //
};

/// What is done about what is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// A mapping of a device.
struct Mapped {
    device: Device,
    /// It has said that it accesses the buffer.
    announces: bool,
    /// Before it has, somebody touched the buffer outside of any bracket.
    is_suspect: bool,
}

struct State {
    accesses: Accesses,
    told: KVVec<Place>,
    mapped: KVVec<Mapped>,
    /// What is wrong if a device goes that has not said when it accesses the buffer.
    suspicion: Option<Report>,
}

/// The checker of one buffer.
#[pin_data]
pub(crate) struct Checker {
    strict: bool,
    automatic: bool,
    #[pin]
    state: Mutex<State>,
}

impl Checker {
    /// Of a buffer that is automatic, or not.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(check: Check, automatic: bool) -> Result<Option<Pin<KBox<Self>>>> {
        if check == Check::Off {
            return Ok(None);
        }
        let checker = pin_init!(Self {
            strict: check == Check::Strict,
            automatic,
            state <- new_mutex!(c"udmabuf checker", State {
                accesses: Accesses::new(),
                told: KVVec::new(),
                mapped: KVVec::new(),
                suspicion: None,
            }),
        });
        Ok(Some(KBox::pin_init(checker, GFP_KERNEL_ACCOUNT)?))
    }

    /// An access has begun, and what devices wrote is in the pages.
    pub(crate) fn begin(
        &self,
        pages: &PinnedPages,
        access: Direction,
        span: Span,
        users: UserMappings<'_>,
    ) {
        let mut state = self.state.lock();
        state.forget_strays(users);
        let open = Open {
            process: task::process(),
            access,
            span,
        };
        if !state.accesses.begin(open, task::site()) {
            state.tell(pages, Wrong::TooMany, span.start(), Some(access), false);
        }
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
        state.forget_strays(users);
        let before = state.accesses.open_to(span.pages().start);
        let (wrong, gone) = state.accesses.end(Open {
            process: task::process(),
            access,
            span,
        });
        if let Some(gone) = gone {
            users.forget(gone);
        }
        if let Some(wrong) = wrong {
            state.tell(pages, wrong, span.start(), before, false);
        }
    }

    /// A device is being given the pages: what it does not know of yet is looked at anew.
    pub(crate) fn map(&self, device: &Device, users: UserMappings<'_>) {
        let mut state = self.state.lock();
        state.forget_strays(users);
        // Without memory, one device fewer is told of.
        let _ = state.mapped.push(
            Mapped {
                device: device.clone(),
                announces: false,
                is_suspect: false,
            },
            GFP_KERNEL_ACCOUNT | __GFP_NOWARN,
        );
    }

    /// A device says that it accesses the pages.
    pub(crate) fn begin_device_access(&self, device: &Device, users: UserMappings<'_>) {
        let mut state = self.state.lock();
        state.forget_strays(users);
        for mapped in state.mapped.iter_mut() {
            mapped.announces |= mapped.device == *device;
        }
        state.forget_suspicion();
    }

    /// A device is being unmapped.
    pub(crate) fn unmap(&self, device: &Device) {
        let mut state = self.state.lock();
        let State {
            mapped, suspicion, ..
        } = &mut *state;
        let place = mapped.iter().position(|mapped| mapped.device == *device);
        let gone = place.and_then(|place| mapped.remove(place).ok());
        if gone.is_some_and(|gone| gone.is_suspect && !gone.announces) {
            if let Some(report) = suspicion.take() {
                state.say(&report);
            }
        }
        state.forget_suspicion();
    }

    /// A user mapping is touched where it has no entry. `make` makes those of some page indices, to be
    /// written or not.
    pub(crate) fn fault(
        &self,
        fault: &Fault<'_>,
        around: Range<usize>,
        make: impl FnOnce(&Range<usize>, bool) -> FaultResult,
    ) -> FaultResult {
        let (page, write) = (fault.page(), fault.is_write());
        let mut state = self.state.lock();
        match state.accesses.judge(page, write) {
            Ok(grant) => {
                let start = around.start.max(grant.pages.start);
                let end = around.end.min(grant.pages.end);
                make(&(start..end), grant.writable)
            }
            Err(wrong) if self.is_wrong(&mut state, fault, wrong, write) && self.strict => {
                FaultResult::SIGBUS
            }
            Err(_) => {
                state.accesses.let_through();
                make(&(page..page + 1), write)
            }
        }
    }

    /// A user mapping is written where it has an entry that may be read.
    pub(crate) fn first_write(&self, fault: &Fault<'_>) -> FaultResult {
        let mut state = self.state.lock();
        if let Err(wrong) = state.accesses.judge(fault.page(), true) {
            if self.is_wrong(&mut state, fault, wrong, true) && self.strict {
                return FaultResult::SIGBUS;
            }
            state.accesses.let_through();
        }
        FaultResult::GO_ON
    }

    /// Tells of a touch, unless it may yet turn out to be right.
    fn is_wrong(&self, state: &mut State, fault: &Fault<'_>, wrong: Wrong, write: bool) -> bool {
        let (page, pages) = (fault.page(), fault.pages());
        let (offset, open) = (page << PAGE_SHIFT, state.accesses.open_to(page));
        if self.automatic {
            // A bracket forbids nothing here, whoever has it open.
            if state.suspicion.is_none() && !state.all_announce() {
                let report = state.report(pages, Wrong::Outside, offset, open, write);
                state.suspicion = Some(report);
            }
            for mapped in state.mapped.iter_mut() {
                mapped.is_suspect |= !mapped.announces;
            }
            return false;
        }
        state.tell(pages, wrong, offset, open, write);
        true
    }

    /// A user mapping goes away: with it, perhaps, the process.
    pub(crate) fn unmapped(&self, pages: &PinnedPages) {
        if task::is_exiting() {
            let process = task::process();
            self.not_ended(pages, |open| open.process == process);
        }
    }

    /// The buffer is no more.
    pub(crate) fn release(&self, pages: &PinnedPages) {
        self.not_ended(pages, |_| true);
    }

    /// Tells of accesses that nobody will end.
    fn not_ended(&self, pages: &PinnedPages, is_one: impl Fn(&Open) -> bool) {
        let mut state = self.state.lock();
        while let Some((open, site)) = state.accesses.give_up(&is_one) {
            let (at, access) = (open.span.start(), Some(open.access));
            let mut report = state.report(pages, Wrong::NotEnded, at, access, false);
            (report.process, report.site, report.path) = (open.process, site, None);
            state.say(&report);
        }
    }
}

impl State {
    /// What was let through is to be seen again.
    fn forget_strays(&mut self, users: UserMappings<'_>) {
        if self.accesses.take_strays() {
            users.forget_all();
        }
    }

    /// Nobody is under suspicion any more, perhaps.
    fn forget_suspicion(&mut self) {
        let is_one = |mapped: &Mapped| mapped.is_suspect && !mapped.announces;
        if !self.mapped.iter().any(is_one) {
            self.suspicion = None;
        }
    }

    /// Whether every device that has the buffer mapped says when it accesses it.
    fn all_announce(&self) -> bool {
        self.mapped.iter().all(|mapped| mapped.announces)
    }

    fn report(
        &self,
        pages: &PinnedPages,
        wrong: Wrong,
        offset: usize,
        open: Option<Direction>,
        is_write: bool,
    ) -> Report {
        let site = task::site();
        Report {
            inode: pages.inode(),
            wrong,
            offset,
            process: task::process(),
            is_write,
            path: task::path_of(site.instruction),
            site,
            open,
            mapped: self.mapped.len(),
            devices: CString::try_from_fmt(fmt!("{}", Names(&self.mapped))).ok(),
            has_memfd_mapped: pages.is_mapped(offset >> PAGE_SHIFT),
        }
    }

    /// Tells of something wrong at `offset`.
    fn tell(
        &mut self,
        pages: &PinnedPages,
        wrong: Wrong,
        offset: usize,
        open: Option<Direction>,
        is_write: bool,
    ) {
        let place = Place {
            process: task::process(),
            wrong,
            instruction: task::user_instruction(),
        };
        // Who does it again and again need not wait for a report that nobody gets.
        if self.is_new(&place) {
            let report = self.report(pages, wrong, offset, open, is_write);
            self.say(&report);
        }
    }

    /// Whether it is to be told of: each once, and not more than there is room for.
    fn is_new(&self, place: &Place) -> bool {
        self.told.len() < PLACES && !self.told.contains(place)
    }

    /// Once for each place.
    fn say(&mut self, report: &Report) {
        let place = Place {
            process: report.process,
            wrong: report.wrong,
            instruction: report.site.instruction,
        };
        if !self.is_new(&place) {
            return;
        }
        // Without memory, it is told once more.
        let _ = self.told.push(place, GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
        trace::wrong(report);
        if let Ok(line) = CString::try_from_fmt(fmt!("{report}")) {
            task::log_wrong(&line);
            reports::keep(line);
        }
    }
}

/// The names of the first devices, in brackets: anybody may have a buffer mapped very often.
struct Names<'a>(&'a [Mapped]);

/// As many are named.
const NAMED: usize = 4;

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mapped) in self.0.iter().enumerate().take(NAMED) {
            let before = if index == 0 { " (" } else { ", " };
            let name = mapped.device.name().to_str().unwrap_or("?");
            write!(f, "{before}{name}")?;
        }
        match self.0.len() {
            0 => Ok(()),
            1..=NAMED => write!(f, ")"),
            _ => write!(f, ", ...)"),
        }
    }
}
