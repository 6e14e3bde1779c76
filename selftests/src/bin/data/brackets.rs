// SPDX-License-Identifier: GPL-2.0

//! Brackets that overlap with each other, with mapping and unmapping, or with the end of their
//! process, and several that write. Where devices work on a copy, moving more of it than what changed
//! would overwrite what the CPU or another device has written.

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
use selftests::machine;
use selftests::outcome::equal;
use selftests::pattern::Mismatch;
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
    unbracketed_writes_outlive_a_mapping,
    neighbours_in_a_word,
    one_device_imports_twice,
    brackets_that_are_not_paired,
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

/// A write bracket that will never end, since its process has died, stands in nobody's way.
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

/// Each writes a page, in whatever mixture of bounced and direct, and both are there.
fn two_devices_that_write() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    for direction in [Direction::FromDevice, Direction::Bidirectional] {
        let (buffer, memory) = two_pages()?;
        let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
        let (one_writes, two_writes) = (first.map(direction)?, second.map(direction)?);
        for seed in [117, 118] {
            let theirs = Pattern::new(seed);
            FIRST.device_writes(&one_writes, theirs)?;
            SECOND.device_writes(&two_writes, theirs)?;
            let reading = buffer.begin(Access::Read)?;
            theirs.check_in(&memory, 0, memory.len())?;
            reading.end()?;
        }
        // What the one writes last stays, whoever goes first.
        let theirs = Pattern::new(119);
        FIRST.device_writes(&one_writes, theirs)?;
        two_writes.unmap()?;
        one_writes.unmap()?;
        theirs.check_in(&memory, FIRST.at, FIRST.len)?;
        Pattern::new(118).check_in(&memory, SECOND.at, SECOND.len)?;
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

/// That the devices write through different dma-bufs does not make the pages different ones, nor is
/// the one in the other's way.
fn devices_that_write_through_two_buffers() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let memfd = Memfd::new(3 * PAGE)?;
    let memory = memfd.map()?;
    let device = Udmabuf::open()?;
    let lower = device.create(memfd.range(0, 2 * PAGE))?;
    let upper = device.create(memfd.range(PAGE, 2 * PAGE))?;
    let (first, second) = (one.attach(&lower)?, two.attach(&upper)?);
    for direction in [Direction::FromDevice, Direction::Bidirectional] {
        let (below, above) = (first.map(direction)?, second.map(direction)?);
        // The shared page is the second one of the lower buffer and the first one of the upper.
        let (half, theirs) = (PAGE / 2, Pattern::new(127));
        below.device_writes(0, &theirs.bytes(0, PAGE + half))?;
        above.device_writes(half, &theirs.bytes(PAGE + half, PAGE + half))?;
        let reading = [lower.begin(Access::Read)?, upper.begin(Access::Read)?];
        theirs.check_in(&memory, 0, memory.len())?;
        for bracket in reading {
            bracket.end()?;
        }
        let theirs = Pattern::new(128);
        below.device_writes(0, &theirs.bytes(0, PAGE + half))?;
        above.device_writes(half, &theirs.bytes(PAGE + half, PAGE + half))?;
        above.unmap()?;
        below.unmap()?;
        theirs.check_in(&memory, 0, memory.len())?;
    }
    Ok(())
}

/// A page in two places of a buffer: a device that writes it in the one has written it in both, and
/// buffers of others are none the worse for it.
fn device_that_writes_a_page_twice() -> Outcome {
    let (edu, other) = (setup::edu(0)?, setup::edu(1)?);
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create_list(&[memfd.whole(), memfd.whole()])?;
    let attachment = edu.attach(&buffer)?;
    let memory = buffer.map(Access::ReadWrite)?;
    let mapping = attachment.map(Direction::FromDevice)?;

    let (unrelated, _) = two_pages()?;
    let beside = other.attach(&unrelated)?;
    beside.map(Direction::Bidirectional)?.unmap()?;

    let mut theirs = Pattern::new(129).bytes(0, PAGE);
    let mut bytes = vec![0; PAGE];
    for (place, half) in [(FIRST, 0), (SECOND, PAGE / 2), (FIRST, PAGE / 2)] {
        let new = Pattern::new(130 + (place.at + half) as u64).bytes(half, PAGE / 2);
        theirs[half..half + PAGE / 2].copy_from_slice(&new);
        mapping.device_writes(place.at + half, &new)?;
        if place.at + half == 0 {
            mapping.device_writes(SECOND.at + PAGE / 2, &theirs[PAGE / 2..])?;
        }
        let reading = buffer.begin(Access::Read)?;
        for at in [FIRST.at, SECOND.at] {
            memory.read(at, &mut bytes);
            Mismatch::first(0, &bytes, &theirs)?;
        }
        reading.end()?;
    }
    Ok(())
}

/// The case of a virtual machine, whose CPU writes guest memory and brackets nothing: a device that
/// comes and goes, and does nothing, takes none of it.
fn unbracketed_writes_outlive_a_mapping() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(2 * PAGE)?;
    let guest = memfd.map()?;
    Pattern::new(150).write_to(&guest, 0, guest.len());
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let attachment = edu.attach(&buffer)?;
    for (seed, direction) in [
        (151, Direction::Bidirectional),
        (153, Direction::FromDevice),
        (155, Direction::ToDevice),
    ] {
        let mapping = attachment.map(direction)?;
        Pattern::new(seed).write_to(&guest, 0, guest.len());
        buffer.begin(Access::Read)?.end()?;
        Pattern::new(seed).check_in(&guest, 0, guest.len())?;
        // Every other byte is as it was: what is compared is not longer than what is written.
        let mut mixed = Pattern::new(seed).bytes(0, guest.len());
        for (at, byte) in Pattern::new(seed + 1)
            .bytes(0, guest.len())
            .iter()
            .enumerate()
        {
            if at % 2 == 1 {
                mixed[at] = *byte;
            }
        }
        guest.write(0, &mixed);
        mapping.unmap()?;
        let mut found = vec![0; guest.len()];
        guest.read(0, &mut found);
        Mismatch::first(0, &found, &mixed)?;
    }
    Ok(())
}

/// Bytes of one word, of which the device writes some and the CPU the others, without a hand-over
/// between them: both are kept. Only where devices work on a copy of the memory, or see the CPU's
/// caches, are single bytes apart; else what shares a cache line is not.
fn neighbours_in_a_word() -> Outcome {
    if !machine::devices_snoop()? {
        return Ok(());
    }
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for (seed, unmaps) in [(160, false), (162, true)] {
        let before = buffer_of(seed, &memory, &buffer)?;
        let mut expected = before;
        let word = 8;
        for offset in 0..word {
            // In word number `offset`, that byte is the device's, and the next one the CPU's.
            let at = offset * word;
            let (theirs, ours) = (at + offset, at + (offset + 1) % word);
            expected[theirs] ^= 0xff;
            expected[ours] ^= 0x0f;
            mapping.device_writes(theirs, &[expected[theirs]])?;
            memory.write(ours, &[expected[ours]]);
        }
        if unmaps {
            mapping.unmap()?;
            let mut found = vec![0; expected.len()];
            memory.read(0, &mut found);
            Mismatch::first(0, &found, &expected)?;
            break;
        }
        let accessing = buffer.begin(Access::ReadWrite)?;
        let mut found = vec![0; expected.len()];
        memory.read(0, &mut found);
        Mismatch::first(0, &found, &expected)?;
        accessing.end()?;
        mapping.device_reads(0, &mut found)?;
        Mismatch::first(0, &found, &expected)?;
    }
    Ok(())
}

/// Fills a buffer, and hands it over.
fn buffer_of(seed: u64, memory: &Mapping, buffer: &DmaBuf) -> Outcome<Vec<u8>> {
    let writing = buffer.begin(Access::Write)?;
    Pattern::new(seed).write_to(memory, 0, memory.len());
    writing.end()?;
    Ok(Pattern::new(seed).bytes(0, memory.len()))
}

/// A client and a compositor import one buffer into one device.
fn one_device_imports_twice() -> Outcome {
    let (client, compositor) = (setup::edu(0)?, setup::edu(0)?);
    let (buffer, memory) = two_pages()?;
    let attachments = (client.attach(&buffer)?, compositor.attach(&buffer)?);
    let first = attachments.0.map(Direction::Bidirectional)?;
    let second = attachments.1.map(Direction::Bidirectional)?;
    let theirs = Pattern::new(165);
    FIRST.device_writes(&first, theirs)?;
    SECOND.device_writes(&second, theirs)?;
    let reading = buffer.begin(Access::Read)?;
    theirs.check_in(&memory, 0, memory.len())?;
    reading.end()?;
    // Each goes with what it wrote last.
    let theirs = Pattern::new(166);
    FIRST.device_writes(&first, theirs)?;
    first.unmap()?;
    SECOND.device_writes(&second, theirs)?;
    second.unmap()?;
    theirs.check_in(&memory, 0, memory.len())?;
    Ok(())
}

/// What a program does that forgets to end, or begins too often: nothing goes stale by it.
fn brackets_that_are_not_paired() -> Outcome {
    let edu = setup::edu(0)?;
    let (buffer, memory) = two_pages()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let both = Access::ReadWrite;
    let kinds: [(&[Access], &[Access]); 4] = [
        (&[both, both], &[both]),
        (&[both], &[Access::Read]),
        (&[Access::Write], &[]),
        (&[], &[both]),
    ];
    for (seed, (begins, ends)) in (170..).zip(kinds.repeat(3)) {
        let theirs = Pattern::new(seed);
        FIRST.device_writes(&mapping, theirs)?;
        for access in begins {
            buffer.start(*access)?;
        }
        if !begins.is_empty() {
            theirs.check_in(&memory, FIRST.at, FIRST.len)?;
        }
        for access in ends {
            buffer.finish(*access)?;
        }
        FIRST.cpu_sees(&buffer, &memory, theirs)?;
    }
    Ok(())
}
