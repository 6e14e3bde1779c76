// SPDX-License-Identifier: GPL-2.0

//! What tracepoints say of a buffer is what happened to it.

use std::os::fd::AsFd;

use rustix::thread;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::tests;
use selftests::tracefs::Event;
use selftests::tracefs::Trace;

use crate::setup;

pub const TESTS: &[Test] = tests![
    traced_from_create_to_release,
    traced_brackets_with_nothing_to_do,
    traced_mappings_and_what_they_moved,
    traced_device_accesses,
    traced_refusal,
    traced_faults,
];

const SIZE: usize = 4 * PAGE;

/// Bytes that change, across two pages.
const CHANGED: usize = 2003;
const AT: usize = PAGE - 1001;

/// The events of one buffer.
struct Traced {
    trace: Trace,
    inode: u64,
}

impl Traced {
    fn listen() -> Outcome<Trace> {
        match Trace::of("udmabuf")? {
            Some(trace) => Ok(trace),
            None => skip("a kernel with CONFIG_TRACEPOINTS, and a driver that has some"),
        }
    }

    /// From now on; what was before is forgotten.
    fn of(buffer: &DmaBuf) -> Outcome<Traced> {
        let trace = Traced::listen()?;
        Ok(Traced {
            trace,
            inode: inode(buffer)?,
        })
    }

    /// Those since the last call, without faults, which come when they like.
    fn take(&self) -> Outcome<Vec<Event>> {
        let events = self.take_all()?.into_iter();
        Ok(events
            .filter(|event| event.name != "udmabuf_fault")
            .collect())
    }

    fn take_all(&self) -> Outcome<Vec<Event>> {
        let events = self.trace.take()?.into_iter();
        let inode = self.inode.to_string();
        Ok(events.filter(|event| event.text("ino") == inode).collect())
    }

    /// The only one of that name since the last call.
    #[track_caller]
    fn only(&self, name: &str) -> Outcome<Event> {
        let events = self.take()?;
        one(&events, name)
    }
}

#[track_caller]
fn one(events: &[Event], name: &str) -> Outcome<Event> {
    let those: Vec<_> = events.iter().filter(|event| event.name == name).collect();
    equal(
        format_args!("number of {name} in {events:?}"),
        those.len(),
        1,
    )?;
    Ok(those[0].clone())
}

fn inode(buffer: &DmaBuf) -> Outcome<u64> {
    Ok(rustix::fs::fstat(buffer.as_fd())?.st_ino)
}

/// Whether the event has these fields, of our own thread, and took time if it says how much.
#[track_caller]
fn says(event: &Event, fields: &[(&str, &str)]) -> Outcome {
    let ours = thread::gettid().as_raw_nonzero().get().unsigned_abs();
    equal(format_args!("thread of {}", event.name), event.thread, ours)?;
    for (name, value) in fields {
        equal(
            format_args!("{name} in {event:?}"),
            event.text(name),
            *value,
        )?;
    }
    match event.text("duration") {
        "" => Ok(()),
        _ => check(
            format_args!("some duration in {event:?}"),
            event.number("duration").is_some_and(|time| time > 0),
        ),
    }
}

/// The bytes that an event has as moved: written back, dropped, collected, published.
fn moved(event: &Event) -> [i64; 4] {
    ["cleaned", "invalidated", "collected", "published"]
        .map(|name| event.number(name).unwrap_or(-1))
}

fn traced_from_create_to_release() -> Outcome {
    let trace = Traced::listen()?;
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let device = Udmabuf::open()?;
    let buffer = device.create(memfd.whole())?;
    let traced = Traced {
        trace,
        inode: inode(&buffer)?,
    };
    let size = SIZE.to_string();
    let extents = (SIZE / PAGE).to_string();
    says(
        &traced.only("udmabuf_create")?,
        &[("size", &size), ("extents", &extents), ("mode", "DMA_API")],
    )?;
    let memory = buffer.map(Access::Read)?;
    drop(buffer);
    equal("events while it is mapped", traced.take()?.len(), 0)?;
    drop(memory);
    // A file is let go on the way back to user space.
    says(&traced.only("udmabuf_release")?, &[])
}

/// Every bracket is seen, also where there is no device.
fn traced_brackets_with_nothing_to_do() -> Outcome {
    let memfd = Memfd::new(SIZE)?;
    let device = Udmabuf::open()?;
    let buffer = device.create(memfd.whole())?;
    let traced = Traced::of(&buffer)?;
    let size = SIZE.to_string();
    for (access, name) in [
        (Access::Read, "r"),
        (Access::Write, "w"),
        (Access::ReadWrite, "rw"),
    ] {
        buffer.start(access)?;
        let begin = traced.only("udmabuf_begin")?;
        buffer.finish(access)?;
        let end = traced.only("udmabuf_end")?;
        for event in [begin, end] {
            says(
                &event,
                &[
                    ("access", name),
                    ("offset", "0"),
                    ("length", &size),
                    ("error", "0"),
                ],
            )?;
            equal(format_args!("moved by {event:?}"), moved(&event), [0; 4])?;
        }
    }
    device.start_range(&buffer, Access::Read, 5..12)?;
    let part = [("offset", "5"), ("length", "7")];
    says(&traced.only("udmabuf_begin")?, &part)?;
    device.finish_range(&buffer, Access::Read, 5..12)?;
    says(&traced.only("udmabuf_end")?, &part)
}

/// How data changes hands between CPU and device, by the driver's word.
fn class(device: &Udmabuf, buffer: &DmaBuf) -> Outcome<&'static str> {
    let query = device.query(buffer)?;
    match (query.coherent, query.cache, query.shadow) {
        (1, 0, 0) => Ok("coherent"),
        (0, 1, 0) => Ok("cache"),
        (0, 0, 1) => Ok("shadow"),
        other => fail(format_args!("one mapping: {other:?}")),
    }
}

fn traced_mappings_and_what_they_moved() -> Outcome {
    for number in [0, 1] {
        let edu = setup::edu(number)?;
        let name = edu.name()?;
        let memfd = Memfd::with_pages_apart(SIZE)?;
        let device = Udmabuf::open()?;
        let buffer = device.create(memfd.whole())?;
        let memory = buffer.map(Access::ReadWrite)?;
        let traced = Traced::of(&buffer)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        let class = class(&device, &buffer)?;
        let whole = SIZE as i64;
        let changed = CHANGED as i64;
        let of_device = [("device", name.as_str()), ("class", class)];
        let map = traced.only("udmabuf_map")?;
        says(&map, &of_device)?;
        says(&map, &[("direction", "BIDIRECTIONAL"), ("error", "0")])?;

        mapping.device_writes(AT, &[0xa5; CHANGED])?;
        buffer.start(Access::Read)?;
        let events = traced.take()?;
        let begin = one(&events, "udmabuf_begin")?;
        let expected = match class {
            "coherent" => [0; 4],
            "cache" => [0, whole, 0, 0],
            _ => [0, 0, changed, 0],
        };
        equal(
            format_args!("{class}: moved by {begin:?}"),
            moved(&begin),
            expected,
        )?;
        if class == "shadow" {
            let length = SIZE.to_string();
            let changed = CHANGED.to_string();
            let copy = [
                ("device", name.as_str()),
                ("offset", "0"),
                ("length", length.as_str()),
            ];
            let collect = one(&events, "udmabuf_collect")?;
            says(&collect, &copy)?;
            says(&collect, &[("changed", &changed)])?;
            let publish = one(&events, "udmabuf_publish")?;
            says(&publish, &copy)?;
            says(&publish, &[("changed", "0")])?;
            let parts = collect.number("duration").zip(publish.number("duration"));
            check(
                format_args!("{begin:?} takes no less than its parts: {parts:?}"),
                parts.map(|(one, two)| one + two) <= begin.number("duration"),
            )?;
        }
        buffer.finish(Access::Read)?;

        buffer.start(Access::Write)?;
        memory.write(AT, &[0x5a; CHANGED]);
        traced.take()?;
        buffer.finish(Access::Write)?;
        let end = traced.only("udmabuf_end")?;
        let expected = match class {
            "coherent" => [0; 4],
            "cache" => [whole, 0, 0, 0],
            _ => [0, 0, 0, changed],
        };
        equal(
            format_args!("{class}: moved by {end:?}"),
            moved(&end),
            expected,
        )?;

        mapping.unmap()?;
        says(&traced.only("udmabuf_unmap")?, &of_device)?;
    }
    Ok(())
}

/// A device that keeps its mapping.
fn traced_device_accesses() -> Outcome {
    let edu = setup::edu(0)?;
    let name = edu.name()?;
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let device = Udmabuf::open()?;
    let buffer = device.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let class = class(&device, &buffer)?;
    let (whole, changed) = (SIZE as i64, CHANGED as i64);
    let traced = Traced::of(&buffer)?;
    let said = [("device", name.as_str()), ("error", "0")];

    memory.write(AT, &[0x5a; CHANGED]);
    match mapping.begin_access(Direction::Bidirectional) {
        Err(Errno::OPNOTSUPP) => return skip("a driver for importers that keep a mapping"),
        begun => begun?,
    }
    let begin = traced.only("udmabuf_begin_device")?;
    says(&begin, &said)?;
    let expected = match class {
        "coherent" => [0; 4],
        "cache" => [0, whole, 0, 0],
        _ => [0, 0, 0, changed],
    };
    equal(
        format_args!("{class}: moved by {begin:?}"),
        moved(&begin),
        expected,
    )?;

    mapping.device_writes(AT, &[0xa5; CHANGED])?;
    mapping.end_access(Direction::Bidirectional)?;
    let end = traced.only("udmabuf_end_device")?;
    says(&end, &said)?;
    let expected = match class {
        "coherent" => [0; 4],
        "cache" => [0, whole, 0, 0],
        _ => [0, 0, changed, 0],
    };
    equal(
        format_args!("{class}: moved by {end:?}"),
        moved(&end),
        expected,
    )
}

/// Wherever a device is not coherent, and where one is that has no atomics.
fn traced_refusal() -> Outcome {
    let edu = setup::edu(0)?;
    let trace = Traced::listen()?;
    let memfd = Memfd::new(SIZE)?;
    let buffer = Udmabuf::open()?.create_in(Mode::AtomicCoherent, &[memfd.whole()])?;
    let traced = Traced {
        trace,
        inode: inode(&buffer)?,
    };
    let attachment = match edu.attach(&buffer) {
        Err(Errno::OPNOTSUPP) => None,
        attachment => Some(attachment?),
    };
    if let Some(attachment) = &attachment {
        let refused = attachment.map(Direction::ToDevice);
        errno("without atomics", refused, Errno::OPNOTSUPP)?;
    }
    let events = traced.take()?;
    let name = edu.name()?;
    says(
        &one(&events, "udmabuf_refuse")?,
        &[("device", &name), ("mode", "ATOMIC_COHERENT")],
    )?;
    if attachment.is_some() {
        let error = (-Errno::OPNOTSUPP.raw_os_error()).to_string();
        says(&one(&events, "udmabuf_map")?, &[("error", &error)])?;
    }
    Ok(())
}

/// Single pages come with those around them; a huge page is one entry, unless entries are taken away.
fn traced_faults() -> Outcome {
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let device = Udmabuf::open()?;
    let buffer = device.create(memfd.whole())?;
    let traced = Traced::of(&buffer)?;
    let memory = buffer.map_aligned(Access::ReadWrite)?;
    memory.touch(2 * PAGE);
    let events = traced.take_all()?;
    let pages = (SIZE / PAGE).to_string();
    says(
        &one(&events, "udmabuf_fault")?,
        &[
            ("page", "2"),
            ("first", "0"),
            ("pages", &pages),
            ("order", "0"),
        ],
    )?;
    memory.touch(0);
    equal("faults of what has an entry", traced.take_all()?.len(), 0)?;

    let memfd = setup::memfd(selftests::Backing::Huge, HUGE_PAGE)?;
    let buffer = device.create(memfd.whole())?;
    let traced = Traced {
        inode: inode(&buffer)?,
        ..traced
    };
    buffer.map_aligned(Access::ReadWrite)?.touch(5 * PAGE);
    let events = traced.take_all()?;
    let pages = (HUGE_PAGE / PAGE).to_string();
    let order = (HUGE_PAGE / PAGE).ilog2().to_string();
    says(
        &one(&events, "udmabuf_fault")?,
        &[
            ("page", "5"),
            ("first", "0"),
            ("pages", &pages),
            ("order", &order),
        ],
    )?;

    let automatic = abi::UDMABUF_FLAGS_AUTO_SYNC;
    let buffer = device.create_ext(abi::UDMABUF_MODE_DMA_API, &[memfd.whole()], automatic)?;
    let traced = Traced {
        inode: inode(&buffer)?,
        ..traced
    };
    buffer.map_aligned(Access::ReadWrite)?.touch(5 * PAGE);
    let events = traced.take_all()?;
    let fault = one(&events, "udmabuf_fault")?;
    says(&fault, &[("page", "5"), ("first", "0"), ("order", "0")])
}
