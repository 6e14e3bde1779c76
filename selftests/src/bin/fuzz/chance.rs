// SPDX-License-Identifier: GPL-2.0

//! Calls by chance, of which most make sense in the world as it is.

use std::collections::VecDeque;

use fastrand::Rng;

use selftests::Backing;
use selftests::abi;

use crate::broken;
use crate::call::ASKED;
use crate::call::Call;
use crate::call::Deed;
use crate::call::Pages;
use crate::call::Spot;
use crate::call::Through;
use crate::call::Way;
use crate::cells::CELLS;
use crate::plan;
use crate::series;
use crate::tools::ADVICES;
use crate::world::ATTACHMENTS;
use crate::world::BUFFERS;
use crate::world::MAPPINGS;
use crate::world::PROCESSES;
use crate::world::Source;
use crate::world::THREADS;
use crate::world::TRANSFERS;
use crate::world::WATCHED;
use crate::world::World;

/// Makes calls up.
#[derive(Debug)]
pub struct Chance {
    rng: Rng,
    /// What has been made up already.
    next: VecDeque<(usize, Deed)>,
}

/// One out of so many calls begins a hand-over from CPU to device, or the other way round. Chance alone
/// rarely leaves out what would have done the same.
const HAND_OVERS: u8 = 40;

/// Chooses a process and what it does, if there is anything that it could be done to.
type Choice = fn(&mut Rng, &World) -> Option<(usize, Deed)>;

/// How often each kind of call is to be made, out of the sum.
const CHOICES: [(u32, Choice); 30] = [
    (300, touch),
    (160, sync),
    (70, sync_range),
    (45, create),
    (12, create_in),
    (10, query),
    (30, take),
    (25, close),
    (30, broken_request),
    (4, |rng, world| {
        let (process, buffer) = held(rng, world)?;
        Some((
            process,
            Deed::Fence {
                buffer,
                way: way(rng),
            },
        ))
    }),
    (10, |rng, world| {
        held(rng, world).map(|(process, buffer)| (process, Deed::Export { buffer }))
    }),
    (40, mmap),
    (4, |rng, world| {
        held(rng, world).map(|(process, buffer)| (process, Deed::MmapPrivate { buffer }))
    }),
    (25, |rng, world| {
        mapped(rng, world).map(|(process, mapping)| (process, Deed::Munmap { mapping }))
    }),
    (15, |rng, world| {
        let (process, mapping) = mapped(rng, world)?;
        Some((
            process,
            Deed::Move {
                mapping,
                huge: rng.bool(),
            },
        ))
    }),
    (4, |rng, world| {
        mapped(rng, world).map(|(process, mapping)| (process, Deed::Stretch { mapping }))
    }),
    (6, |rng, world| {
        let (process, mapping) = mapped(rng, world)?;
        Some((
            process,
            Deed::Shorten {
                mapping,
                pages: rng.u16(1..4),
            },
        ))
    }),
    (20, |rng, world| {
        let (process, mapping) = mapped(rng, world)?;
        let way = (rng.u8(0..6) != 0).then(|| way(rng));
        Some((process, Deed::Protect { mapping, way }))
    }),
    (20, |rng, world| {
        let (process, mapping) = mapped(rng, world)?;
        Some((
            process,
            Deed::Advise {
                mapping,
                advice: rng.u8(0..ADVICES as u8),
            },
        ))
    }),
    (8, |rng, world| {
        let (process, mapping) = mapped(rng, world)?;
        Some((
            process,
            Deed::Lock {
                mapping,
                yes: rng.bool(),
            },
        ))
    }),
    (35, attach),
    (20, detach),
    (45, map),
    (35, unmap),
    (15, dma),
    (25, memfd),
    (6, module),
    (2, |rng, world| {
        let device = device(rng, world)?;
        Some((any(rng), Deed::Rebind { device }))
    }),
    (6, |rng, world| {
        let bits = [28, 32, 64, 64][rng.usize(0..4)];
        Some((
            any(rng),
            Deed::Narrow {
                device: device(rng, world)?,
                bits,
            },
        ))
    }),
    (3, kill),
];

impl Chance {
    pub fn new(seed: u64) -> Chance {
        Chance {
            rng: Rng::with_seed(seed),
            next: VecDeque::new(),
        }
    }

    /// The next call.
    pub fn call(&mut self, world: &World) -> Call {
        if self.next.is_empty() && self.rng.u8(0..HAND_OVERS) == 0 {
            self.next
                .extend(series::hand_over(&mut self.rng, world).unwrap_or_default());
        }
        let next = self.next.pop_front();
        let rng = &mut self.rng;
        let (process, deed) = next.unwrap_or_else(|| anything(rng, world));
        let thread = plan::thread_for(process, &deed, rng.u8(..));
        Call {
            process: process as u8,
            thread,
            deed,
        }
    }
}

fn anything(rng: &mut Rng, world: &World) -> (usize, Deed) {
    let sum = CHOICES.iter().map(|(weight, _)| weight).sum();
    loop {
        let mut left = rng.u32(0..sum);
        let choice = CHOICES.iter().find(|(weight, _)| {
            let found = left < *weight;
            left = left.saturating_sub(*weight);
            found
        });
        if let Some(chosen) = choice.and_then(|(_, choose)| choose(rng, world)) {
            return chosen;
        }
    }
}

fn any(rng: &mut Rng) -> usize {
    rng.usize(0..PROCESSES)
}

fn way(rng: &mut Rng) -> Way {
    Way::ALL[rng.usize(0..3)]
}

pub fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> Option<T> {
    (!all.is_empty()).then(|| all[rng.usize(0..all.len())])
}

/// One of the slots that have something, or have nothing.
fn slot<T>(rng: &mut Rng, slots: &[Option<T>], taken: bool) -> Option<usize> {
    let all = 0..slots.len();
    let all: Vec<usize> = all.filter(|slot| slots[*slot].is_some() == taken).collect();
    pick(rng, &all)
}

/// A buffer, and a process that has it.
fn held(rng: &mut Rng, world: &World) -> Option<(usize, u8)> {
    let slot = slot(rng, &world.buffers, true)?;
    let descriptors = &world.buffers[slot].as_ref()?.descriptors;
    let holders: Vec<usize> = (0..PROCESSES)
        .filter(|process| descriptors[*process].is_some())
        .collect();
    Some((pick(rng, &holders)?, slot as u8))
}

fn mapped(rng: &mut Rng, world: &World) -> Option<(usize, u8)> {
    let slot = slot(rng, &world.mappings, true)?;
    Some((world.mappings[slot].as_ref()?.process, slot as u8))
}

fn device(rng: &mut Rng, world: &World) -> Option<u8> {
    (world.setting.devices() > 0).then(|| rng.usize(0..world.setting.devices()) as u8)
}

fn sync(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let (process, buffer) = held(rng, world)?;
    let flags = match rng.u8(0..32) {
        0 => rng.u64(..) >> rng.u32(0..64),
        _ => u64::from(rng.u8(1..4)) | if rng.bool() { 4 } else { 0 },
    };
    Some((process, Deed::Sync { buffer, flags }))
}

fn sync_range(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    is_ours(world).then_some(())?;
    let (process, buffer) = held(rng, world)?;
    let size = world.memory.pages(world.buffer(process, buffer)?) as u16;
    let page = match rng.u8(0..32) {
        0 => rng.u16(0..size + 2),
        // What happens to pages is known for the first ones.
        _ => rng.u16(0..size.min(WATCHED as u16)),
    };
    let further = match rng.bool() {
        true => 0,
        false => rng.u16(0..=size.saturating_sub(page + 1).min(WATCHED as u16)),
    };
    let flags = match rng.u8(0..32) {
        0 => rng.u32(..) >> rng.u32(0..32),
        _ => rng.u32(1..4) | if rng.bool() { abi::SYNC_END } else { 0 },
    };
    let spot = spot(rng, page);
    Some((
        process,
        Deed::SyncRange {
            buffer,
            flags,
            spot,
            further,
        },
    ))
}

fn query(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    if rng.u8(0..8) == 0 {
        return Some((any(rng), Deed::Query { buffer: None })).filter(|_| is_ours(world));
    }
    let (process, buffer) = held(rng, world)?;
    let buffer = Some(buffer);
    Some((process, Deed::Query { buffer }))
}

/// Whether buffers can be asked, and the like.
pub fn is_ours(world: &World) -> bool {
    world.setting.source == Source::Udmabuf { ours: true }
}

fn create_in(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    is_ours(world).then_some(())?;
    let (process, deed) = create(rng, world)?;
    let Deed::Create { buffer, of } = deed else {
        return None;
    };
    let mode = rng.u8(0..ASKED);
    Some((process, Deed::CreateIn { buffer, of, mode }))
}

fn create(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let buffer = slot(rng, &world.buffers, false)? as u8;
    let pages = |rng: &mut Rng| {
        let memfd = rng.usize(0..world.memfds.len());
        let size = world.memfds[memfd].pages as u16;
        let huge = world.setting.backings[memfd] != Backing::Base;
        let (first, count) = match rng.u8(0..48) {
            0..3 => (rng.u16(0..size + 2), rng.u16(0..4)),
            // Not often: each hand-over looks at all of it.
            3 if huge => (0, size),
            _ => {
                let first = rng.u16(0..WATCHED as u16);
                (first, rng.u16(1..=WATCHED as u16 - first))
            }
        };
        Pages {
            memfd: memfd as u8,
            first,
            count,
        }
    };
    let items = [1, 1, 1, 2, 2, 3, 4][rng.usize(0..7)];
    let of = (0..items).map(|_| pages(rng)).collect();
    Some((any(rng), Deed::Create { buffer, of }))
}

fn take(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let (from, buffer) = held(rng, world)?;
    let process = any(rng);
    (process != from).then_some((
        process,
        Deed::Take {
            buffer,
            from: from as u8,
        },
    ))
}

fn close(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    // A few are kept, or the rest of the calls has nothing to work on.
    let many = world.buffers.iter().flatten().count() > BUFFERS / 2;
    (many || rng.u8(0..4) == 0).then_some(())?;
    held(rng, world).map(|(process, buffer)| (process, Deed::Close { buffer }))
}

fn broken_request(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let kind = rng.u8(0..broken::COUNT as u8);
    broken::expected(kind, world.setting.source)?;
    Some((
        any(rng),
        Deed::Broken {
            kind,
            chance: rng.u64(..),
        },
    ))
}

fn mmap(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let mapping = slot(rng, &world.mappings, false)?.min(MAPPINGS - 1) as u8;
    let (process, buffer) = held(rng, world)?;
    let size = world.memory.pages(world.buffer(process, buffer)?) as u16;
    let page = if rng.bool() { 0 } else { rng.u16(0..size + 1) };
    let rest = size.saturating_sub(page);
    let pages = match rng.u8(0..8) {
        0 => rng.u16(0..size + 2),
        1..5 => rest,
        _ => rng.u16(0..=rest),
    };
    let way = way(rng);
    Some((
        process,
        Deed::Mmap {
            mapping,
            buffer,
            page,
            pages,
            way,
            huge: rng.bool(),
        },
    ))
}

fn touch(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let memfd = rng.usize(0..world.memfds.len()) as u8;
    let page = rng.u16(0..WATCHED as u16);
    let (process, through, page) = match rng.u8(0..16) {
        0..2 => (any(rng), Through::Memfd(memfd), page),
        2 => (any(rng), Through::File(memfd), page),
        3..5 => {
            let (process, buffer) = held(rng, world)?;
            let pages: Vec<usize> = world
                .memory
                .watched_pages(world.buffer(process, buffer)?)
                .collect();
            (process, Through::Kernel(buffer), pick(rng, &pages)? as u16)
        }
        kind => {
            let (process, slot) = mapped(rng, world)?;
            let mapping = world.mappings[usize::from(slot)].as_ref()?;
            let pages: Vec<usize> = world
                .memory
                .watched_pages(mapping.buffer)
                .filter_map(|page| page.checked_sub(mapping.page))
                .filter(|page| *page < mapping.pages)
                .collect();
            let page = pick(rng, &pages)? as u16;
            match kind {
                5 => (
                    (process + rng.usize(1..PROCESSES)) % PROCESSES,
                    Through::Debugger(slot),
                    page,
                ),
                6 if THREADS[process] == 1 && rng.u8(0..4) == 0 => {
                    (process, Through::Child(slot), page)
                }
                _ => (process, Through::Mapping(slot), page),
            }
        }
    };
    Some((
        process,
        Deed::Touch {
            through,
            spot: spot(rng, page),
            write: rng.bool(),
        },
    ))
}

fn spot(rng: &mut Rng, page: u16) -> Spot {
    let first = rng.u8(0..CELLS as u8);
    match rng.bool() {
        true => Spot {
            page,
            first: 0,
            cells: CELLS as u8,
        },
        false => Spot {
            page,
            first,
            cells: rng.u8(1..=CELLS as u8 - first),
        },
    }
}

fn attach(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let attachment = slot(rng, &world.attachments, false)?.min(ATTACHMENTS - 1) as u8;
    let (process, buffer) = held(rng, world)?;
    Some((
        process,
        Deed::Attach {
            attachment,
            buffer,
            device: device(rng, world)?,
        },
    ))
}

fn detach(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let slot = slot(rng, &world.attachments, true)?;
    let process = world.attachments[slot].as_ref()?.process;
    Some((
        process,
        Deed::Detach {
            attachment: slot as u8,
        },
    ))
}

fn map(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let transfer = slot(rng, &world.transfers, false)?.min(TRANSFERS - 1) as u8;
    let slot = slot(rng, &world.attachments, true)?;
    let process = world.attachments[slot].as_ref()?.process;
    Some((
        process,
        Deed::Map {
            transfer,
            attachment: slot as u8,
            way: way(rng),
        },
    ))
}

fn unmap(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let slot = slot(rng, &world.transfers, true)?;
    let process = world.transfers[slot].as_ref()?.process;
    Some((
        process,
        Deed::Unmap {
            transfer: slot as u8,
        },
    ))
}

pub fn dma(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let able: Vec<usize> = (0..TRANSFERS)
        .filter(|slot| {
            let transfer = world.transfers[*slot].as_ref();
            transfer.is_some_and(|transfer| THREADS[transfer.process] > 1)
        })
        .collect();
    let slot = pick(rng, &able)?;
    let transfer = world.transfers[slot].as_ref()?;
    let pages: Vec<usize> = world.memory.watched_pages(transfer.buffer).collect();
    let page = pick(rng, &pages)? as u16;
    let write = match transfer.way {
        Way::Read => false,
        Way::Write => true,
        Way::Both => rng.bool(),
    };
    let (spot, during) = (spot(rng, page), rng.u16(0..400));
    Some((
        transfer.process,
        Deed::Dma {
            transfer: slot as u8,
            spot,
            write,
            during,
        },
    ))
}

fn memfd(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let memfd = rng.usize(0..world.memfds.len()) as u8;
    let deed = match rng.u8(0..16) {
        0 => Deed::Grow { memfd },
        1..3 => Deed::Shrink { memfd },
        3..5 => Deed::Seal {
            memfd,
            write: rng.u8(0..8) != 0,
        },
        _ => Deed::Punch {
            memfd,
            page: rng.u16(0..WATCHED as u16),
        },
    };
    Some((any(rng), deed))
}

fn module(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let deed = match rng.u8(0..3) {
        0 => Deed::Unload,
        1 => Deed::Count,
        // Not for long: little can be made meanwhile.
        _ => Deed::Limit {
            small: !world.small_limits && rng.bool(),
        },
    };
    Some((any(rng), deed))
}

fn kill(rng: &mut Rng, world: &World) -> Option<(usize, Deed)> {
    let process = any(rng);
    let choices: [Choice; 8] = [
        touch, sync, sync_range, create, create_in, attach, map, unmap,
    ];
    let found = choices[rng.usize(0..choices.len())](rng, world);
    let during = found
        .filter(|(other, _)| *other == process)
        .map(|(_, deed)| Box::new(deed));
    Some((process, Deed::Kill { during }))
}
