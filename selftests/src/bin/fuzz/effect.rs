// SPDX-License-Identifier: GPL-2.0

//! What the world is after a call.

use selftests::abi;

use crate::call::Call;
use crate::call::Deed;
use crate::call::Pages;
use crate::call::Through;
use crate::call::Way;
use crate::call::asked;
use crate::cells;
use crate::cells::Version;
use crate::pages::HandOver;
use crate::plan::Plan;
use crate::world::Attachment;
use crate::world::Mapping;
use crate::world::PROCESSES;
use crate::world::Slot;
use crate::world::Source;
use crate::world::Transfer;
use crate::world::WATCHED;
use crate::world::Work;
use crate::world::World;

impl World {
    /// What the world is after a call that went as it had to.
    pub fn done(&mut self, call: &Call, plan: &Plan, result: Result<i64, i32>) {
        let process = usize::from(call.process);
        let number = match result {
            Ok(number) => number,
            Err(_) => return self.failed(call),
        };
        match &call.deed {
            Deed::Create { buffer, of } | Deed::CreateIn { buffer, of, .. } => {
                let mode = match &call.deed {
                    Deed::CreateIn { mode, .. } => asked(*mode),
                    _ => None,
                };
                let coherent = mode.is_some_and(|(mode, _)| mode.is_coherent());
                let new = self.create(of, coherent);
                let mut descriptors = [None; PROCESSES];
                descriptors[process] = Some(number);
                self.buffers[usize::from(*buffer)] = Some(Slot {
                    buffer: new,
                    descriptors,
                });
                self.created += 1;
            }
            Deed::Take { buffer, .. } => {
                if let Some(slot) = &mut self.buffers[usize::from(*buffer)] {
                    slot.descriptors[process] = Some(number);
                }
            }
            Deed::Close { buffer } => self.closed(process, (*buffer).into()),
            Deed::Sync { buffer, flags } => {
                let what = match flags & u64::from(abi::SYNC_END) {
                    0 => HandOver::Start,
                    _ => HandOver::End,
                };
                self.hand_over(process, *buffer, what);
            }
            Deed::SyncRange {
                buffer,
                flags,
                spot,
                further,
            } => {
                let what = match flags & abi::SYNC_END {
                    0 => HandOver::Start,
                    _ => HandOver::End,
                };
                let (spot, further) = (*spot, usize::from(*further));
                if let Some(buffer) = self.buffer(process, *buffer) {
                    let part = |page| cells::part(page, spot, further);
                    self.memory.hand_over_part(buffer, what, part);
                }
            }
            Deed::Fence { buffer, .. } => self.hand_over(process, *buffer, HandOver::Start),
            Deed::Mmap {
                mapping,
                buffer,
                page,
                pages,
                way,
                ..
            } => {
                self.mappings[usize::from(*mapping)] =
                    self.buffer(process, *buffer).map(|buffer| Mapping {
                        process,
                        buffer,
                        page: (*page).into(),
                        pages: (*pages).into(),
                        way: Some(*way),
                        address: number,
                    });
            }
            Deed::Munmap { mapping } => self.mappings[usize::from(*mapping)] = None,
            Deed::Move { mapping, .. } => {
                self.change(*mapping, |mapping| mapping.address = number);
            }
            Deed::Shorten { mapping, pages } => {
                self.change(*mapping, |mapping| mapping.pages = (*pages).into());
            }
            Deed::Protect { mapping, way } => self.change(*mapping, |mapping| mapping.way = *way),
            Deed::Touch { through, .. } => {
                self.wrote(plan);
                if let Through::Kernel(buffer) = through {
                    self.hand_over(process, *buffer, HandOver::End);
                }
            }
            Deed::Attach {
                attachment,
                buffer,
                device,
            } => {
                self.attachments[usize::from(*attachment)] =
                    self.buffer(process, *buffer).map(|buffer| Attachment {
                        process,
                        buffer,
                        device: (*device).into(),
                        alive: true,
                        mapped: false,
                    });
            }
            Deed::Detach { attachment } => self.attachments[usize::from(*attachment)] = None,
            Deed::Map {
                transfer,
                attachment,
                way,
            } => self.map(process, *transfer, *attachment, *way),
            Deed::Unmap { transfer } => {
                if let Some(transfer) = self.transfers[usize::from(*transfer)].take() {
                    self.memory.unmap(transfer.view);
                }
            }
            Deed::Punch { memfd, page } => match plan.target {
                Some((party, frame, cells)) => {
                    self.memory.written(party, frame, cells, Version::default());
                }
                None => {
                    let frame = self.memory.frame();
                    self.memfds[usize::from(*memfd)].frames[usize::from(*page)] = frame;
                }
            },
            Deed::Grow { memfd } => self.memfds[usize::from(*memfd)].pages += 1,
            Deed::Seal { memfd, .. } => self.memfds[usize::from(*memfd)].may_grow = false,
            Deed::Limit { small } => self.small_limits = *small,
            Deed::Rebind { device } => self.unbound((*device).into()),
            _ => {}
        }
    }

    /// What is gone although, or because, a call failed: handles of a device that was unbound.
    fn failed(&mut self, call: &Call) {
        match call.deed {
            Deed::Detach { attachment } => {
                self.attachments[usize::from(attachment)].take_if(|attachment| !attachment.alive);
            }
            Deed::Unmap { transfer } => {
                self.transfers[usize::from(transfer)].take_if(|transfer| !transfer.alive);
            }
            _ => {}
        }
    }

    /// What can be known after a call in whose middle the process was killed.
    pub fn interrupted(&mut self, plan: &Plan) {
        if let (Some((party, frame, cells)), Some(_)) = (plan.target, plan.version) {
            self.memory.written(party, frame, cells, Version::UNKNOWN);
        }
    }

    /// A device begins.
    pub fn begin(&mut self, call: &Call, plan: &Plan) {
        let Deed::Dma {
            transfer, during, ..
        } = call.deed
        else {
            return;
        };
        let Some((party, frame, cells)) = plan.target else {
            return;
        };
        match plan.version {
            Some(_) => self.memory.hide(frame, cells),
            None => self.memory.reads(frame, cells, true),
        }
        let device = self.transfers[usize::from(transfer)]
            .as_ref()
            .map(|transfer| transfer.device);
        self.works.push(Work {
            process: call.process.into(),
            device: device.unwrap_or_default(),
            party,
            frame,
            cells,
            writes: plan.version,
            left: during,
        });
    }

    fn wrote(&mut self, plan: &Plan) {
        if let (Some((party, frame, cells)), Some(version)) = (plan.target, plan.version) {
            self.memory.written(party, frame, cells, version);
        }
    }

    fn change(&mut self, mapping: u8, how: impl FnOnce(&mut Mapping)) {
        if let Some(mapping) = &mut self.mappings[usize::from(mapping)] {
            how(mapping);
        }
    }

    fn hand_over(&mut self, process: usize, buffer: u8, what: HandOver) {
        if let Some(buffer) = self.buffer(process, buffer) {
            self.memory.hand_over(buffer, what);
        }
    }

    fn map(&mut self, process: usize, transfer: u8, attachment: u8, way: Way) {
        let Some(attached) = &mut self.attachments[usize::from(attachment)] else {
            return;
        };
        attached.mapped = true;
        let (buffer, device) = (attached.buffer, attached.device);
        self.transfers[usize::from(transfer)] = Some(Transfer {
            process,
            attachment: attachment.into(),
            buffer,
            device,
            view: self.memory.map(buffer, device),
            way,
            alive: true,
        });
    }

    fn create(&mut self, of: &[Pages], coherent: bool) -> usize {
        let total = of.iter().map(|pages| usize::from(pages.count)).sum();
        let mut watched = Vec::new();
        if self.setting.source == Source::Heap {
            for page in 0..WATCHED.min(total) {
                watched.push((page, self.memory.frame()));
            }
            return self.memory.buffer(total, watched, coherent);
        }
        let mut at = 0;
        for pages in of {
            let frames = &self.memfds[usize::from(pages.memfd)].frames;
            for page in 0..usize::from(pages.count) {
                if let Some(frame) = frames.get(usize::from(pages.first) + page) {
                    watched.push((at + page, *frame));
                }
            }
            at += usize::from(pages.count);
        }
        self.memory.buffer(total, watched, coherent)
    }
}
