// SPDX-License-Identifier: GPL-2.0

//! What buffers of the coherent modes refuse to devices that need syncs, and what they need not of the
//! others.

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::kmsg::Kmsg;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::ours;
use crate::ours::Class;
use crate::ours::FEW;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    // First: the log is spared when there are many.
    refusal_names_the_device,
    coherent_mode_of_each_device,
    coherent_mode_of_a_narrow_device,
    atomic_mode_of_each_device,
    coherent_mode_of_a_device_that_becomes_narrow,
    coherent_mode_beside_the_usual_one,
    coherent_mode_without_devices,
];

const PAGES: usize = 4;

/// A buffer in a mode, of pages that lie apart.
fn buffer(device: &Udmabuf, mode: Mode) -> Outcome<(Memfd, DmaBuf)> {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let buffer = device.create_in(mode, &[memfd.whole()])?;
    Ok((memfd, buffer))
}

/// Nothing that a bracket would have to do.
fn nothing_to_sync(device: &Udmabuf, buffer: &DmaBuf, mappings: u32) -> Outcome {
    let query = device.query(buffer)?;
    equal(
        "mappings",
        [
            query.coherent,
            query.cache,
            query.shadow,
            query.own_operations,
        ],
        [mappings, 0, 0, 0],
    )?;
    equal(
        "state and bytes",
        (query.state, query.start_bytes, query.end_bytes),
        (0, 0, 0),
    )
}

/// A device that sees what the CPU sees gets the buffer, without brackets; any other one is refused when
/// it attaches.
fn at_device(edu: &Edu, number: usize) -> Outcome {
    let device = ours::device()?;
    let (memfd, buffer) = buffer(&device, Mode::CpuCoherent)?;
    let class = Class::of(edu, number, &buffer)?;
    println!("# {}: {class:?}", edu.name()?);
    if class != Class::Coherent {
        for _ in 0..2 {
            refused("attached", || edu.attach(&buffer), Errno::OPNOTSUPP)?;
            nothing_to_sync(&device, &buffer, 0)?;
        }
        // The pages are as good as before for whoever brackets.
        let other = device.create(memfd.whole())?;
        let attachment = edu.attach(&other)?;
        attachment.map(Direction::Bidirectional)?.unmap()?;
        return refused("attached", || edu.attach(&buffer), Errno::OPNOTSUPP);
    }
    let memory = memfd.map()?;
    let page = Window {
        at: PAGE,
        len: PAGE,
    };
    let before = ours::syncs()?;
    for direction in [Direction::Bidirectional, Direction::FromDevice] {
        let [ours, theirs] = [1, 2].map(Pattern::new);
        page.fill(&memory, ours);
        let attachment = edu.attach(&buffer)?;
        nothing_to_sync(&device, &buffer, 0)?;
        let mapping = attachment.map(direction)?;
        nothing_to_sync(&device, &buffer, 1)?;
        for access in Access::ALL {
            buffer.begin(access)?.end()?;
            device.start_range(&buffer, access, 0..PAGE)?;
            device.finish_range(&buffer, access, 0..PAGE)?;
        }
        if direction == Direction::Bidirectional {
            page.device_sees(&mapping, ours)?;
        }
        page.device_writes(&mapping, theirs)?;
        page.holds(&memory, theirs)?;
        if direction == Direction::Bidirectional {
            page.fill(&memory, ours);
            page.device_sees(&mapping, ours)?;
        }
    }
    equal("brackets that did anything", ours::syncs()?, before)
}

fn coherent_mode_of_each_device() -> Outcome {
    for number in [0, 1] {
        at_device(&ours::edu(number)?, number as usize)?;
    }
    Ok(())
}

fn coherent_mode_of_a_narrow_device() -> Outcome {
    at_device(&*ours::narrow(0)?, 0)
}

/// What is true of a device when it attaches need not be when it maps.
fn coherent_mode_of_a_device_that_becomes_narrow() -> Outcome {
    let device = ours::device()?;
    let edu = ours::edu(0)?;
    let (memfd, buffer) = buffer(&device, Mode::CpuCoherent)?;
    if Class::of(&edu, 0, &buffer)? != Class::Coherent {
        return skip("a device that sees what the CPU sees");
    }
    let bits = edu.dma_bits()?;
    let becomes_narrow = || {
        let attachment = edu.attach(&buffer)?;
        nothing_to_sync(&device, &buffer, 0)?;
        edu.set_dma_bits(bits.min(FEW))?;
        if Class::of(&edu, 0, &buffer)? != Class::Shadow {
            return skip("memory that is out of reach for a device of few address bits");
        }
        for direction in [Direction::ToDevice, Direction::Bidirectional] {
            refused("mapped", || attachment.map(direction), Errno::OPNOTSUPP)?;
            nothing_to_sync(&device, &buffer, 0)?;
        }
        Ok(())
    };
    let result = becomes_narrow();
    edu.set_dma_bits(bits)?;
    result?;
    edu.attach(&buffer)?.map(Direction::ToDevice)?.unmap()?;
    drop(memfd);
    Ok(())
}

/// These devices take no part in the CPU's atomic operations, and their importer has not said that
/// they do: that is known when they map.
fn atomic_mode_of_each_device() -> Outcome {
    let device = ours::device()?;
    for number in [0, 1] {
        let edu = ours::edu(number)?;
        let (_memfd, buffer) = buffer(&device, Mode::AtomicCoherent)?;
        if Class::of(&edu, number as usize, &buffer)? != Class::Coherent {
            refused("attached", || edu.attach(&buffer), Errno::OPNOTSUPP)?;
            continue;
        }
        let attachment = edu.attach(&buffer)?;
        for direction in [Direction::ToDevice, Direction::Bidirectional] {
            refused("mapped", || attachment.map(direction), Errno::OPNOTSUPP)?;
            nothing_to_sync(&device, &buffer, 0)?;
        }
    }
    Ok(())
}

/// The mode is the buffer's, not the pages'.
fn coherent_mode_beside_the_usual_one() -> Outcome {
    let device = ours::device()?;
    let edu = ours::narrow(0)?;
    let (memfd, coherent) = buffer(&device, Mode::CpuCoherent)?;
    let usual = device.create(memfd.whole())?;
    let attachment = edu.attach(&usual)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    nothing_to_sync(&device, &coherent, 0)?;
    let query = device.query(&usual)?;
    let class = Class::of(&edu, 0, &usual)?;
    equal(
        "the usual one takes syncs",
        query.state & abi::UDMABUF_STATE_SYNCS != 0,
        class != Class::Coherent,
    )
}

fn coherent_mode_without_devices() -> Outcome {
    let device = ours::device()?;
    for mode in [Mode::CpuCoherent, Mode::AtomicCoherent] {
        let (memfd, buffer) = buffer(&device, mode)?;
        let pattern = Pattern::new(3);
        let (memory, before) = (buffer.map(Access::ReadWrite)?, ours::syncs()?);
        pattern.write_to(&memory, 0, memory.len());
        pattern.check_in(&memfd.map()?, 0, memory.len())?;
        for access in Access::ALL {
            buffer.begin(access)?.end()?;
        }
        equal("brackets that did anything", ours::syncs()?, before)?;
        nothing_to_sync(&device, &buffer, 0)?;
    }
    Ok(())
}

/// Who administers the machine finds out which device it was.
fn refusal_names_the_device() -> Outcome {
    let device = ours::device()?;
    let edu = ours::edu(0)?;
    let (_memfd, buffer) = buffer(&device, Mode::AtomicCoherent)?;
    let mut kmsg = Kmsg::watch()?;
    let result = edu
        .attach(&buffer)
        .and_then(|attachment| attachment.map(Direction::ToDevice).map(drop));
    selftests::outcome::errno("refused", result, Errno::OPNOTSUPP)?;
    let name = edu.name()?;
    let lines = kmsg.records()?;
    let said = lines.iter().filter(|line| line.contains(&name)).count();
    check(
        format_args!("{said} lines name {name}, of {lines:?}"),
        said == 1,
    )
}
