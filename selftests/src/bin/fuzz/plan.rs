// SPDX-License-Identifier: GPL-2.0

//! What a call comes to in the world as it is, and how it has to end.

use selftests::Backing;
use selftests::Errno;
use selftests::PAGE;
use selftests::abi;

use crate::broken;
use crate::call::Call;
use crate::call::Deed;
use crate::call::Pages;
use crate::call::Spot;
use crate::call::Through;
use crate::call::asked;
use crate::cells;
use crate::cells::ALL;
use crate::cells::CELLS;
use crate::cells::Piece;
use crate::cells::Version;
use crate::order::Order;
use crate::pages::HandOver;
use crate::pages::Party;
use crate::world::Attachment;
use crate::world::Mapping;
use crate::world::PROCESSES;
use crate::world::Source;
use crate::world::THREADS;
use crate::world::Transfer;
use crate::world::WATCHED;
use crate::world::World;

/// How a call has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Success,
    /// With one of these.
    Failure(&'static [Errno]),
    /// Or with one of these.
    SuccessOr(&'static [Errno]),
}

impl Expect {
    /// Says what is wrong with a result, if anything.
    pub fn check(self, result: Result<i64, i32>) -> Option<String> {
        let error = result.err().map(Errno::from_raw_os_error);
        let fine = match (self, error) {
            (Expect::Success | Expect::SuccessOr(_), None) => true,
            (Expect::Failure(known) | Expect::SuccessOr(known), Some(error)) => {
                known.contains(&error)
            }
            _ => false,
        };
        let got = error.map_or("success".to_owned(), |error| format!("{error:?}"));
        (!fine).then(|| format!("{got} instead of {self:?}"))
    }
}

/// A call that makes sense.
#[derive(Clone, Debug)]
pub struct Plan {
    pub order: Order,
    pub expect: Expect,
    /// The cells that it is about.
    pub target: Option<(Party, usize, u8)>,
    pub version: Option<Version>,
}

/// What dma_buf_ioctl() takes for DMA_BUF_IOCTL_SYNC.
const SYNC_RW: u64 = (abi::SYNC_READ | abi::SYNC_WRITE) as u64;
const SYNC_KNOWN: u64 = SYNC_RW | abi::SYNC_END as u64;

/// What `list_limit` and `size_limit_mb` are while they are small.
pub const SMALL_LIST: usize = 2;
pub const SMALL_MB: usize = 1;

impl World {
    /// What the call comes to; nothing when there is nothing to call it on.
    pub fn plan(&mut self, call: &Call) -> Option<Plan> {
        let process = usize::from(call.process);
        if process >= PROCESSES || call.thread != thread_for(process, &call.deed, call.thread) {
            return None;
        }
        let mut plan = Plan {
            order: Order {
                deed: call.deed.clone(),
                pieces: Vec::new(),
                pid: 0,
                number: 0,
            },
            expect: Expect::Success,
            target: None,
            version: None,
        };
        let ours = self.setting.source == Source::Udmabuf { ours: true };
        plan.expect = match &call.deed {
            Deed::Create { buffer, of } => {
                let free = self.buffers.get(usize::from(*buffer))?.is_none();
                free.then(|| self.creates(of))?
            }
            Deed::CreateIn { buffer, of, mode } => {
                let free = self.buffers.get(usize::from(*buffer))?.is_none();
                let known = asked(*mode).is_some();
                (free && known && ours).then(|| self.creates(of))?
            }
            Deed::Query { buffer } => {
                if let Some(buffer) = buffer {
                    let buffer = self.buffer(process, *buffer)?;
                    plan.order.number = (self.memory.pages(buffer) * PAGE) as i64;
                }
                match self.setting.source {
                    Source::Heap => return None,
                    Source::Udmabuf { ours: true } => Expect::Success,
                    Source::Udmabuf { ours: false } => Expect::Failure(&[Errno::NOTTY]),
                }
            }
            Deed::SyncRange {
                buffer,
                flags,
                spot,
                further,
            } => {
                let pages = self.memory.pages(self.buffer(process, *buffer)?);
                let fits = usize::from(spot.first) + usize::from(spot.cells) <= CELLS;
                (ours && fits && spot.cells > 0).then_some(())?;
                let (flags, rw) = (u64::from(*flags), u64::from(*flags) & SYNC_RW);
                let inside = usize::from(spot.page) + usize::from(*further) < pages;
                match flags & !SYNC_KNOWN == 0 && rw != 0 && inside {
                    true => Expect::Success,
                    false => Expect::Failure(&[Errno::INVAL]),
                }
            }
            Deed::Broken { kind, .. } => broken::expected(*kind, self.setting.source)?,
            Deed::Take { buffer, from } => {
                let slot = self.buffers.get(usize::from(*buffer))?.as_ref()?;
                plan.order.number = (*slot.descriptors.get(usize::from(*from))?)?;
                slot.descriptors[process]
                    .is_none()
                    .then_some(Expect::Success)?
            }
            Deed::Close { buffer } | Deed::Export { buffer } => {
                self.buffer(process, *buffer)?;
                Expect::Success
            }
            Deed::Sync { buffer, flags } => {
                self.buffer(process, *buffer)?;
                let known = flags & !SYNC_KNOWN == 0 && flags & SYNC_RW != 0;
                match (known, self.setting.source) {
                    (false, _) => Expect::Failure(&[Errno::INVAL]),
                    // end_cpu_udmabuf() refuses what nobody has begun.
                    (true, Source::Udmabuf { ours: false }) => Expect::SuccessOr(&[Errno::INVAL]),
                    (true, _) => Expect::Success,
                }
            }
            Deed::Fence { buffer, .. } => {
                self.buffer(process, *buffer)?;
                // Without anything that makes fences.
                Expect::SuccessOr(&[Errno::NOENT])
            }
            Deed::Mmap {
                mapping,
                buffer,
                page,
                pages,
                ..
            } => {
                let size = self.memory.pages(self.buffer(process, *buffer)?);
                self.mappings
                    .get(usize::from(*mapping))?
                    .is_none()
                    .then_some(())?;
                match *pages > 0 && usize::from(*page) + usize::from(*pages) <= size {
                    true => Expect::Success,
                    false => Expect::Failure(&[Errno::INVAL]),
                }
            }
            Deed::MmapPrivate { buffer } => {
                self.buffer(process, *buffer)?;
                match self.setting.source {
                    Source::Heap => Expect::SuccessOr(&[Errno::INVAL]),
                    Source::Udmabuf { .. } => Expect::Failure(&[Errno::INVAL]),
                }
            }
            Deed::Munmap { mapping }
            | Deed::Move { mapping, .. }
            | Deed::Protect { mapping, .. } => {
                self.mapping(process, *mapping)?;
                Expect::Success
            }
            Deed::Stretch { mapping } => {
                self.mapping(process, *mapping)?;
                Expect::Failure(&[Errno::FAULT])
            }
            Deed::Shorten { mapping, pages } => {
                let now = self.mapping(process, *mapping)?.pages;
                (1..now)
                    .contains(&usize::from(*pages))
                    .then_some(Expect::Success)?
            }
            Deed::Advise { mapping, .. } => {
                self.mapping(process, *mapping)?;
                Expect::SuccessOr(&[
                    Errno::INVAL,
                    Errno::FAULT,
                    Errno::OPNOTSUPP,
                    Errno::ACCESS,
                    Errno::NODEV,
                ])
            }
            Deed::Lock { mapping, .. } => {
                self.mapping(process, *mapping)?;
                Expect::SuccessOr(&[Errno::NOMEM, Errno::AGAIN])
            }
            Deed::Touch {
                through,
                spot,
                write,
            } => self.plan_touch(process, *through, *spot, *write, &mut plan)?,
            Deed::Attach {
                attachment,
                buffer,
                device,
            } => {
                let buffer = self.buffer(process, *buffer)?;
                let free = self.attachments.get(usize::from(*attachment))?.is_none();
                (free && usize::from(*device) < self.setting.devices()).then_some(())?;
                match self.memory.is_coherent(buffer) {
                    true => Expect::SuccessOr(&[Errno::OPNOTSUPP]),
                    false => Expect::Success,
                }
            }
            Deed::Detach { attachment } => {
                let attached = self.attachment(process, *attachment)?;
                let mut transfers = self.transfers.iter().flatten();
                let of_this = |transfer: &Transfer| {
                    transfer.alive && transfer.attachment == usize::from(*attachment)
                };
                match (attached.alive, transfers.any(of_this)) {
                    (false, _) => Expect::Failure(&[Errno::NODEV]),
                    (true, true) => Expect::Failure(&[Errno::BUSY]),
                    (true, false) => Expect::Success,
                }
            }
            Deed::Map {
                transfer,
                attachment,
                ..
            } => {
                let &Attachment { alive, buffer, .. } = self.attachment(process, *attachment)?;
                let coherent = self.memory.is_coherent(buffer);
                self.transfers
                    .get(usize::from(*transfer))?
                    .is_none()
                    .then_some(())?;
                match (alive, coherent) {
                    (true, false) => Expect::SuccessOr(&[Errno::NOMEM]),
                    (true, true) => Expect::SuccessOr(&[Errno::NOMEM, Errno::OPNOTSUPP]),
                    (false, _) => Expect::Failure(&[Errno::NODEV]),
                }
            }
            Deed::Unmap { transfer } => match self.transfer(process, *transfer)?.alive {
                true => Expect::Success,
                false => Expect::Failure(&[Errno::NODEV]),
            },
            Deed::Dma {
                transfer,
                spot,
                write,
                ..
            } => self.plan_dma(process, *transfer, *spot, *write, &mut plan)?,
            Deed::Punch { memfd, page } => self.plan_punch(*memfd, *page, &mut plan)?,
            Deed::Grow { memfd } => {
                let memfd = self.base(*memfd)?;
                (memfd.pages < 4 * WATCHED).then_some(())?;
                plan.order.number = ((memfd.pages + 1) * PAGE) as i64;
                match memfd.may_grow {
                    true => Expect::Success,
                    false => Expect::Failure(&[Errno::PERM]),
                }
            }
            Deed::Shrink { memfd } => {
                self.memfds.get(usize::from(*memfd))?;
                Expect::Failure(&[Errno::PERM])
            }
            Deed::Seal { memfd, write } => {
                self.base(*memfd)?;
                match write {
                    true => Expect::Failure(&[Errno::BUSY]),
                    false => Expect::Success,
                }
            }
            Deed::Limit { .. } => {
                (self.setting.source != Source::Heap).then_some(Expect::Success)?
            }
            Deed::Unload => ours.then_some(Expect::Failure(&[Errno::AGAIN]))?,
            Deed::Rebind { device } => {
                (usize::from(*device) < self.setting.devices()).then_some(Expect::Success)?
            }
            Deed::Narrow { device, bits } => {
                let most = *self.setting.bits.get(usize::from(*device))?;
                let mut attached = self.attachments.iter().flatten();
                let here = |other: &Attachment| {
                    other.alive && other.mapped && other.device == usize::from(*device)
                };
                match attached.any(here) {
                    _ if *bits > most => Expect::Failure(&[Errno::INVAL]),
                    true => Expect::Failure(&[Errno::BUSY]),
                    // A machine without such memory; and others may have attached something.
                    false => Expect::SuccessOr(&[Errno::IO, Errno::BUSY]),
                }
            }
            // Not for a process to do.
            Deed::Kill { .. } | Deed::Count | Deed::Lie { .. } => return None,
        };
        Some(plan)
    }

    /// The process that an order names.
    pub fn other_process(&self, deed: &Deed) -> Option<usize> {
        match deed {
            Deed::Take { from, .. } => Some((*from).into()),
            Deed::Touch {
                through: Through::Debugger(mapping),
                ..
            } => Some(self.mappings[usize::from(*mapping)].as_ref()?.process),
            _ => None,
        }
    }

    fn mapping(&self, process: usize, slot: u8) -> Option<&Mapping> {
        let mapping = self.mappings.get(usize::from(slot))?.as_ref()?;
        (mapping.process == process).then_some(mapping)
    }

    fn attachment(&self, process: usize, slot: u8) -> Option<&Attachment> {
        let attachment = self.attachments.get(usize::from(slot))?.as_ref()?;
        (attachment.process == process).then_some(attachment)
    }

    fn transfer(&self, process: usize, slot: u8) -> Option<&Transfer> {
        let transfer = self.transfers.get(usize::from(slot))?.as_ref()?;
        (transfer.process == process).then_some(transfer)
    }

    /// A memfd of base pages.
    fn base(&self, memfd: u8) -> Option<&crate::world::Memfd> {
        let backing = self.setting.backings.get(usize::from(memfd))?;
        (*backing == Backing::Base).then(|| &self.memfds[usize::from(memfd)])
    }

    /// How a request for these pages ends.
    fn creates(&self, of: &[Pages]) -> Expect {
        let pages: usize = of.iter().map(|pages| usize::from(pages.count)).sum();
        if self.setting.source == Source::Heap {
            return match pages {
                0 => Expect::Failure(&[Errno::INVAL]),
                _ => Expect::Success,
            };
        }
        let inside = |pages: &Pages| {
            let memfd = self.memfds.get(usize::from(pages.memfd));
            pages.count > 0
                && memfd.is_some_and(|memfd| {
                    usize::from(pages.first) + usize::from(pages.count) <= memfd.pages
                })
        };
        let too_much =
            self.small_limits && (of.len() > SMALL_LIST || pages * PAGE > SMALL_MB << 20);
        match of.is_empty() || too_much || !of.iter().all(inside) {
            true => Expect::Failure(&[Errno::INVAL]),
            false => Expect::Success,
        }
    }

    /// The frame behind a page of what a CPU accesses.
    fn behind(&self, process: usize, through: Through, spot: Spot, write: bool) -> Option<usize> {
        let page = usize::from(spot.page);
        let (buffer, page) = match through {
            Through::Memfd(memfd) => {
                return self
                    .memfds
                    .get(usize::from(memfd))?
                    .frames
                    .get(page)
                    .copied();
            }
            Through::File(memfd) => return self.base(memfd)?.frames.get(page).copied(),
            Through::Kernel(buffer) => {
                (self.setting.devices() > 0).then_some(())?;
                (self.buffer(process, buffer)?, page)
            }
            Through::Mapping(slot) | Through::Child(slot) | Through::Debugger(slot) => {
                let mapping = self.mappings.get(usize::from(slot))?.as_ref()?;
                let here = mapping.process == process;
                let able = match through {
                    Through::Debugger(_) => !here,
                    Through::Child(_) => here && THREADS[process] == 1,
                    _ => here,
                };
                let way = mapping.way?;
                // There is no memory that can only be written.
                (able && page < mapping.pages && (!write || way.writes())).then_some(())?;
                (mapping.buffer, mapping.page + page)
            }
        };
        let watched = self.memory.watched(buffer, page)?;
        Some(self.memory.frame_of(buffer, watched))
    }

    fn plan_touch(
        &mut self,
        process: usize,
        through: Through,
        spot: Spot,
        write: bool,
        plan: &mut Plan,
    ) -> Option<Expect> {
        let frame = self.behind(process, through, spot, write)?;
        let party = Party::Cpu;
        let mut memory = self.memory.clone();
        if let Through::Kernel(buffer) = through {
            // It begins with START.
            memory.hand_over(self.buffer(process, buffer)?, HandOver::Start);
        }
        let seen = match write {
            true => memory.may_write(party, frame),
            false => memory.sees(party, frame),
        };
        let cells = seen & cells::mask(spot.first, spot.cells);
        (cells != 0).then_some(())?;
        self.memory = memory;
        if let Through::Debugger(slot) = through {
            plan.order.number = self.mappings[usize::from(slot)].as_ref()?.address;
        }
        self.aim(plan, party, frame, cells, (spot.page, write));
        Some(Expect::Success)
    }

    fn plan_dma(
        &mut self,
        process: usize,
        slot: u8,
        spot: Spot,
        write: bool,
        plan: &mut Plan,
    ) -> Option<Expect> {
        let transfer = self.transfer(process, slot)?;
        let allowed = if write {
            transfer.way.writes()
        } else {
            transfer.way.reads()
        };
        (allowed && THREADS[process] > 1).then_some(())?;
        if !transfer.alive {
            plan.order.pieces = vec![Piece {
                at: 0,
                len: 1,
                position: 0,
                version: Version::UNKNOWN,
            }];
            return Some(Expect::Failure(&[Errno::NODEV]));
        }
        let watched = self.memory.watched(transfer.buffer, spot.page.into())?;
        let frame = self.memory.frame_of(transfer.buffer, watched);
        let party = Party::Device {
            view: transfer.view,
            watched,
        };
        let seen = match write {
            true => self.memory.may_write(party, frame),
            false => self.memory.sees(party, frame),
        };
        let cells = run(seen & cells::mask(spot.first, spot.cells));
        (cells != 0).then_some(())?;
        self.aim(plan, party, frame, cells, (spot.page, write));
        Some(Expect::Success)
    }

    /// A hole in a file of base pages takes a page out, which buffers keep; one in a huge page fills
    /// a part of it with zeroes.
    fn plan_punch(&self, memfd: u8, page: u16, plan: &mut Plan) -> Option<Expect> {
        let frame = *self
            .memfds
            .get(usize::from(memfd))?
            .frames
            .get(usize::from(page))?;
        match self.setting.backings[usize::from(memfd)] {
            Backing::Base => {}
            // The kernel may split the huge page at its leisure, or not.
            Backing::Transparent => return None,
            Backing::Huge => {
                (self.memory.may_write(Party::Cpu, frame) == ALL).then_some(())?;
                plan.target = Some((Party::Cpu, frame, ALL));
            }
        }
        Some(Expect::Success)
    }

    /// Chooses the bytes.
    fn aim(
        &mut self,
        plan: &mut Plan,
        party: Party,
        frame: usize,
        cells: u8,
        (page, write): (u16, bool),
    ) {
        plan.version = write.then(|| self.memory.fresh());
        plan.target = Some((party, frame, cells));
        let at = usize::from(page) * PAGE;
        plan.order.pieces = join(self.memory.pieces(frame, cells, at, plan.version));
    }
}

/// The thread of a process that does such a deed: any, but for a device's work, which takes a while
/// and has a thread of its own.
pub fn thread_for(process: usize, deed: &Deed, any: u8) -> u8 {
    let last = THREADS[process] as u8 - 1;
    match deed {
        Deed::Dma { .. } => last,
        _ => any % last.max(1),
    }
}

/// The first cells that lie side by side: what a device moves at once.
fn run(cells: u8) -> u8 {
    let first = cells.trailing_zeros();
    let count = cells.checked_shr(first).unwrap_or(0).trailing_ones();
    cells::mask(first as u8, count.min(CELLS as u32) as u8)
}

/// Pieces that continue each other, in one.
fn join(pieces: Vec<Piece>) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match joined.last_mut() {
            Some(last)
                if last.version == piece.version && last.at + u64::from(last.len) == piece.at =>
            {
                last.len += piece.len;
            }
            _ => joined.push(piece),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_move_what_lies_side_by_side() {
        assert_eq!(run(0b1011_0110), 0b110);
        assert_eq!((run(0), run(ALL), run(0x80)), (0, ALL, 0x80));
    }
}
