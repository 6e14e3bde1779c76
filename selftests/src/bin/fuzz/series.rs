// SPDX-License-Identifier: GPL-2.0

//! Calls that belong together.

use fastrand::Rng;

use selftests::abi;

use crate::call::Call;
use crate::call::Deed;
use crate::call::Spot;
use crate::call::Through;
use crate::cells::CELLS;
use crate::chance::dma;
use crate::chance::is_ours;
use crate::chance::pick;
use crate::world::PROCESSES;
use crate::world::WATCHED;
use crate::world::World;

/// A few calls by which a page goes from the CPU to a device, or back, with just one of the things
/// that make it do so.
pub fn hand_over(rng: &mut Rng, world: &World) -> Option<Vec<(usize, Deed)>> {
    let (device, deed) = dma(rng, world)?;
    let Deed::Dma {
        transfer,
        spot,
        write,
        ..
    } = deed
    else {
        return None;
    };
    let buffer = world.transfers[usize::from(transfer)].as_ref()?.buffer;
    let slots = world.buffers.iter().enumerate();
    let same = slots.filter(|(_, slot)| slot.as_ref().is_some_and(|slot| slot.buffer == buffer));
    let holders =
        same.flat_map(|(slot, _)| (0..PROCESSES).map(move |process| (process, slot as u8)));
    let holders: Vec<_> = holders
        .filter(|(process, slot)| world.buffer(*process, *slot).is_some())
        .collect();
    let end = match (write, pick(rng, &holders)) {
        (true, None) => (device, Deed::Unmap { transfer }),
        (true, Some(_)) if rng.u8(0..3) == 0 => (device, Deed::Unmap { transfer }),
        (_, Some((process, buffer))) => {
            let flags = rng.u32(1..4) | if write { 0 } else { abi::SYNC_END };
            let whole = !is_ours(world) || rng.bool();
            let end = match whole {
                true => Deed::Sync {
                    buffer,
                    flags: flags.into(),
                },
                // Just what the device moves.
                false => Deed::SyncRange {
                    buffer,
                    flags,
                    spot,
                    further: 0,
                },
            };
            (process, end)
        }
        (false, None) => return None,
    };
    let (process, through, page) = pick(rng, &ways(world, buffer, spot.page.into()))?;
    let touch = Deed::Touch {
        through,
        spot: Spot { page, ..spot },
        write: !write,
    };
    let work = Deed::Dma {
        transfer,
        spot,
        write,
        during: 0,
    };
    Some(match write {
        true => vec![(device, work), end, (process, touch)],
        false => vec![(process, touch), end, (device, work)],
    })
}

/// The ways to a page of a buffer that hand nothing over by themselves.
fn ways(world: &World, buffer: usize, page: usize) -> Vec<(usize, Through, u16)> {
    let mappings = world
        .mappings
        .iter()
        .enumerate()
        .filter_map(|(slot, mapping)| {
            let mapping = mapping
                .as_ref()
                .filter(|mapping| mapping.buffer == buffer)?;
            let page = page.checked_sub(mapping.page)?;
            Some((mapping.process, Through::Mapping(slot as u8), page as u16))
        });
    let frame = world
        .memory
        .watched(buffer, page)
        .map(|watched| world.memory.frame_of(buffer, watched));
    let memfds = world.memfds.iter().enumerate().filter_map(|(memfd, file)| {
        let page = file.frames.iter().position(|other| Some(*other) == frame)?;
        Some((0, Through::Memfd(memfd as u8), page as u16))
    });
    mappings.chain(memfds).collect()
}

/// Calls after which everything has been looked at once more.
pub fn last_looks(world: &World) -> Vec<Call> {
    let call = |process: usize, deed| Call {
        process: process as u8,
        thread: 0,
        deed,
    };
    let mut calls = vec![call(0, Deed::Limit { small: false }), call(0, Deed::Count)];
    for (slot, buffer) in world.buffers.iter().enumerate() {
        let holder = buffer.as_ref().and_then(|buffer| {
            (0..PROCESSES).find(|process| buffer.descriptors[*process].is_some())
        });
        if let Some(process) = holder {
            calls.push(call(
                process,
                Deed::Sync {
                    buffer: slot as u8,
                    flags: 1,
                },
            ));
        }
    }
    let everything = |page: usize| Spot {
        page: page as u16,
        first: 0,
        cells: CELLS as u8,
    };
    let look = |through, page| Deed::Touch {
        through,
        spot: everything(page),
        write: false,
    };
    for memfd in 0..world.memfds.len() {
        calls.extend((0..WATCHED).map(|page| call(0, look(Through::Memfd(memfd as u8), page))));
    }
    for (slot, mapping) in world.mappings.iter().enumerate() {
        if let Some(mapping) = mapping {
            let pages = world.memory.watched_pages(mapping.buffer);
            let pages = pages.filter_map(|page| page.checked_sub(mapping.page));
            let through = Through::Mapping(slot as u8);
            calls.extend(pages.map(|page| call(mapping.process, look(through, page))));
        }
    }
    calls
}
