// SPDX-License-Identifier: GPL-2.0

//! One device and the CPU.

use selftests::Access;
use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::importer::MEMORY;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::tests;

use crate::setup;
use crate::setup::windows;

pub const TESTS: &[Test] = tests![
    device_reads_base_pages,
    device_reads_transparent_huge_pages,
    device_reads_huge_pages,
    device_writes_base_pages,
    device_writes_transparent_huge_pages,
    device_writes_huge_pages,
    device_reads_mixed_list,
    device_reads_pages_apart,
    device_writes_mixed_list,
    device_reads_what_was_there_before_create,
    device_reads_fresh_pages_as_zero,
    unmap_hands_over,
    map_hands_over_again,
    ping_pong,
    write_through_memfd,
    write_bracket_keeps_what_device_wrote,
    read_bracket_keeps_what_cpu_wrote,
    unaligned_transfers,
    same_page_twice_for_device,
    one_way_mappings_go_one_way,
    importer_refuses_nonsense,
    device_in_one_gibibyte,
];

/// The CPU writes in a bracket; the device, mapped all the time, reads.
fn device_reads(backing: Backing, direction: Direction) -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = setup::memfd(backing, 64 * PAGE)?;
    let size = memfd.size();
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(direction)?;
    for seed in [40, 41] {
        let pattern = Pattern::new(seed);
        let bracket = buffer.begin(Access::Write)?;
        pattern.write_to(&memory, 0, size);
        bracket.end()?;
        for window in windows(size, &[size / 2]) {
            window.device_sees(&mapping, pattern)?;
        }
    }
    Ok(())
}

fn device_reads_base_pages() -> Outcome {
    device_reads(Backing::Base, Direction::ToDevice)?;
    device_reads(Backing::Base, Direction::Bidirectional)
}

fn device_reads_transparent_huge_pages() -> Outcome {
    device_reads(Backing::Transparent, Direction::ToDevice)
}

fn device_reads_huge_pages() -> Outcome {
    device_reads(Backing::Huge, Direction::ToDevice)
}

/// The device, mapped all the time, writes; the CPU reads in a bracket. What the device did not
/// write is as before.
fn device_writes(backing: Backing, direction: Direction) -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = setup::memfd(backing, 64 * PAGE)?;
    let size = memfd.size();
    let before = Pattern::new(42);
    before.write_to(&memfd.map()?, 0, size);
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::Read)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(direction)?;
    for seed in [43, 44] {
        let pattern = Pattern::new(seed);
        let windows = windows(size, &[size / 2]);
        for window in &windows {
            window.device_writes(&mapping, pattern)?;
        }
        let bracket = buffer.begin(Access::Read)?;
        let mut untouched = 0;
        for window in &windows {
            before.check_in(&memory, untouched, window.at - untouched)?;
            pattern.check_in(&memory, window.at, window.len)?;
            untouched = window.at + window.len;
        }
        bracket.end()?;
    }
    Ok(())
}

fn device_writes_base_pages() -> Outcome {
    device_writes(Backing::Base, Direction::FromDevice)?;
    device_writes(Backing::Base, Direction::Bidirectional)
}

fn device_writes_transparent_huge_pages() -> Outcome {
    device_writes(Backing::Transparent, Direction::FromDevice)
}

fn device_writes_huge_pages() -> Outcome {
    device_writes(Backing::Huge, Direction::FromDevice)
}

/// Three memfds of different kinds.
struct Mixed {
    memfds: [Memfd; 3],
}

impl Mixed {
    fn new() -> Outcome<Mixed> {
        Ok(Mixed {
            memfds: [
                setup::memfd(Backing::Huge, HUGE_PAGE)?,
                setup::memfd(Backing::Base, 16 * PAGE)?,
                setup::memfd(Backing::Transparent, HUGE_PAGE)?,
            ],
        })
    }

    /// Six, seven and three pages, with the seams between them.
    fn create(&self) -> Outcome<(selftests::DmaBuf, Vec<Window>)> {
        let [huge, base, transparent] = &self.memfds;
        let buffer = Udmabuf::open()?.create_list(&[
            huge.range(100 * PAGE, 6 * PAGE),
            base.range(2 * PAGE, 7 * PAGE),
            transparent.range(HUGE_PAGE - PAGE, PAGE),
            transparent.range(0, 2 * PAGE),
        ])?;
        Ok((
            buffer,
            windows(16 * PAGE, &[6 * PAGE, 13 * PAGE, 14 * PAGE]),
        ))
    }
}

fn device_reads_mixed_list() -> Outcome {
    let edu = setup::edu(0)?;
    let mixed = Mixed::new()?;
    let (buffer, windows) = mixed.create()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::ToDevice)?;
    let pattern = Pattern::new(45);
    let bracket = buffer.begin(Access::Write)?;
    pattern.write_to(&buffer.map(Access::ReadWrite)?, 0, 16 * PAGE);
    bracket.end()?;
    for window in windows {
        window.device_sees(&mapping, pattern)?;
    }
    Ok(())
}

/// Forward and backward: what is side by side in a list may or may not be so in memory.
fn device_reads_pages_apart() -> Outcome {
    const PAGES: usize = 12;

    let edu = setup::edu(0)?;
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let mut items: Vec<_> = (0..PAGES)
        .map(|page| memfd.range(page * PAGE, PAGE))
        .collect();
    for seed in [48, 49] {
        let buffer = Udmabuf::open()?.create_list(&items)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        let pattern = Pattern::new(seed);
        let bracket = buffer.begin(Access::Write)?;
        pattern.write_to(&buffer.map(Access::ReadWrite)?, 0, PAGES * PAGE);
        bracket.end()?;
        let whole = Window {
            at: 0,
            len: PAGES * PAGE,
        };
        whole.device_sees(&mapping, pattern)?;
        items.reverse();
    }
    Ok(())
}

fn device_writes_mixed_list() -> Outcome {
    let edu = setup::edu(0)?;
    let mixed = Mixed::new()?;
    let (buffer, windows) = mixed.create()?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::FromDevice)?;
    let pattern = Pattern::new(46);
    for window in &windows {
        window.device_writes(&mapping, pattern)?;
    }
    let memory = buffer.map(Access::Read)?;
    let bracket = buffer.begin(Access::Read)?;
    for window in &windows {
        pattern.check_in(&memory, window.at, window.len)?;
    }
    bracket.end()?;
    Ok(())
}

/// Filled through the memfd when there was no buffer yet: mapping hands it over.
fn device_reads_what_was_there_before_create() -> Outcome {
    for backing in Backing::ALL {
        let edu = setup::edu(0)?;
        let memfd = setup::memfd(backing, 16 * PAGE)?;
        let pattern = Pattern::new(47);
        pattern.write_to(&memfd.map()?, 0, memfd.size());
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        // A bracket with nobody attached must not lose what the CPU wrote.
        buffer.begin(Access::ReadWrite)?.end()?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        for window in windows(memfd.size(), &[]) {
            window.device_sees(&mapping, pattern)?;
        }
    }
    Ok(())
}

/// The device never sees what was in memory before the page was given to the memfd.
fn device_reads_fresh_pages_as_zero() -> Outcome {
    let edu = setup::edu(0)?;
    for backing in [Backing::Base, Backing::Huge] {
        let memfd = setup::memfd(backing, 4 * PAGE)?;
        let buffer = Udmabuf::open()?.create(memfd.range(0, 4 * PAGE))?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        let mut bytes = vec![0xff; 4 * PAGE];
        mapping.device_reads(0, &mut bytes)?;
        equal(
            "bytes other than zero",
            bytes.iter().filter(|byte| **byte != 0).count(),
            0,
        )?;
    }
    Ok(())
}

/// After the unmap the CPU needs no bracket, through the dma-buf or through the memfd.
fn unmap_hands_over() -> Outcome {
    let edu = setup::edu(0)?;
    for (backing, direction) in [
        (Backing::Base, Direction::FromDevice),
        (Backing::Huge, Direction::FromDevice),
        (Backing::Base, Direction::Bidirectional),
    ] {
        let memfd = setup::memfd(backing, 8 * PAGE)?;
        let before = Pattern::new(48);
        before.write_to(&memfd.map()?, 0, memfd.size());
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(direction)?;
        let pattern = Pattern::new(49);
        let window = Window {
            at: PAGE + 100,
            len: 3000,
        };
        window.device_writes(&mapping, pattern)?;
        mapping.unmap()?;
        for memory in [buffer.map(Access::Read)?, memfd.map()?] {
            before.check_in(&memory, 0, window.at)?;
            pattern.check_in(&memory, window.at, window.len)?;
            let end = window.at + window.len;
            before.check_in(&memory, end, memfd.size() - end)?;
        }
    }
    Ok(())
}

/// Each map gives the device what the CPU wrote since the last unmap, without a bracket.
fn map_hands_over_again() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(4 * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    for (round, direction) in [
        Direction::ToDevice,
        Direction::Bidirectional,
        Direction::ToDevice,
    ]
    .into_iter()
    .enumerate()
    {
        let pattern = Pattern::new(50 + round as u64);
        pattern.write_to(&memory, 0, memory.len());
        let mapping = attachment.map(direction)?;
        Window {
            at: round * PAGE,
            len: 4096,
        }
        .device_sees(&mapping, pattern)?;
        mapping.unmap()?;
    }
    Ok(())
}

/// CPU and device take turns on one mapping that lives all the time.
fn ping_pong() -> Outcome {
    let edu = setup::edu(0)?;
    for (backing, rounds) in [(Backing::Base, 3), (Backing::Huge, 1)] {
        let memfd = setup::memfd(backing, 8 * PAGE)?;
        let size = memfd.size();
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let memory = buffer.map(Access::ReadWrite)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        let window = Window {
            at: 3 * PAGE - 99,
            len: 4096,
        };
        for round in 0..rounds {
            let ours = Pattern::new(60 + 2 * round);
            let bracket = buffer.begin(Access::ReadWrite)?;
            ours.write_to(&memory, 0, size);
            bracket.end()?;
            window.device_sees(&mapping, ours)?;
            let theirs = Pattern::new(61 + 2 * round);
            window.device_writes(&mapping, theirs)?;
            let bracket = buffer.begin(Access::ReadWrite)?;
            ours.check_in(&memory, 0, window.at)?;
            theirs.check_in(&memory, window.at, window.len)?;
            bracket.end()?;
        }
    }
    Ok(())
}

/// A program that writes and reads through the memfd's mapping, with brackets on the dma-buf.
fn write_through_memfd() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(8 * PAGE)?;
    let memory = memfd.map()?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let window = Window {
        at: 2 * PAGE + 1,
        len: 4095,
    };
    let ours = Pattern::new(70);
    let bracket = buffer.begin(Access::Write)?;
    ours.write_to(&memory, 0, memory.len());
    bracket.end()?;
    window.device_sees(&mapping, ours)?;
    let theirs = Pattern::new(71);
    window.device_writes(&mapping, theirs)?;
    let bracket = buffer.begin(Access::Read)?;
    theirs.check_in(&memory, window.at, window.len)?;
    bracket.end()?;
    Ok(())
}

/// The CPU writes its half in a bracket for writing only. Handing that over must not take the
/// other half, which the device has written and nobody has read, back to an older state.
fn write_bracket_keeps_what_device_wrote() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(2 * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let (first, second) = (
        Window { at: 0, len: PAGE },
        Window {
            at: PAGE,
            len: PAGE,
        },
    );
    let theirs = Pattern::new(72);
    second.device_writes(&mapping, theirs)?;
    let ours = Pattern::new(73);
    let bracket = buffer.begin(Access::Write)?;
    ours.write_to(&memory, first.at, first.len);
    bracket.end()?;
    first.device_sees(&mapping, ours)?;
    second.device_sees(&mapping, theirs)?;
    let bracket = buffer.begin(Access::Read)?;
    ours.check_in(&memory, first.at, first.len)?;
    theirs.check_in(&memory, second.at, second.len)?;
    bracket.end()?;
    Ok(())
}

/// A bracket for reading takes in what the device wrote, and loses nothing that the CPU wrote and
/// handed over before.
fn read_bracket_keeps_what_cpu_wrote() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(2 * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let (first, second) = (
        Window { at: 0, len: PAGE },
        Window {
            at: PAGE,
            len: PAGE,
        },
    );
    let ours = Pattern::new(74);
    let bracket = buffer.begin(Access::Write)?;
    ours.write_to(&memory, first.at, first.len);
    bracket.end()?;
    let theirs = Pattern::new(75);
    second.device_writes(&mapping, theirs)?;
    for _ in 0..2 {
        let bracket = buffer.begin(Access::Read)?;
        ours.check_in(&memory, first.at, first.len)?;
        theirs.check_in(&memory, second.at, second.len)?;
        bracket.end()?;
    }
    first.device_sees(&mapping, ours)?;
    Ok(())
}

/// Single bytes, odd lengths, across pages.
fn unaligned_transfers() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(4 * PAGE)?;
    let before = Pattern::new(76);
    before.write_to(&memfd.map()?, 0, memfd.size());
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::Read)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let written = Pattern::new(77);
    let windows = [
        Window { at: 1, len: 1 },
        Window {
            at: PAGE - 1,
            len: 2,
        },
        Window {
            at: 2 * PAGE - 5,
            len: 4090,
        },
        Window {
            at: 4 * PAGE - 1,
            len: 1,
        },
    ];
    for window in windows {
        window.device_sees(&mapping, before)?;
        window.device_writes(&mapping, written)?;
    }
    let bracket = buffer.begin(Access::Read)?;
    let mut untouched = 0;
    for window in windows {
        before.check_in(&memory, untouched, window.at - untouched)?;
        written.check_in(&memory, window.at, window.len)?;
        untouched = window.at + window.len;
    }
    bracket.end()?;
    Ok(())
}

/// A page that stands in the buffer twice is in both places of what the device reads.
fn same_page_twice_for_device() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(2 * PAGE)?;
    let page = memfd.range(PAGE, PAGE);
    let buffer = Udmabuf::open()?.create_list(&[page, memfd.range(0, PAGE), page])?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::ToDevice)?;
    let pattern = Pattern::new(78);
    let bracket = buffer.begin(Access::Write)?;
    buffer
        .map(Access::ReadWrite)?
        .write(0, &pattern.bytes(0, PAGE));
    bracket.end()?;
    for at in [0, 2 * PAGE] {
        let mut bytes = vec![0; PAGE];
        mapping.device_reads(at, &mut bytes)?;
        pattern.check(0, &bytes)?;
    }
    Ok(())
}

/// The importer holds to the direction that it mapped for, or these tests would prove little.
fn one_way_mappings_go_one_way() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let attachment = edu.attach(&buffer)?;
    let mut bytes = vec![0; PAGE];
    let reader = attachment.map(Direction::ToDevice)?;
    errno(
        "write by a reader",
        reader.device_writes(0, &bytes),
        Errno::INVAL,
    )?;
    reader.device_reads(0, &mut bytes)?;
    reader.unmap()?;
    let writer = attachment.map(Direction::FromDevice)?;
    errno(
        "read by a writer",
        writer.device_reads(0, &mut bytes),
        Errno::INVAL,
    )?;
    writer.device_writes(0, &bytes)?;
    errno(
        "beyond the end",
        writer.device_writes(1, &bytes),
        Errno::INVAL,
    )?;
    writer.unmap()?;
    Ok(())
}

/// The importer refuses notes that no watcher could read, and devices that are not there.
fn importer_refuses_nonsense() -> Outcome {
    const LONGEST: usize = selftests::abi::EDU_NOTE_LONGEST as usize;
    let edu = setup::edu(0)?;
    errno("an empty note", edu.note(&[]), Errno::INVAL)?;
    // Nobody watches here, so these words mean nothing to anyone.
    let words = [0; LONGEST + 1];
    errno("a long note", edu.note(&words), Errno::INVAL)?;
    errno("no device", Edu::open(99).map(drop), Errno::NODEV)?;
    errno("no memory", edu.load(MEMORY, &[0]), Errno::INVAL)?;
    Ok(())
}

/// Places all over a large buffer: it is no matter how much the pool of bounce buffers holds.
fn device_in_one_gibibyte() -> Outcome {
    let size = machine::scaled(1 << 30, 32 << 20)?;
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(size)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let pattern = Pattern::new(79);
    let windows = windows(size, &[size / 3, size / 2]);
    let bracket = buffer.begin(Access::Write)?;
    for window in &windows {
        pattern.write_to(&memory, window.at, window.len);
    }
    bracket.end()?;
    for window in &windows {
        window.device_sees(&mapping, pattern)?;
    }
    Ok(())
}
