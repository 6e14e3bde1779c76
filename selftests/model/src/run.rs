// SPDX-License-Identifier: GPL-2.0

//! The module's operations, one access to the machine at a time.
//!
//! An operation is executed from its beginning each time, with the results of the accesses that it
//! has made already. The first one beyond these is what it does next; from there on it goes on with
//! zeros, and whatever it does is forgotten. What it changes under the mutex, the list and the twins,
//! is taken over when it unlocks.

use std::{cell::RefCell, ops::Range};

use kernel::{
    prelude::*,
    sync::{
        atomic::{observe, Operation},
        Arc,
    },
};

use crate::{
    attach::{Attachments, Cached, Counted, Shadow},
    exporter::Exporter,
    merge::{self, Memory, Stands, Word},
    pending::Pending,
    script::{Access, Class, Layout, Op, Script, DEVICES},
    span::Span,
    touched::CHUNK_ORDER,
    world::{Change, Step, World, WORDS},
};

/// Which rules are followed: the module's, or broken ones, which the model has to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rules {
    /// The module's.
    Real,
    /// Of a word in which a byte changed, all are stored.
    WholeWords,
    /// Twin and shadow are filled from a load each.
    FilledTwice,
    /// A device gets what is in the pages before all is there.
    PublishedEarly,
    /// The twin of a shadow that is to be written from now on is made of the pages.
    TwinOfThePages,
    /// END looks at the word while stores are on their way.
    NoBarrier,
    /// Map looks at the pages while the word is on its way.
    NoBarrierAtMap,
    /// Lines are cleaned, then invalidated.
    TwoPasses,
    /// Lines are invalidated.
    InvalidatedAlone,
    /// They are once more when a device has been unmapped.
    InvalidatedAfterUnmap,
    /// The word is cleared before unmap has brought home what the device wrote.
    ClearedEarly,
    /// Those of the module before it forgot who has a bracket open: bounce buffers are copied whole,
    /// unless somebody has one open for writing.
    Remembering,
    /// A fault brings nothing home.
    NotBroughtHome,
    /// What a fault makes entries of is not noted.
    NotNoted,
    /// A fault makes its entry when it has let go of the mutex.
    EnteredLate,
    /// Entries stay when a device begins an access.
    EntriesKept,
    /// They stay when one is mapped.
    EntriesKeptAtMap,
    /// They go when the device that begins an access has got everything.
    ForgottenLate,
    /// They go when the device that is mapped has.
    ForgottenLateAtMap,
    /// What is noted is not any more when a device begins an access, and it gets nothing.
    ClearedAlone,
    /// It is not when a device is about to be mapped, which may fail.
    ClearedInVain,
    /// A device that begins an access gets what is noted, whoever else is mapped.
    GivenNotedAlone,
    /// When a device ends an access, what is noted comes home, whoever else is mapped.
    TakenNotedAlone,
    /// Nothing comes home then.
    NothingTaken,
}

/// What an operation under way has found, and where it has got to.
#[derive(Default)]
struct Run {
    results: Vec<u64>,
    done: usize,
    next: Option<Step>,
    /// The list is being made anew: nothing counts.
    silent: bool,
    rules: Option<Rules>,
    /// The word has been set.
    set: bool,
    twins: [Option<[u64; WORDS]>; DEVICES],
    layout: Option<Layout>,
}

thread_local! {
    static RUN: RefCell<Run> = RefCell::default();
}

pub(crate) fn access(step: Step) -> u64 {
    RUN.with_borrow_mut(|run| {
        if run.silent || run.next.is_some() {
            return 0;
        }
        if let Some(&result) = run.results.get(run.done) {
            run.done += 1;
            return result;
        }
        run.next = Some(step);
        0
    })
}

/// Does something of which the machine sees nothing.
pub(crate) fn silently<T>(work: impl FnOnce() -> T) -> T {
    RUN.with_borrow_mut(|run| run.silent = true);
    let result = work();
    RUN.with_borrow_mut(|run| run.silent = false);
    result
}

pub(crate) fn rules() -> Rules {
    RUN.with_borrow(|run| run.rules.unwrap_or(Rules::Real))
}

/// Of the two barriers, the rules may lack the one behind the setting of the word, or the other.
fn skips_barrier() -> bool {
    match rules() {
        Rules::NoBarrier => RUN.with_borrow(|run| !run.set),
        Rules::NoBarrierAtMap => RUN.with_borrow(|run| run.set),
        _ => false,
    }
}

fn observer(operation: Operation) -> bool {
    let step = match operation {
        Operation::Load => Step::LoadPending,
        Operation::Store(value) => Step::StorePending(value),
        Operation::Barrier if skips_barrier() => return false,
        Operation::Barrier => Step::Barrier,
    };
    if step == Step::StorePending(true) {
        RUN.with_borrow_mut(|run| run.set |= !run.silent);
    }
    access(step) != 0
}

/// The pages, as hand-overs see them.
struct Page;

/// A shadow, likewise.
struct Copied(usize);

/// Stores the selected bytes one by one, or all together.
fn store(
    index: usize,
    value: Word,
    bytes: Word,
    all: impl Fn(u64) -> Step,
    one: impl Fn(usize, u8) -> Step,
) {
    if bytes == !0 || rules() == Rules::WholeWords {
        access(all(value));
        return;
    }
    for (at, (value, selected)) in value
        .to_ne_bytes()
        .into_iter()
        .zip(bytes.to_ne_bytes())
        .enumerate()
    {
        if selected != 0 {
            access(one(index * 8 + at, value));
        }
    }
}

impl Memory for Page {
    fn load(&self, index: usize) -> Word {
        access(Step::LoadPage(index))
    }

    fn store(&self, index: usize, value: Word, bytes: Word) {
        let all = |value| Step::StorePageWord { word: index, value };
        store(index, value, bytes, all, |byte, value| Step::StorePage {
            byte,
            value,
        });
    }
}

impl Memory for Copied {
    fn load(&self, index: usize) -> Word {
        access(Step::LoadShadow {
            device: self.0,
            word: index,
        })
    }

    fn store(&self, index: usize, value: Word, bytes: Word) {
        let device = self.0;
        let all = |value| Step::StoreShadowWord {
            device,
            word: index,
            value,
        };
        store(index, value, bytes, all, |byte, value| Step::StoreShadow {
            device,
            byte,
            value,
        });
    }
}

/// The shadow of a device; its twin is among those of the run.
pub(crate) struct Model(usize);

impl Model {
    fn twin(&self) -> Option<[u64; WORDS]> {
        RUN.with_borrow(|run| run.twins[self.0])
    }

    fn set_twin(&self, twin: Option<[u64; WORDS]>) {
        RUN.with_borrow_mut(|run| run.twins[self.0] = twin);
    }
}

impl Shadow for Model {
    fn is_scarce(&self) -> bool {
        false
    }

    fn is_in_reach(&self) -> bool {
        true
    }

    fn fill(&mut self) {
        let mut twin = self.twin();
        merge::fill(
            &Page,
            &Copied(self.0),
            WORDS,
            twin.as_mut().map(|twin| &mut twin[..]),
        );
        if rules() == Rules::FilledTwice {
            if let Some(twin) = &mut twin {
                merge::remember(&Page, twin);
            }
        }
        self.set_twin(twin);
    }

    fn allow_writing(&mut self) -> Result {
        if self.twin().is_none() {
            let mut twin = [0; WORDS];
            match rules() {
                Rules::TwinOfThePages => merge::remember(&Page, &mut twin),
                _ => merge::remember(&Copied(self.0), &mut twin),
            }
            self.set_twin(Some(twin));
        }
        Ok(())
    }

    fn may_write(&self) -> bool {
        self.twin().is_some()
    }

    fn collect(&mut self, span: Span, stands: Stands) -> usize {
        let Some(mut twin) = self.twin() else {
            return 0;
        };
        let taken = merge::collect(&Page, &Copied(self.0), &mut twin, words_of(span), stands);
        self.set_twin(Some(twin));
        if rules() == Rules::PublishedEarly {
            return taken + self.bring(span);
        }
        taken
    }

    fn publish(&mut self, span: Span) -> usize {
        match rules() {
            Rules::PublishedEarly => 0,
            _ => self.bring(span),
        }
    }
}

impl Model {
    fn bring(&mut self, span: Span) -> usize {
        let words = words_of(span);
        match self.twin() {
            Some(mut twin) => {
                let taken = merge::publish(&Page, &Copied(self.0), &mut twin, words);
                self.set_twin(Some(twin));
                taken
            }
            None => merge::refresh(&Page, &Copied(self.0), words),
        }
    }
}

/// The words of which a part of the buffer has the page.
pub(crate) fn words_of(span: Span) -> Range<usize> {
    let layout = RUN.with_borrow(|run| run.layout);
    let pages = span.pages();
    let page = |word: usize| layout.map_or(0, |layout| layout.page(word));
    let mut words = (0..WORDS).filter(|&word| pages.contains(&page(word)));
    match words.next() {
        Some(first) => first..words.next_back().unwrap_or(first) + 1,
        None => 0..0,
    }
}

fn each_line(span: Span, step: impl Fn(usize) -> Step) {
    for line in words_of(span) {
        access(step(line));
    }
}

/// A mapping of a device that does not snoop.
pub(crate) struct Lines {
    may_write: bool,
}

impl Cached for Arc<Lines> {
    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(self, other)
    }

    fn may_write(&self) -> bool {
        self.may_write
    }

    fn clean(&self, span: Span) {
        each_line(span, Step::Clean);
    }

    fn clean_and_invalidate(&self, span: Span) {
        match rules() {
            Rules::TwoPasses => {
                each_line(span, Step::Clean);
                each_line(span, Step::Invalidate);
            }
            Rules::InvalidatedAlone => each_line(span, Step::Invalidate),
            _ => each_line(span, Step::CleanAndInvalidate),
        }
    }
}

/// Pages of the buffer: a chunk for each word, if they lie apart.
pub(crate) const PAGES: usize = WORDS << CHUNK_ORDER;

/// All that there is, which is what hand-overs are of unless the buffer is automatic.
pub(crate) const WHOLE: Span = Span::whole(PAGES);

impl Counted for usize {
    fn has_own_operations(&self) -> bool {
        false
    }
}

/// The list of attachments, with the mappings that are on it.
pub(crate) struct List<'a> {
    pub(crate) script: &'a Script,
    pub(crate) attachments: Attachments<usize, Arc<Lines>, Model>,
    cached: Vec<(usize, Arc<Lines>)>,
    pub(crate) pending: Pending,
}

impl<'a> List<'a> {
    fn new(script: &'a Script, history: &[Change]) -> Self {
        let mut list = List {
            script,
            attachments: Attachments::new(PAGES),
            cached: Vec::new(),
            pending: Pending::new(false),
        };
        silently(|| list.replay(history));
        list
    }

    fn replay(&mut self, history: &[Change]) {
        for &change in history {
            match change {
                Change::Mapped { device, access } => self.map(device, access),
                Change::Unmapped { device } => self.unmap(device),
                Change::Given => {
                    self.attachments.begin_device_access(WHOLE);
                }
            }
        }
    }

    pub(crate) fn map(&mut self, device: usize, access: Access) {
        let direction = access.of_device();
        let may_write = direction.has_from_device();
        let attached = self.attachments.attach(device, false);
        let mapped = match self.script.classes[device] {
            Class::Coherent => {
                self.attachments.map_coherent();
                Ok(())
            }
            Class::Cache => {
                let mapping = Arc::new(Lines { may_write }, GFP_KERNEL).unwrap();
                self.cached.push((device, mapping.clone()));
                self.attachments.map_cached(&self.pending, &device, mapping)
            }
            Class::Shadow => {
                let new = || Ok(Model(device));
                self.attachments
                    .map_shadow(&self.pending, &device, direction, new, |_| Ok(()))
            }
        };
        assert!(attached.is_ok() && mapped.is_ok(), "nothing is refused");
    }

    fn unmap(&mut self, device: usize) {
        if rules() == Rules::ClearedEarly {
            self.pending.clear();
        }
        match self.script.classes[device] {
            Class::Coherent => self.attachments.unmap_coherent(),
            Class::Cache => {
                let at = self.cached.iter().position(|(other, _)| *other == device);
                let (_, mapping) = self
                    .cached
                    .remove(at.expect("scripts unmap what is mapped"));
                self.attachments.unmap_cached(&self.pending, &mapping);
                if rules() == Rules::InvalidatedAfterUnmap {
                    each_line(WHOLE, Step::Invalidate);
                }
            }
            Class::Shadow => self.attachments.unmap_shadow(&self.pending, &device),
        }
        self.attachments.detach(&device);
    }
}

/// What an operation does next.
pub struct Next {
    /// Nothing, if it is over.
    pub step: Option<Step>,
    /// What it has changed under the mutex, when it unlocks.
    pub change: Option<Change>,
    /// The twins as they are then.
    pub twins: [Option<[u64; WORDS]>; DEVICES],
    /// What is noted when it lets go of the mutex of an automatic buffer.
    pub noted: Vec<usize>,
    /// Whether it opens (or ends) a bracket, for rules that remember these.
    pub opens: bool,
}

/// What was under the mutex when an operation locked it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Found {
    twins: [Option<[u64; WORDS]>; DEVICES],
    history: Vec<Change>,
}

impl Found {
    pub fn new(world: &World) -> Self {
        Found {
            twins: world.twins,
            history: world.history.clone(),
        }
    }
}

/// What operation `op`, which has made accesses with those `results`, does next. If it goes on when it
/// has unlocked, what it `found` is what it executes with again.
pub fn next(
    script: &Script,
    rules: Rules,
    world: &World,
    op: Op,
    results: &[u64],
    found: Option<&Found>,
) -> Next {
    RUN.set(Run {
        results: results.to_vec(),
        rules: Some(rules),
        layout: script.automatic,
        ..Run::default()
    });
    observe(Some(observer));
    let mut change = None;
    let mut noted = Vec::new();
    let (history, twins) = match found {
        Some(found) => (&found.history, found.twins),
        None => (&world.history, world.twins),
    };
    let opens = matches!(op, Op::Begin(access) if access.of_cpu().has_to_device());
    if rules == Rules::Remembering {
        change = remembering(script, world, op);
    } else {
        let mut list = List::new(script, history);
        RUN.with_borrow_mut(|run| run.twins = twins);
        match op {
            _ if script.automatic.is_some() && Exporter::has(script, op) => {
                let mut exporter = Exporter::new(list, &world.noted);
                change = exporter.operate(op);
                noted = exporter.noted();
            }
            Op::Begin(_) if list.pending.has_devices_at_begin() => {
                access(Step::Lock);
                list.attachments.begin(WHOLE);
                access(Step::Unlock);
            }
            Op::End(bracket) if list.pending.has_devices_at_end() => {
                access(Step::Lock);
                list.attachments.end(bracket.of_cpu(), WHOLE);
                access(Step::Unlock);
            }
            Op::Map {
                device,
                access: direction,
            } => {
                access(Step::Lock);
                list.map(device, direction);
                access(Step::Unlock);
                change = Some(Change::Mapped {
                    device,
                    access: direction,
                });
            }
            Op::Unmap { device } => {
                access(Step::Lock);
                list.unmap(device);
                access(Step::Unlock);
                change = Some(Change::Unmapped { device });
            }
            _ => {}
        }
    }
    observe(None);
    let run = RUN.take();
    Next {
        step: run.next,
        change,
        twins: run.twins,
        noted,
        opens,
    }
}

/// Mapped devices, with what each may do.
fn mapped(history: &[Change]) -> Vec<(usize, Access)> {
    let mut mapped = Vec::new();
    for &change in history {
        match change {
            Change::Given => {}
            Change::Mapped { device, access } => mapped.push((device, access)),
            Change::Unmapped { device } => {
                let at = mapped.iter().position(|(other, _)| *other == device);
                mapped.remove(at.expect("scripts unmap what is mapped"));
            }
        }
    }
    mapped
}

/// Copies a bounce buffer home, or fills it.
fn copy(device: usize, home: bool) {
    for word in 0..WORDS {
        if home {
            let value = access(Step::LoadShadow { device, word });
            access(Step::StorePageWord { word, value });
        } else {
            let value = access(Step::LoadPage(word));
            access(Step::StoreShadowWord {
                device,
                word,
                value,
            });
        }
    }
}

/// The rules of before, in the model's words. Each agent is a process.
fn remembering(script: &Script, world: &World, op: Op) -> Option<Change> {
    let list = mapped(&world.history);
    let class = |device: usize| script.classes[device];
    let lines = |list: &[(usize, Access)], writes: bool| {
        let cached = |&(device, access): &(usize, Access)| {
            class(device) == Class::Cache && (!writes || access.of_device().has_from_device())
        };
        list.iter().any(cached)
    };
    access(Step::Lock);
    let open = !world.open.is_empty();
    let change = match op {
        Op::Begin(_) => {
            if !open {
                if lines(&list, true) {
                    each_line(WHOLE, Step::Clean);
                    each_line(WHOLE, Step::Invalidate);
                }
                for &(device, may) in &list {
                    if class(device) == Class::Shadow && may.of_device().has_from_device() {
                        copy(device, true);
                    }
                }
            }
            None
        }
        Op::End(bracket) => {
            for &(device, may) in &list {
                let reads = !may.of_device().has_from_device();
                if class(device) == Class::Shadow && (reads || bracket.of_cpu().has_to_device()) {
                    copy(device, false);
                }
            }
            if lines(&list, false) {
                each_line(WHOLE, Step::Clean);
            }
            None
        }
        Op::Map {
            device,
            access: may,
        } => {
            match class(device) {
                Class::Shadow => copy(device, false),
                Class::Cache => each_line(WHOLE, Step::Clean),
                Class::Coherent => {}
            }
            Some(Change::Mapped {
                device,
                access: may,
            })
        }
        Op::Unmap { device } => {
            match class(device) {
                Class::Shadow if !open => copy(device, true),
                Class::Cache => {
                    each_line(WHOLE, Step::Clean);
                    if !open {
                        each_line(WHOLE, Step::Invalidate);
                    }
                }
                _ => {}
            }
            Some(Change::Unmapped { device })
        }
        _ => None,
    };
    access(Step::Unlock);
    change
}
