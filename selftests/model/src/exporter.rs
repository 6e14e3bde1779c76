// SPDX-License-Identifier: GPL-2.0

//! What the exporter does with the two mutexes of an automatic buffer, repeated here: its callbacks
//! are made of what only a kernel has. `automatic.rs` is the module's own.

use kernel::prelude::*;

use crate::{
    automatic::Automatic,
    ffi::vma::UserMappings,
    run::{access, rules, silently, words_of, List, Rules, PAGES, WHOLE},
    script::{Access, Class, Layout, Op, Script},
    span::Span,
    touched::CHUNK_ORDER,
    world::{Change, Step},
};

/// A buffer that hands itself over.
pub(crate) struct Exporter<'a> {
    list: List<'a>,
    automatic: Pin<KBox<Automatic>>,
    layout: Layout,
}

impl<'a> Exporter<'a> {
    /// Whether that is another operation for an automatic buffer.
    pub(crate) fn has(script: &Script, op: Op) -> bool {
        match op {
            Op::Map { device, .. } => script.classes[device] != Class::Coherent,
            Op::Load { .. }
            | Op::Store { .. }
            | Op::MapInVain { .. }
            | Op::BeginDevice { .. }
            | Op::EndDevice { .. } => true,
            _ => false,
        }
    }

    /// Of which those chunks are noted, by their first pages.
    pub(crate) fn new(list: List<'a>, noted: &[usize]) -> Self {
        let automatic = Automatic::new(PAGES, false).expect("there is memory");
        silently(|| {
            let mut entries = automatic.hold().expect("nobody is killed");
            for &page in noted {
                entries.note(&(page..page + 1));
            }
        });
        let layout = list.script.automatic.expect("it is automatic");
        Exporter {
            list,
            automatic,
            layout,
        }
    }

    /// The first pages of the chunks that are noted.
    pub(crate) fn noted(&self) -> Vec<usize> {
        silently(|| {
            let entries = self.automatic.hold().expect("nobody is killed");
            let noted = entries.noted(WHOLE);
            noted
                .flat_map(|span| span.pages().step_by(1 << CHUNK_ORDER))
                .collect()
        })
    }

    /// Returns what it changes under the mutex of the attachments.
    pub(crate) fn operate(&mut self, op: Op) -> Option<Change> {
        match op {
            Op::Load { byte } | Op::Store { byte, .. } => self.fault(byte),
            Op::Map { device, access } => return Some(self.map(device, access)),
            Op::MapInVain { .. } => self.map_in_vain(),
            Op::BeginDevice { .. } => return self.begin_device(),
            Op::EndDevice { access, .. } => self.end_device(access),
            _ => unreachable!("only these are different"),
        }
        None
    }

    /// `Udmabuf::at_home()`.
    fn fault(&mut self, byte: usize) {
        let pages = self.layout.around(byte / size_of::<u64>());
        let mut entries = self.automatic.hold().expect("nobody is killed");
        if self.list.pending.has_devices_at_begin() {
            access(Step::Lock);
            if rules() != Rules::NotBroughtHome {
                let span = Span::of_pages(&pages).within(WHOLE);
                self.list.attachments.touch(span);
            }
            access(Step::Unlock);
            if rules() != Rules::NotNoted {
                entries.note(&pages);
            }
        }
        if rules() == Rules::EnteredLate {
            drop(entries);
        }
        for word in words_of(Span::of_pages(&pages)) {
            access(Step::Enter(word));
        }
    }

    /// `Udmabuf::map()`.
    fn map(&mut self, device: usize, may: Access) -> Change {
        let users = UserMappings::default();
        let mut entries = self.automatic.hold().expect("nobody is killed");
        match rules() {
            Rules::EntriesKeptAtMap | Rules::ForgottenLateAtMap => {}
            _ => users.forget_all(),
        }
        access(Step::Lock);
        self.list.map(device, may);
        access(Step::Unlock);
        if rules() == Rules::ForgottenLateAtMap {
            users.forget_all();
        }
        entries.clear();
        Change::Mapped {
            device,
            access: may,
        }
    }

    /// The same, when the mapping fails.
    fn map_in_vain(&mut self) {
        let mut entries = self.automatic.hold().expect("nobody is killed");
        entries.forget_all(UserMappings::default());
        if rules() == Rules::ClearedInVain {
            entries.clear();
        }
    }

    /// `Udmabuf::begin_device_access()`.
    fn begin_device(&mut self) -> Option<Change> {
        if !self.list.pending.has_devices_at_end() {
            return None;
        }
        let users = UserMappings::default();
        let mut entries = self.automatic.hold().expect("nobody is killed");
        access(Step::Lock);
        let has_one = match rules() {
            Rules::GivenNotedAlone => true,
            _ => self.list.attachments.has_one_mapping(),
        };
        let mut give = |span| {
            self.list.attachments.begin_device_access(span);
        };
        match rules() {
            Rules::EntriesKept | Rules::ForgottenLate | Rules::ClearedAlone => {
                match has_one {
                    _ if rules() == Rules::ClearedAlone => {}
                    true => entries.noted(WHOLE).for_each(give),
                    false => give(WHOLE),
                }
                if rules() != Rules::EntriesKept {
                    entries.forget_all(users);
                }
                entries.clear();
            }
            _ if has_one => entries.give(WHOLE, users, give),
            _ => {
                entries.forget_all(users);
                give(WHOLE);
                entries.clear();
            }
        }
        access(Step::Unlock);
        (!has_one).then_some(Change::Given)
    }

    /// `Udmabuf::end_device_access()`.
    fn end_device(&mut self, did: Access) {
        if !did.of_device().has_from_device() || !self.list.pending.has_devices_at_begin() {
            return;
        }
        let entries = self.automatic.hold().expect("nobody is killed");
        access(Step::Lock);
        let has_one = self.list.attachments.has_one_mapping() || rules() == Rules::TakenNotedAlone;
        let mut take = |span| {
            self.list.attachments.end_device_access(span);
        };
        match has_one {
            _ if rules() == Rules::NothingTaken => {}
            true => entries.noted(WHOLE).for_each(take),
            false => take(WHOLE),
        }
        access(Step::Unlock);
    }
}
