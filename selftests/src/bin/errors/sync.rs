// SPDX-License-Identifier: GPL-2.0

//! What UDMABUF_SYNC_RANGE refuses: as DMA_BUF_IOCTL_SYNC, and ranges that are not in the buffer.
//! Nothing is done then.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::sys::ioctl;
use selftests::tests;

use crate::ours;
use crate::query::of_heap;
use crate::query::others;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    range_flags,
    range_of_no_descriptor,
    range_of_other_files,
    range_of_another_exporter,
    range_outside,
    range_at_the_edges,
    range_outside_does_nothing,
    range_of_nothing_does_nothing,
    range_of_any_bytes,
    range_ends_as_it_says,
    range_moves_no_more_than_it_has,
];

const READ: u32 = abi::SYNC_READ;
const BOTH: u32 = abi::SYNC_READ | abi::SYNC_WRITE;
const END: u32 = abi::SYNC_END;

/// Pages of the buffer.
const PAGES: usize = 4;
const SIZE: u64 = (PAGES * PAGE) as u64;

/// Each flag by itself and together with good ones, judged as the call for the whole buffer is.
fn range_flags() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, PAGES)?;
    let odd = (3..32).flat_map(|bit| [1 << bit, 1 << bit | BOTH, 1 << bit | END | READ]);
    for flags in (0..8).chain(odd).chain([u32::MAX]) {
        let range = |length| device.sync_range(&buffer, flags, 0, length);
        let whole = buffer.sync(flags.into());
        for length in [0, 1, SIZE] {
            equal(
                format_args!("flags {flags:#x}, {length} bytes"),
                range(length),
                whole,
            )?;
        }
        if flags & BOTH == 0 || flags & !(BOTH | END) != 0 {
            refused(
                format_args!("flags {flags:#x}"),
                || range(SIZE),
                Errno::INVAL,
            )?;
        }
    }
    Ok(())
}

/// A call for whatever has this number of a descriptor.
fn numbered(device: &Udmabuf, fd: i32) -> Result<(), Errno> {
    let mut range = abi::udmabuf_sync_range {
        fd,
        flags: READ,
        offset: 0,
        length: 1,
    };
    ioctl::call(device, &mut range).map(drop)
}

fn range_of_no_descriptor() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, PAGES)?;
    let number = buffer.as_fd().as_raw_fd();
    numbered(&device, number)?;
    drop(buffer);
    for fd in [number, number + 100, i32::MAX, -1, -2, i32::MIN] {
        refused(
            format_args!("descriptor {fd}"),
            || numbered(&device, fd),
            Errno::BADF,
        )?;
    }
    Ok(())
}

fn range_of_other_files() -> Outcome {
    let device = ours::device()?;
    others(|name, file| refused(name, || numbered(&device, file.as_raw_fd()), Errno::INVAL))
}

fn range_of_another_exporter() -> Outcome {
    let device = ours::device()?;
    let buffer = of_heap()?;
    refused(
        "the heap's",
        || device.sync_range(&buffer, READ, 0, 1),
        Errno::INVAL,
    )?;
    buffer.sync(READ.into())?;
    Ok(())
}

/// Ranges that end behind the buffer's end, or wrap around.
const OUTSIDE: [(u64, u64); 10] = [
    (0, SIZE + 1),
    (1, SIZE),
    (SIZE, 1),
    (SIZE + 1, 0),
    (SIZE - 1, 2),
    (1 << 40, 0),
    (1 << 63, 1 << 63),
    (u64::MAX, 1),
    (u64::MAX, u64::MAX),
    (SIZE, (SIZE - 1).wrapping_neg()),
];

fn range_outside() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, PAGES)?;
    for (offset, length) in OUTSIDE {
        for flags in [READ, BOTH, END | READ, END | BOTH] {
            refused(
                format_args!("{length} bytes from {offset} on"),
                || device.sync_range(&buffer, flags, offset, length),
                Errno::INVAL,
            )?;
        }
    }
    Ok(())
}

fn range_at_the_edges() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, PAGES)?;
    for (offset, length) in [(0, SIZE), (0, 0), (SIZE, 0), (SIZE - 1, 1), (1, SIZE - 1)] {
        for flags in [READ, BOTH, END | READ, END | BOTH] {
            device.sync_range(&buffer, flags, offset, length)?;
        }
    }
    Ok(())
}

/// What a device wrote to a copy of the pages stays there, and what the CPU wrote stays here.
fn nothing_done(what: &str, calls: impl Fn(&Udmabuf, &DmaBuf, u32) -> Outcome) -> Outcome {
    let device = ours::device()?;
    let edu = ours::narrow(0)?;
    let (memfd, buffer) = ours::pages(&device, PAGES)?;
    let memory = memfd.map()?;
    let [one, other] = [Pattern::new(1), Pattern::new(2)];
    let page = Window { at: 0, len: PAGE };
    page.fill(&memory, one);
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let before = ours::syncs()?;
    page.device_writes(&mapping, other)?;
    calls(&device, &buffer, READ)?;
    equal(format_args!("{what}: begun"), ours::syncs()?, before)?;
    page.holds(&memory, one)?;
    page.cpu_sees(&buffer, &memory, other)?;

    let before = ours::syncs()?;
    page.fill(&memory, one);
    calls(&device, &buffer, END | BOTH)?;
    equal(format_args!("{what}: ended"), ours::syncs()?, before)?;
    page.device_sees(&mapping, other)?;
    buffer.finish(Access::Write)?;
    page.device_sees(&mapping, one)
}

fn range_outside_does_nothing() -> Outcome {
    nothing_done("outside", |device, buffer, flags| {
        for (offset, length) in OUTSIDE {
            let call = || device.sync_range(buffer, flags, offset, length);
            refused("outside", call, Errno::INVAL)?;
        }
        Ok(())
    })
}

fn range_of_nothing_does_nothing() -> Outcome {
    nothing_done("of nothing", |device, buffer, flags| {
        for offset in [0, 1, SIZE / 2, SIZE] {
            device.sync_range(buffer, flags, offset, 0)?;
        }
        Ok(())
    })
}

/// Ranges whose ends are in the middle of words, lines and pages, or are not.
const PARTS: [Window; 8] = [
    Window { at: 0, len: 1 },
    Window { at: 7, len: 2 },
    Window { at: 63, len: 1 },
    Window { at: 61, len: 70 },
    Window {
        at: PAGE - 1,
        len: 2,
    },
    Window {
        at: PAGE + 8,
        len: 64,
    },
    Window {
        at: 2 * PAGE + 3,
        len: PAGE + 100,
    },
    Window {
        at: PAGES * PAGE - 1,
        len: 1,
    },
];

/// All of the bytes arrive, in either direction, whatever words they share with others.
fn range_of_any_bytes() -> Outcome {
    let device = ours::device()?;
    for edu in [ours::narrow(0)?, ours::narrow(1)?] {
        let (memfd, buffer) = ours::pages(&device, PAGES)?;
        let memory = memfd.map()?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        for (number, part) in PARTS.into_iter().enumerate() {
            let [one, other] = [1, 2].map(|more| Pattern::new(2 * number as u64 + more));
            let range = part.at..part.at + part.len;
            part.device_writes(&mapping, one)?;
            device.start_range(&buffer, Access::Read, range.clone())?;
            part.holds(&memory, one)?;
            device.finish_range(&buffer, Access::Read, range.clone())?;
            device.start_range(&buffer, Access::Write, range.clone())?;
            part.fill(&memory, other);
            device.finish_range(&buffer, Access::Write, range)?;
            part.device_sees(&mapping, other)?;
        }
    }
    Ok(())
}

/// Where CPU and device have both written, it is an end for writing by which the CPU's bytes stand.
fn range_ends_as_it_says() -> Outcome {
    let device = ours::device()?;
    let edu = ours::narrow(0)?;
    let (memfd, buffer) = ours::pages(&device, PAGES)?;
    let memory = memfd.map()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    if device.query(&buffer)?.shadow == 0 {
        return skip("memory that is out of reach for a device of few address bits");
    }
    // All bytes are zeroes when they are handed over, so that each of these is a change.
    let [ours, theirs] = [[0x55; PAGE], [0xaa; PAGE]];
    memory.write(0, &ours);
    mapping.device_writes(0, &theirs)?;
    device.finish_range(&buffer, Access::Write, 0..PAGE)?;
    let mut seen = [0; PAGE];
    mapping.device_reads(0, &mut seen)?;
    check("the CPU's bytes stand", seen == ours)
}

/// What lies around it stays where it is, but for the words of which it has a part.
fn range_moves_no_more_than_it_has() -> Outcome {
    let device = ours::device()?;
    let edu = ours::narrow(0)?;
    let (memfd, buffer) = ours::pages(&device, PAGES)?;
    let memory = memfd.map()?;
    let whole = Window {
        at: 0,
        len: PAGES * PAGE,
    };
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    if device.query(&buffer)?.shadow == 0 {
        return skip("memory that is out of reach for a device of few address bits");
    }
    for (number, part) in PARTS.into_iter().enumerate() {
        let [one, other] = [1, 2].map(|more| Pattern::new(2 * number as u64 + more));
        let range = part.at..part.at + part.len;
        // Every byte is another one afterwards.
        whole.fill(&memory, one);
        buffer.finish(Access::Write)?;
        let changed: Vec<u8> = one.bytes(0, whole.len).iter().map(|byte| !byte).collect();
        mapping.device_writes(0, &changed)?;
        device.start_range(&buffer, Access::Read, range.clone())?;
        let mut now = vec![0; whole.len];
        memory.read(0, &mut now);
        let moved = now.iter().zip(&changed).filter(|(now, new)| now == new);
        let words = range.start / 8 * 8..range.end.next_multiple_of(8);
        equal(
            format_args!("bytes for {range:?}"),
            moved.count(),
            words.len(),
        )?;
        equal("the words", &now[words.clone()], &changed[words])?;
        whole.cpu_writes(&buffer, &memory, other)?;
    }
    Ok(())
}
