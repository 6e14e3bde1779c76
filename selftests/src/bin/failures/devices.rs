// SPDX-License-Identifier: GPL-2.0

//! The devices' side: attachments, mappings of each class, brackets beside them, the kernel's own
//! mapping. What went wrong once is right when it is tried again.

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::importer;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::importer::Narrow;
use selftests::ktap::Test;
use selftests::outcome::skip;
use selftests::tests;

use crate::site::SHORT;
use crate::site::Site;
use crate::site::sweep;

pub const TESTS: &[Test] = tests![
    attach,
    map_and_unmap,
    map_and_unmap_of_bounced,
    bracket_with_device,
    bracket_with_bounced,
    bracket_with_three_devices,
    two_buffers_over_the_same_pages,
];

/// Pages of the buffer, all apart.
const PAGES: usize = 8;

/// Address bits of a device that reaches none of the machine's memory.
const FEW: u32 = 20;

const DIRECTIONS: [Direction; 3] = [
    Direction::Bidirectional,
    Direction::ToDevice,
    Direction::FromDevice,
];

fn edu(number: u32) -> Outcome<Edu> {
    match Edu::open(number) {
        Err(Errno::NOENT | Errno::NODEV) => skip(format!("{} and an edu device", importer::DEVICE)),
        edu => Ok(edu?),
    }
}

/// One that gets a bounce buffer for every page, where the machine has so few low ones.
fn narrow(number: u32) -> Outcome<Narrow> {
    match Narrow::new(edu(number)?, FEW) {
        Err(Errno::IO | Errno::INVAL) => skip(format!("a device with {FEW} address bits")),
        narrow => Ok(narrow?),
    }
}

/// A buffer with a pattern in it.
fn buffer(pattern: Pattern) -> Outcome<DmaBuf> {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    pattern.write_to(&memfd.map()?, 0, PAGES * PAGE);
    Ok(Udmabuf::open()?.create(memfd.whole())?)
}

fn attach() -> Outcome {
    let edu = edu(0)?;
    let buffer = buffer(Pattern::new(1))?;
    sweep(usize::MAX, 1, |site| {
        site.within("attach", SHORT, || edu.attach(&buffer))?;
        Ok(())
    })
}

/// A device that got the buffer reads what is in it.
fn maps_and_unmaps(edu: &Edu) -> Outcome {
    let pattern = Pattern::new(2);
    let buffer = buffer(pattern)?;
    for direction in DIRECTIONS {
        sweep(usize::MAX, 1, |site| {
            let attachment = edu.attach(&buffer)?;
            let mapped = site.within("map", SHORT, || attachment.map(direction))?;
            if let Some(mapping) = mapped {
                if direction != Direction::FromDevice {
                    let mut bytes = vec![0; 100];
                    mapping.device_reads(PAGE - 50, &mut bytes)?;
                    pattern.check(PAGE - 50, &bytes)?;
                }
                site.within("unmap", SHORT, || mapping.unmap())?;
            }
            Ok(())
        })?;
    }
    let mapping = buffer.map(Access::Read)?;
    pattern.check_in(&mapping, 0, PAGES * PAGE)?;
    Ok(())
}

fn map_and_unmap() -> Outcome {
    maps_and_unmaps(&edu(0)?)
}

fn map_and_unmap_of_bounced() -> Outcome {
    let edu = narrow(0)?;
    maps_and_unmaps(&edu)
}

/// Begins and ends each kind of access; a device then reads what the CPU wrote.
fn brackets(site: &Site, buffer: &DmaBuf, seed: u64, edu: &Edu) -> Outcome {
    let mapping = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(buffer)?;
    let device = attachment.map(Direction::Bidirectional)?;
    for access in Access::ALL {
        let begun = site.within("begin", SHORT, || buffer.start(access))?;
        if begun.is_none() {
            buffer.start(access)?;
        }
        let pattern = Pattern::new(seed);
        if access != Access::Read {
            pattern.write_to(&mapping, 0, PAGES * PAGE);
        }
        let ended = site.within("end", SHORT, || buffer.finish(access))?;
        if ended.is_none() {
            buffer.finish(access)?;
        }
        if access != Access::Read {
            let mut bytes = vec![0; 100];
            device.device_reads(PAGE - 50, &mut bytes)?;
            pattern.check(PAGE - 50, &bytes)?;
        }
    }
    Ok(())
}

fn bracket_with_device() -> Outcome {
    let edu = edu(0)?;
    let buffer = buffer(Pattern::new(3))?;
    sweep(usize::MAX, 1, |site| brackets(site, &buffer, 4, &edu))
}

fn bracket_with_bounced() -> Outcome {
    let edu = narrow(0)?;
    let buffer = buffer(Pattern::new(3))?;
    sweep(usize::MAX, 1, |site| brackets(site, &buffer, 4, &edu))
}

/// One that reaches all memory, one that does not, and one more mapping of the first.
fn bracket_with_three_devices() -> Outcome {
    let (first, second) = (edu(0)?, narrow(1)?);
    let buffer = buffer(Pattern::new(3))?;
    let attachments = [second.attach(&buffer)?, first.attach(&buffer)?];
    let _mapped = [
        attachments[0].map(Direction::Bidirectional)?,
        attachments[1].map(Direction::Bidirectional)?,
    ];
    sweep(usize::MAX, 1, |site| brackets(site, &buffer, 5, &first))
}

fn two_buffers_over_the_same_pages() -> Outcome {
    let edu = edu(0)?;
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let device = Udmabuf::open()?;
    sweep(usize::MAX, 1, |site| {
        let items = [memfd.whole(), memfd.range(PAGE, 2 * PAGE)];
        let mut buffers = Vec::new();
        for item in items {
            match site.within("create", SHORT, || device.create(item))? {
                Some(buffer) => buffers.push(buffer),
                None => return Ok(()),
            }
        }
        for buffer in &buffers {
            let attached = site.within("attach", SHORT, || edu.attach(buffer))?;
            let Some(attachment) = attached else { continue };
            site.within("map", SHORT, || attachment.map(Direction::Bidirectional))?;
        }
        Ok(())
    })
}
