// SPDX-License-Identifier: GPL-2.0

//! A thread that does as it likes, at the same time as all others: whatever must not matter to
//! anybody's data. Brackets of all kinds, mappings for devices that move nothing, mappings for the
//! CPU, other buffers over the same pages, requests that fail.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use fastrand::Rng;

use selftests::DmaBuf;
use selftests::Errno;
use selftests::Mapping;
use selftests::PAGE;
use selftests::abi;
use selftests::sys::ioctl;

use crate::broken;
use crate::call::Way;
use crate::importer::Importer;
use crate::process::Shared;
use crate::tools;
use crate::world::SMALL;
use crate::world::Source;

type Result<T> = std::result::Result<T, Errno>;

/// How a call may fail beside others that take drivers from devices, change the module's limits, and
/// let requests wait: with what is documented for that.
const KNOWN: [Errno; 7] = [
    Errno::INVAL,
    Errno::NODEV,
    Errno::NOENT,
    Errno::BUSY,
    Errno::NOMEM,
    Errno::IO,
    // A buffer of another mode.
    Errno::OPNOTSUPP,
];

/// Goes on until something is wrong.
pub fn make(shared: &Shared, seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let own = Importer::open().ok();
    loop {
        let wrong = match once(shared, own.as_ref(), &mut rng) {
            Ok(()) => continue,
            Err(error) if KNOWN.contains(&error) => continue,
            Err(error) => format!("{error:?} in the noise of seed {seed}"),
        };
        *shared
            .trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(wrong);
        return;
    }
}

fn once(shared: &Shared, own: Option<&Importer>, rng: &mut Rng) -> Result<()> {
    let count = |calls: u32| shared.noise.fetch_add(calls, Ordering::Relaxed);
    let tools = &shared.tools;
    let buffer = match rng.u8(0..8) {
        0 => {
            if let Some(device) = &tools.udmabuf {
                count(1);
                let kind = rng.u8(0..broken::COUNT as u8);
                let _ = broken::request(device, &tools.memfds[0], kind, rng.u64(..));
            }
            return Ok(());
        }
        1 => match another(shared, rng)? {
            Some(buffer) => buffer.into(),
            None => return Ok(()),
        },
        _ => match tools.any_buffer(|count| rng.usize(0..count)) {
            Some(buffer) => buffer,
            None => {
                std::thread::yield_now();
                return Ok(());
            }
        },
    };
    match rng.u8(0..8) {
        0..2 => {
            count(1);
            tools::sync(&buffer, rng.u64(0..16))
        }
        2 => {
            count(2);
            part(shared, &buffer, rng)
        }
        3 => {
            count(1);
            ioctl::export_sync_file(&*buffer).map(drop)
        }
        4 => {
            count(3);
            let pages = buffer.size()? / PAGE;
            let page = rng.usize(0..pages);
            let mapping =
                Mapping::shared(&*buffer, (page * PAGE) as u64, PAGE, Way::Both.access())?;
            mapping.touch(rng.usize(0..PAGE));
            Ok(())
        }
        _ => match own {
            Some(own) => come_and_go(shared, own, &buffer, rng, &count),
            None => Ok(()),
        },
    }
}

/// Asks what a buffer is, and brackets some bytes of it.
fn part(shared: &Shared, buffer: &DmaBuf, rng: &mut Rng) -> Result<()> {
    let Some(device) = &shared.tools.udmabuf else {
        return Ok(());
    };
    if shared.setting.source != (Source::Udmabuf { ours: true }) {
        return Ok(());
    }
    let size = device.query(buffer)?.size;
    let offset = rng.u64(0..size);
    let range = (offset, rng.u64(0..=size - offset));
    tools::sync_range(device, buffer, rng.u32(0..16), range)
}

/// A buffer of our own, over pages that others use.
fn another(shared: &Shared, rng: &mut Rng) -> Result<Option<DmaBuf>> {
    let Some(device) = &shared.tools.udmabuf else {
        return Ok(None);
    };
    shared.noise.fetch_add(1, Ordering::Relaxed);
    let items: Vec<_> = (0..rng.usize(1..4))
        .map(|_| {
            let memfd = &shared.tools.memfds[rng.usize(0..shared.tools.memfds.len())];
            let first = rng.usize(0..SMALL);
            memfd.range(first * PAGE, rng.usize(1..=SMALL - first) * PAGE)
        })
        .collect();
    device.create_list(&items).map(Some)
}

/// Attached and mapped for a moment.
fn come_and_go(
    shared: &Shared,
    own: &Importer,
    buffer: &DmaBuf,
    rng: &mut Rng,
    count: &impl Fn(u32) -> u32,
) -> Result<()> {
    count(4);
    // What only our driver has, and what only it survives.
    let ours = shared.setting.source == Source::Udmabuf { ours: true };
    let device = rng.usize(0..shared.setting.devices()) as u8;
    let way = Way::ALL[rng.usize(0..3)];
    let attachment = own.attach(buffer, device)?;
    if ours && rng.u8(0..16) == 0 {
        count(1);
        // Refused where the device does not see what the CPU sees, which is what a mapping is asked then.
        let _ = own.declare_atomics(attachment);
    }
    let mapping = match ours && rng.bool() {
        true => own.map_vecs(attachment, way),
        false => own.map(attachment, way),
    };
    if let Ok(mapping) = mapping {
        if ours && rng.bool() {
            count(2);
            for side in [abi::EDU_ACCESS_BEGIN, abi::EDU_ACCESS_END] {
                own.access(mapping, way, side)
                    .or_else(|error| match KNOWN.contains(&error) {
                        true => Ok(()),
                        false => Err(error),
                    })?;
            }
        }
        if ours && rng.u8(0..4) == 0 {
            count(1);
            // Fails if the device is gone.
            if own.forget(attachment).is_ok() {
                return own.unmap(mapping);
            }
        }
        if rng.bool() {
            tools::sync(buffer, rng.u64(1..8)).or_else(|error| match error {
                Errno::INVAL => Ok(()),
                error => Err(error),
            })?;
        }
        own.unmap(mapping)?;
    }
    // Always, so that a refused mapping leaves nothing attached.
    own.detach(attachment)?;
    mapping.map(drop)
}
