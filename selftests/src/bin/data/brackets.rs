// SPDX-License-Identifier: GPL-2.0

//! Brackets that overlap with each other, with mapping and unmapping, or with the end of their
//! process. Where devices are bounced, a copy at the wrong time would overwrite what the CPU or
//! another device has written.

use std::thread;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::sys::fork::Child;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    read_bracket_inside_write_bracket,
    read_brackets_of_other_threads,
    device_comes_during_write_bracket,
    reader_beside_a_writer_from_before_the_device,
    device_leaves_during_write_bracket,
    process_dies_in_its_bracket,
    two_devices_that_write,
    writing_device_spares_what_cpu_wrote,
    read_bracket_passes_on_what_a_device_wrote,
    foreign_end,
    devices_that_write_through_two_buffers,
    device_that_writes_a_page_twice,
];

/// A buffer of two pages, mapped by the CPU.
fn two_pages() -> Outcome<(DmaBuf, Mapping)> {
    let buffer = Udmabuf::open()?.create(Memfd::new(2 * PAGE)?.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    Ok((buffer, memory))
}

const FIRST: Window = Window { at: 0, len: PAGE };
const SECOND: Window = Window {
    at: PAGE,
    len: PAGE,
};

fn read_bracket_inside_write_bracket() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let theirs = Pattern::new(110);
    SECOND.device_writes(&mapping, theirs)?;

    let ours = Pattern::new(111);
    let writing = buffer.begin(Access::Write)?;
    ours.write_to(&memory, FIRST.at, FIRST.len);
    buffer.begin(Access::Read)?.end()?;
    ours.check_in(&memory, FIRST.at, FIRST.len)?;
    writing.end()?;

    FIRST.device_sees(&mapping, ours)?;
    SECOND.device_sees(&mapping, theirs)
}

/// One thread writes while four others read, each in brackets of its own.
fn read_brackets_of_other_threads() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for seed in [112, 113] {
        let ours = Pattern::new(seed);
        let writing = buffer.begin(Access::Write)?;
        // Once only, so that nothing mends it if it is lost, whenever the readers run.
        ours.write_to(&memory, SECOND.at, SECOND.len);
        thread::scope(|scope| -> Outcome {
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| -> Result<(), Errno> {
                        for _ in 0..50 {
                            let reading = buffer.begin(Access::Read)?;
                            memory.touch(SECOND.at);
                            reading.end()?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for _ in 0..20 {
                ours.write_to(&memory, FIRST.at, FIRST.len);
                ours.check_in(&memory, 0, memory.len())?;
            }
            for reader in readers {
                reader.join().expect("a reader does not panic")?;
            }
            Ok(())
        })?;
        ours.check_in(&memory, 0, memory.len())?;
        writing.end()?;
        FIRST.device_sees(&mapping, ours)?;
        SECOND.device_sees(&mapping, ours)?;
    }
    Ok(())
}

/// The device sees what was written before and after it was mapped, once the bracket has ended.
fn device_comes_during_write_bracket() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let ours = Pattern::new(114);
    let writing = buffer.begin(Access::Write)?;
    ours.write_to(&memory, FIRST.at, FIRST.len);
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    ours.write_to(&memory, SECOND.at, SECOND.len);
    writing.end()?;
    FIRST.device_sees(&mapping, ours)?;
    SECOND.device_sees(&mapping, ours)
}

/// What is written in a bracket that began when there was no device is not lost when there is one.
fn reader_beside_a_writer_from_before_the_device() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let ours = Pattern::new(115);
    let writing = buffer.begin(Access::Write)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    ours.write_to(&memory, FIRST.at, FIRST.len);
    buffer.begin(Access::Read)?.end()?;
    ours.check_in(&memory, FIRST.at, FIRST.len)?;
    ours.write_to(&memory, SECOND.at, SECOND.len);
    mapping.unmap()?;
    ours.check_in(&memory, 0, memory.len())?;
    writing.end()?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    FIRST.device_sees(&mapping, ours)?;
    SECOND.device_sees(&mapping, ours)
}

/// Unmapping for a device that has written nothing takes nothing from the CPU.
fn device_leaves_during_write_bracket() -> Outcome {
    let edu = setup::edu(0)?;
    for direction in [Direction::Bidirectional, Direction::FromDevice] {
        let (buffer, memory) = two_pages()?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(direction)?;
        let ours = Pattern::new(115);
        let writing = buffer.begin(Access::Write)?;
        ours.write_to(&memory, 0, memory.len());
        mapping.unmap()?;
        ours.check_in(&memory, 0, memory.len())?;
        writing.end()?;
        ours.check_in(&memory, 0, memory.len())?;
    }
    Ok(())
}

/// A write bracket whose process has died stands in nobody's way.
fn process_dies_in_its_bracket() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let child = Child::run(|| match buffer.begin(Access::Write) {
        // Ends the process without ending the bracket.
        Ok(bracket) => {
            std::mem::forget(bracket);
            0
        }
        Err(_) => 1,
    })?;
    equal(
        "exit code of the child",
        child.wait()?.exit_status(),
        Some(0),
    )?;

    let theirs = Pattern::new(116);
    FIRST.device_writes(&mapping, theirs)?;
    let reading = buffer.begin(Access::Read)?;
    theirs.check_in(&memory, FIRST.at, FIRST.len)?;
    reading.end()?;
    SECOND.device_writes(&mapping, theirs)?;
    mapping.unmap()?;
    theirs.check_in(&memory, 0, memory.len())?;
    Ok(())
}

/// A bounce buffer is copied back whole, over what another device has written. So the second
/// writer is refused where either is bounced; elsewhere both write.
fn two_devices_that_write() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    for direction in [Direction::FromDevice, Direction::Bidirectional] {
        let (buffer, memory) = two_pages()?;
        let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
        let one_writes = first.map(direction)?;
        let theirs = Pattern::new(117);
        FIRST.device_writes(&one_writes, theirs)?;
        if setup::always_bounces()? {
            errno("second writer", second.map(direction), Errno::BUSY)?;
            one_writes.unmap()?;
            // Room for the other one.
            SECOND.device_writes(&second.map(direction)?, theirs)?;
        } else {
            let two_writes = second.map(direction)?;
            SECOND.device_writes(&two_writes, theirs)?;
        }
        let reading = buffer.begin(Access::Read)?;
        theirs.check_in(&memory, 0, memory.len())?;
        reading.end()?;
    }
    Ok(())
}

/// A device that only writes, behind a bounce buffer that was filled before the CPU wrote: what
/// comes back with the device's bytes must not be older than the CPU's.
fn writing_device_spares_what_cpu_wrote() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::FromDevice)?;
    for seed in [120, 122] {
        let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
        let writing = buffer.begin(Access::Write)?;
        ours.write_to(&memory, FIRST.at, FIRST.len);
        writing.end()?;
        SECOND.device_writes(&mapping, theirs)?;

        let reading = buffer.begin(Access::Read)?;
        ours.check_in(&memory, FIRST.at, FIRST.len)?;
        theirs.check_in(&memory, SECOND.at, SECOND.len)?;
        reading.end()?;
    }
    Ok(())
}

/// The CPU only reads, so it has nothing to hand over itself; the other device's bytes, which came
/// home with its bracket, it has.
fn read_bracket_passes_on_what_a_device_wrote() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let (buffer, memory) = two_pages()?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let writer = first.map(Direction::FromDevice)?;
    let reader = second.map(Direction::ToDevice)?;
    for seed in [124, 125] {
        let theirs = Pattern::new(seed);
        FIRST.device_writes(&writer, theirs)?;
        let reading = buffer.begin(Access::Read)?;
        theirs.check_in(&memory, FIRST.at, FIRST.len)?;
        reading.end()?;
        FIRST.device_sees(&reader, theirs)?;
    }
    Ok(())
}

/// A process that ends a bracket without having begun one ends nobody else's.
fn foreign_end() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    let writing = buffer.begin(Access::Write)?;
    let end = Access::Write.sync_flags() | u64::from(abi::SYNC_END);
    let child = Child::run(|| match buffer.sync(end) {
        Ok(()) => 0,
        // The C driver's answer, if it has not been asked to begin before.
        Err(Errno::INVAL) => 0,
        Err(_) => 1,
    })?;
    equal(
        "exit code of the child",
        child.wait()?.exit_status(),
        Some(0),
    )?;

    let ours = Pattern::new(126);
    ours.write_to(&memory, 0, memory.len());
    buffer.begin(Access::Read)?.end()?;
    ours.check_in(&memory, 0, memory.len())?;
    writing.end()?;
    Ok(())
}

/// That the devices write through different dma-bufs does not make the pages different ones.
fn devices_that_write_through_two_buffers() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let memfd = Memfd::new(3 * PAGE)?;
    let device = Udmabuf::open()?;
    let lower = device.create(memfd.range(0, 2 * PAGE))?;
    let upper = device.create(memfd.range(PAGE, 2 * PAGE))?;
    let top = device.create(memfd.range(2 * PAGE, PAGE))?;
    let (first, second, third) = (one.attach(&lower)?, two.attach(&upper)?, two.attach(&top)?);
    let writer = first.map(Direction::FromDevice)?;
    if setup::always_bounces()? {
        errno(
            "overlapping",
            second.map(Direction::FromDevice),
            Errno::BUSY,
        )?;
    } else {
        second.map(Direction::FromDevice)?.unmap()?;
    }
    // Neither readers of the same pages nor writers of others are in the way.
    second.map(Direction::ToDevice)?.unmap()?;
    third.map(Direction::FromDevice)?.unmap()?;
    writer.unmap()?;
    second.map(Direction::FromDevice)?.unmap()?;
    Ok(())
}

/// A page in two places of a buffer has two bounce buffers, of which the later one wins.
fn device_that_writes_a_page_twice() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create_list(&[memfd.whole(), memfd.whole()])?;
    let attachment = edu.attach(&buffer)?;
    if setup::always_bounces()? {
        let refused = attachment.map(Direction::FromDevice);
        return errno("page twice", refused, Errno::BUSY);
    }
    let memory = buffer.map(Access::ReadWrite)?;
    let mapping = attachment.map(Direction::FromDevice)?;
    let theirs = Pattern::new(127);
    FIRST.device_writes(&mapping, theirs)?;
    let reading = buffer.begin(Access::Read)?;
    let mut bytes = vec![0; PAGE];
    for at in [FIRST.at, SECOND.at] {
        memory.read(at, &mut bytes);
        theirs.check(0, &bytes)?;
    }
    reading.end()?;
    Ok(())
}
