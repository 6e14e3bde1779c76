// SPDX-License-Identifier: GPL-2.0

//! A buffer that hands itself over: programs without a single bracket, and devices that say when they
//! access it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::time::Duration;
use std::time::Instant;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::importer::Narrow;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;
use selftests::tracefs::Event;
use selftests::tracefs::Trace;

use crate::checked::Checked;
use crate::checked::is_at;
use crate::order;
use crate::setup;

pub const TESTS: &[Test] = tests![
    automatic_in_turns,
    automatic_untouched_before,
    automatic_touched_meanwhile,
    automatic_two_devices,
    automatic_two_devices_then_one,
    automatic_after_a_mapping_that_fails,
    automatic_mapped_for_each_use,
    automatic_page_twice,
    automatic_in_the_worst_order,
    automatic_child,
    automatic_debugger,
    automatic_through_the_memfd,
    automatic_with_brackets,
    automatic_in_huge_pages,
    automatic_with_many_mappings,
    automatic_moves_what_was_touched,
    automatic_checked,
    automatic_is_told,
];

/// Some chunks of what one touch brings home.
const SIZE: usize = 64 * PAGE;

const BOTH: Direction = Direction::Bidirectional;

fn automatic(item: Item, flags: u32) -> Outcome<DmaBuf> {
    automatic_list(&[item], flags)
}

fn automatic_list(items: &[Item], flags: u32) -> Outcome<DmaBuf> {
    let flags = flags | abi::UDMABUF_FLAGS_AUTO_SYNC | abi::UDMABUF_FLAGS_CLOEXEC;
    match Udmabuf::open()?.create_ext(abi::UDMABUF_MODE_DMA_API, items, flags) {
        Err(Errno::NOTTY) => skip("a driver whose buffers hand themselves over"),
        buffer => Ok(buffer?),
    }
}

fn pages_apart() -> Outcome<DmaBuf> {
    automatic(Memfd::with_pages_apart(SIZE)?.whole(), 0)
}

/// Pieces in different chunks, one across two of them.
const WINDOWS: [Window; 3] = [
    Window { at: 100, len: 3000 },
    Window {
        at: 32 * PAGE - 1500,
        len: 3000,
    },
    Window {
        at: SIZE - 4000,
        len: 4000,
    },
];

/// The device reads what the CPU wrote, and writes something else; both know nothing but this.
fn device_sees_and_writes(
    mapping: &DeviceMapping<'_>,
    window: Window,
    ours: Pattern,
    theirs: Pattern,
) -> Outcome {
    mapping.begin_access(BOTH)?;
    window.device_sees(mapping, ours)?;
    window.device_writes(mapping, theirs)?;
    Ok(mapping.end_access(BOTH)?)
}

/// One page after another, over and over, while the device keeps its mapping.
fn in_turns(memory: &Mapping, mapping: &DeviceMapping<'_>, windows: &[Window]) -> Outcome {
    for round in 0..2 {
        for (number, window) in windows.iter().enumerate() {
            let seed = 100 * round + 10 * number as u64;
            let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
            window.fill(memory, ours);
            device_sees_and_writes(mapping, *window, ours, theirs)?;
            window.holds(memory, theirs)?;
        }
    }
    Ok(())
}

fn automatic_in_turns() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    // Touched before anybody is mapped.
    memory.touch_every_page();
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    in_turns(&memory, &mapping, &WINDOWS)
}

/// What was never touched, and what was touched long ago.
fn automatic_untouched_before() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    let [first, second, third] = WINDOWS;
    for seed in [1, 2] {
        let pattern = Pattern::new(seed);
        mapping.begin_access(BOTH)?;
        for window in WINDOWS {
            window.device_writes(&mapping, pattern)?;
        }
        mapping.end_access(BOTH)?;
        second.holds(&memory, pattern)?;
        // The CPU has the second alone by now.
        mapping.begin_access(Direction::ToDevice)?;
        second.device_sees(&mapping, pattern)?;
        mapping.end_access(Direction::ToDevice)?;
        third.holds(&memory, pattern)?;
        first.holds(&memory, pattern)?;
    }
    Ok(())
}

/// The CPU touches a page that the device is writing, elsewhere: it has an entry then.
fn automatic_touched_meanwhile() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    for window in WINDOWS {
        for seed in [1, 2] {
            let pattern = Pattern::new(seed);
            let mut bytes = vec![0; window.len];
            mapping.begin_access(Direction::FromDevice)?;
            memory.read(window.at, &mut bytes);
            window.device_writes(&mapping, pattern)?;
            mapping.end_access(Direction::FromDevice)?;
            window.holds(&memory, pattern)?;
        }
    }
    Ok(())
}

/// Each sees what the other and the CPU wrote.
fn automatic_two_devices() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let (first, second) = (first.map(BOTH)?, second.map(BOTH)?);
    for (round, window) in WINDOWS.into_iter().enumerate() {
        let seed = 10 * round as u64;
        let patterns = [0, 1, 2].map(|more| Pattern::new(seed + more));
        window.fill(&memory, patterns[0]);
        device_sees_and_writes(&first, window, patterns[0], patterns[1])?;
        device_sees_and_writes(&second, window, patterns[1], patterns[2])?;
        window.holds(&memory, patterns[2])?;
    }
    Ok(())
}

/// What one has written is there when it is gone.
fn automatic_two_devices_then_one() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (one.attach(&buffer)?, two.attach(&buffer)?);
    let [window, other, _] = WINDOWS;
    for seed in [1, 11] {
        let stays = first.map(BOTH)?;
        other.fill(&memory, Pattern::new(seed));
        let goes = second.map(BOTH)?;
        goes.begin_access(BOTH)?;
        other.device_sees(&goes, Pattern::new(seed))?;
        window.device_writes(&goes, Pattern::new(seed + 1))?;
        goes.end_access(BOTH)?;
        goes.unmap()?;
        window.holds(&memory, Pattern::new(seed + 1))?;
        device_sees_and_writes(
            &stays,
            window,
            Pattern::new(seed + 1),
            Pattern::new(seed + 2),
        )?;
        window.holds(&memory, Pattern::new(seed + 2))?;
        in_turns(&memory, &stays, &WINDOWS[1..2])?;
    }
    Ok(())
}

/// Another device cannot be mapped, for there is not so much memory that it reaches. What the first one
/// is to see is not forgotten for that.
fn automatic_after_a_mapping_that_fails() -> Outcome {
    let (bits, size) = setup::out_of_reach(320 << 20)?;
    let one = setup::edu(0)?;
    let buffer = automatic(Memfd::new(size)?.whole(), 0)?;
    let memory = buffer.map(Access::ReadWrite)?;
    let narrow = match Narrow::new(setup::edu(1)?, bits) {
        Err(Errno::IO) => return skip("memory that low"),
        narrow => narrow?,
    };
    let (first, second) = (one.attach(&buffer)?, narrow.attach(&buffer)?);
    let mapping = match first.map(BOTH) {
        // Bounced, which takes as much.
        Err(Errno::NOMEM) => return skip("a device that reaches the memory, or less of it"),
        mapping => mapping?,
    };
    let [window, ..] = WINDOWS;
    window.fill(&memory, Pattern::new(1));
    match second.map(BOTH) {
        Err(Errno::NOMEM) => {}
        Err(other) => return Err(other.into()),
        // Behind an IOMMU it reaches everything.
        Ok(_) => return skip("a device that cannot be mapped"),
    }
    device_sees_and_writes(&mapping, window, Pattern::new(1), Pattern::new(2))?;
    Ok(window.holds(&memory, Pattern::new(2))?)
}

/// Importers that map for each use need say nothing.
fn automatic_mapped_for_each_use() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    for seed in [1, 11] {
        for window in &WINDOWS[..2] {
            window.fill(&memory, Pattern::new(seed));
            let mapping = attachment.map(BOTH)?;
            window.device_sees(&mapping, Pattern::new(seed))?;
            window.device_writes(&mapping, Pattern::new(seed + 1))?;
            mapping.unmap()?;
            window.holds(&memory, Pattern::new(seed + 1))?;
        }
    }
    Ok(())
}

/// What is written in one place is there in the other, for the CPU and for a device that works on a copy.
fn automatic_page_twice() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let items = [
        memfd.range(0, PAGE),
        memfd.range(PAGE, SIZE - 2 * PAGE),
        memfd.range(0, PAGE),
    ];
    let buffer = automatic_list(&items, 0)?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    let last = SIZE - PAGE;
    for round in 0..2 {
        let (ours, theirs) = ([round * 2 + 1; 64], [round * 2 + 2; 64]);
        memory.write(100, &ours);
        mapping.begin_access(BOTH)?;
        let mut bytes = [0; 64];
        mapping.device_reads(last + 100, &mut bytes)?;
        equal("the device sees", bytes, ours)?;
        mapping.device_writes(last + 100, &theirs)?;
        mapping.end_access(BOTH)?;
        memory.read(100, &mut bytes);
        equal("the CPU sees", bytes, theirs)?;
    }
    Ok(())
}

/// Whether a page is there twice is found by sorting, whatever the order is. The kernel's stack has 16 KiB.
fn automatic_in_the_worst_order() -> Outcome {
    /// As many as a list may have by default.
    const ITEMS: usize = 1024;
    let edu = setup::edu(0)?;
    let memfd = Memfd::new(2 * ITEMS * PAGE)?;
    let whole = Udmabuf::open()?.create(memfd.whole())?;
    let frames = edu.frames(&whole)?;
    let mut pages: Vec<usize> = (0..frames.len()).collect();
    pages.sort_by_key(|page| frames[*page]);
    // Every other page frame, so that none follows another.
    let order = order::worst_for_quicksort(ITEMS);
    let items = order
        .iter()
        .map(|rank| memfd.range(pages[2 * rank] * PAGE, PAGE));
    let buffer = automatic_list(&items.collect::<Vec<_>>(), 0)?;
    equal("size", buffer.size()?, ITEMS * PAGE)
}

/// A child has entries of its own, which go as its parent's do.
fn automatic_child() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    for seed in [1, 11] {
        for window in &WINDOWS[..1] {
            let patterns = [0, 1, 2].map(|more| Pattern::new(seed + more));
            window.fill(&memory, patterns[0]);
            let (read, write) = rustix::pipe::pipe()?;
            let child = Child::run(|| {
                let mut byte = [0];
                let _ = rustix::io::read(&read, &mut byte);
                let sees = window.holds(&memory, patterns[1]).is_ok();
                window.fill(&memory, patterns[2]);
                i32::from(!sees)
            })?;
            device_sees_and_writes(&mapping, *window, patterns[0], patterns[1])?;
            rustix::io::write(&write, &[0])?;
            equal("the child sees", child.wait()?.exit_status(), Some(0))?;
            mapping.begin_access(Direction::ToDevice)?;
            window.device_sees(&mapping, patterns[2])?;
            mapping.end_access(Direction::ToDevice)?;
        }
    }
    Ok(())
}

/// Who looks from outside sees what the device wrote, and is seen.
fn automatic_debugger() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    for seed in [1, 11] {
        for window in &WINDOWS[..2] {
            let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
            let at = (memory.address() + window.at) as u64;
            file.write_all_at(&ours.bytes(window.at, window.len), at)?;
            device_sees_and_writes(&mapping, *window, ours, theirs)?;
            let mut bytes = vec![0; window.len];
            file.read_exact_at(&mut bytes, at)?;
            theirs.check(window.at, &bytes)?;
        }
    }
    Ok(())
}

/// The memfd has mappings of its own, of which nobody hears: mapping, unmapping and brackets are for
/// them as well.
fn automatic_through_the_memfd() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let buffer = automatic(memfd.whole(), 0)?;
    let memory = memfd.map()?;
    let attachment = edu.attach(&buffer)?;
    for window in &WINDOWS[..2] {
        window.fill(&memory, Pattern::new(1));
        let mapping = attachment.map(BOTH)?;
        device_sees_and_writes(&mapping, *window, Pattern::new(1), Pattern::new(2))?;
        window.cpu_sees(&buffer, &memory, Pattern::new(2))?;
        window.cpu_writes(&buffer, &memory, Pattern::new(3))?;
        device_sees_and_writes(&mapping, *window, Pattern::new(3), Pattern::new(4))?;
        mapping.unmap()?;
        window.holds(&memory, Pattern::new(4))?;
    }
    Ok(())
}

/// A device that keeps its mapping and says nothing.
fn automatic_with_brackets() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    for seed in [1, 11] {
        for window in &WINDOWS[..2] {
            window.cpu_writes(&buffer, &memory, Pattern::new(seed))?;
            window.device_sees(&mapping, Pattern::new(seed))?;
            window.device_writes(&mapping, Pattern::new(seed + 1))?;
            window.cpu_sees(&buffer, &memory, Pattern::new(seed + 1))?;
        }
    }
    Ok(())
}

fn automatic_in_huge_pages() -> Outcome {
    const HUGE: usize = 2 << 20;
    let edu = setup::edu(0)?;
    let memfd = setup::memfd(Backing::Huge, 2 * HUGE)?;
    let buffer = automatic(memfd.whole(), 0)?;
    let memory = buffer.map_aligned(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    let at = |at| Window { at, len: 3000 };
    in_turns(
        &memory,
        &mapping,
        &[at(5), at(HUGE - 1500), at(2 * HUGE - 3000)],
    )
}

/// What a device waits for may grow with the mappings there are, and with the pieces that were touched,
/// but not with as many times the one as there are of the other.
fn automatic_with_many_mappings() -> Outcome {
    const MAPPINGS: usize = 8000;
    const PIECES: usize = 128;
    // What a fault brings home, which may be of two such pieces of the buffer, and one between.
    const STEP: usize = 3 * 16 * PAGE;
    let edu = setup::edu(0)?;
    let memfd = Memfd::builder(PIECES * STEP).create()?;
    let buffer = automatic(memfd.whole(), 0)?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    // Of several attempts the shortest: whoever else runs takes time, and gives none.
    let time = |pieces| -> Outcome<Duration> {
        let mut shortest = Duration::MAX;
        for _ in 0..3 {
            for piece in 0..pieces {
                memory.touch(piece * STEP);
            }
            let start = Instant::now();
            mapping.begin_access(BOTH)?;
            shortest = shortest.min(start.elapsed());
            mapping.end_access(BOTH)?;
        }
        Ok(shortest)
    };
    let moved = time(PIECES)?;
    let _others = (0..MAPPINGS)
        .map(|_| buffer.map(Access::Read))
        .collect::<Result<Vec<_>, _>>()?;
    let (one, many) = (time(1)?, time(PIECES)?);
    check(
        format_args!(
            "{many:?} for {PIECES} pieces, {one:?} for one, and {moved:?} with one mapping"
        ),
        many < 8 * one + 4 * moved,
    )
}

fn moved(events: &[Event], name: &str) -> Outcome<[i64; 4]> {
    const WHAT: [&str; 4] = ["cleaned", "invalidated", "collected", "published"];
    match events.iter().find(|event| event.name == name) {
        None => fail(format_args!("{name} in {events:?}")),
        Some(event) => Ok(WHAT.map(|what| event.number(what).unwrap_or(-1))),
    }
}

/// One page of many: its neighbours go with it, and all others are let alone.
fn automatic_moves_what_was_touched() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = pages_apart()?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(BOTH)?;
    let query = Udmabuf::open()?.query(&buffer)?;
    let Some(trace) = Trace::of("udmabuf")? else {
        return skip("a kernel with CONFIG_TRACEPOINTS, and a driver that has some");
    };
    let take = || -> Outcome<Vec<Event>> {
        let inode = rustix::fs::fstat(buffer.as_fd())?.st_ino.to_string();
        let all = trace.take()?.into_iter();
        Ok(all.filter(|event| event.text("ino") == inode).collect())
    };
    mapping.begin_access(BOTH)?;
    mapping.end_access(BOTH)?;
    let events = take()?;
    equal(
        "untouched: begin",
        moved(&events, "udmabuf_begin_device")?,
        [0; 4],
    )?;
    equal(
        "untouched: end",
        moved(&events, "udmabuf_end_device")?,
        [0; 4],
    )?;
    memory.write(33 * PAGE, &[1; PAGE]);
    mapping.begin_access(BOTH)?;
    mapping.end_access(BOTH)?;
    let events = take()?;
    let (cleaned, invalidated, collected, published) = match query {
        query if query.cache > 0 => (0, 1, 0, 0),
        query if query.shadow + query.own_operations > 0 => (0, 0, 0, PAGE as i64),
        _ => (0, 0, 0, 0),
    };
    let [seen_cleaned, seen_invalidated, rest @ ..] = moved(&events, "udmabuf_begin_device")?;
    equal("cleaned", seen_cleaned, cleaned)?;
    // As many lines as a touch brings home, in one or two chunks.
    let chunks = seen_invalidated / (16 * PAGE as i64);
    equal("invalidated", (1..=2).contains(&chunks), invalidated > 0)?;
    equal("copied", rest, [collected, published])
}

/// A device that says when it accesses the buffer, one that does not, and one that comes later.
fn automatic_checked() -> Outcome {
    let (one, two) = (setup::edu(0)?, setup::edu(1)?);
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let checked = Checked::of(automatic(memfd.whole(), abi::UDMABUF_FLAGS_CHECK)?)?;
    let buffer = &checked.buffer;
    let memory = buffer.map(Access::ReadWrite)?;
    let (first, second) = (one.attach(buffer)?, two.attach(buffer)?);
    memory.touch_every_page();
    let mapping = first.map(BOTH)?;
    in_turns(&memory, &mapping, &WINDOWS[..1])?;
    // A bracket for reading forbids nothing.
    let reading = buffer.begin(Access::Read)?;
    memory.write(PAGE, &[1]);
    reading.end()?;
    mapping.unmap()?;
    checked.nothing()?;
    let mapping = first.map(BOTH)?;
    let instruction = memory.write_from(PAGE, 1);
    // It was not there when that happened.
    second.map(BOTH)?.unmap()?;
    checked.nothing()?;
    mapping.unmap()?;
    is_at(&checked.only("outside", PAGE)?, instruction)
}

fn automatic_is_told() -> Outcome {
    let buffer = pages_apart()?;
    let device = Udmabuf::open()?;
    let state = device.query(&buffer)?.state;
    let flags = abi::UDMABUF_STATE_AUTO_SYNC | abi::UDMABUF_STATE_CHECKED;
    equal("state", state & flags, abi::UDMABUF_STATE_AUTO_SYNC)?;
    let other = device.create(Memfd::new(PAGE)?.whole())?;
    equal("another's", device.query(&other)?.state & flags, 0)
}
