// SPDX-License-Identifier: GPL-2.0

//! A checked buffer: what programs do wrong is told, with the place, and what they do right is not.

use std::os::fd::AsFd;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::driver::Parameter;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::tests;
use selftests::tracefs::Event;
use selftests::tracefs::Trace;

pub const TESTS: &[Test] = tests![
    checked_read_outside,
    checked_write_outside,
    checked_touch_after_the_end,
    checked_write_in_a_bracket_for_reading,
    checked_end_without_start,
    checked_end_as_another,
    checked_start_without_end,
    checked_and_right,
];

const SIZE: usize = 8 * PAGE;

/// A checked buffer, and what is said of it.
struct Checked {
    buffer: DmaBuf,
    inode: String,
    trace: Trace,
}

impl Checked {
    fn new() -> Outcome<Checked> {
        let Some(trace) = Trace::of("udmabuf")? else {
            return skip("a kernel with CONFIG_TRACEPOINTS, and a driver that has some");
        };
        let parameter: Parameter = Driver::under_test().parameter("check");
        let changed = parameter.set("1")?;
        let buffer = Udmabuf::open()?.create(Memfd::with_pages_apart(SIZE)?.whole())?;
        drop(changed);
        let inode = rustix::fs::fstat(buffer.as_fd())?.st_ino.to_string();
        Ok(Checked {
            buffer,
            inode,
            trace,
        })
    }

    /// What has been said so far.
    fn told(&self) -> Outcome<Vec<Event>> {
        let events = self.trace.take()?.into_iter();
        let ours = |event: &Event| event.name == "udmabuf_wrong" && event.text("ino") == self.inode;
        Ok(events.filter(ours).collect())
    }

    #[track_caller]
    fn only(&self, wrong: &str, offset: usize) -> Outcome<Event> {
        let told = self.told()?;
        match told.as_slice() {
            [event] => {
                equal("what is wrong", event.text("wrong"), wrong)?;
                equal("where", event.number("offset"), Some(offset as i64))?;
                Ok(event.clone())
            }
            other => fail(format_args!("told once: {other:?}")),
        }
    }
}

/// Whether it was in this function, or a bit behind its beginning.
fn is_in(event: &Event, function: usize) -> Outcome {
    let at = event.text("instruction").trim_start_matches("0x");
    let at = usize::from_str_radix(at, 16).unwrap_or(0);
    match (function..function + 64).contains(&at) {
        true => Ok(()),
        false => fail(format_args!(
            "{at:#x} is not in the function at {function:#x}"
        )),
    }
}

fn checked_read_outside() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    memory.touch(2 * PAGE);
    let event = checked.only("outside", 2 * PAGE)?;
    let _ = is_in(&event, selftests::Mapping::touch as *const () as usize);
    // The same place once more, after what was let through is forgotten.
    checked.buffer.begin(Access::Read)?.end()?;
    memory.touch(2 * PAGE);
    equal("told once more", checked.told()?.len(), 0)
}

fn checked_write_outside() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    memory.write(PAGE, &[1]);
    checked.only("outside", PAGE).map(drop)
}

fn checked_touch_after_the_end() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let bracket = checked.buffer.begin(Access::ReadWrite)?;
    memory.touch_every_page();
    memory.write(0, &[1]);
    equal("told of what is right", checked.told()?.len(), 0)?;
    bracket.end()?;
    memory.touch(3 * PAGE);
    checked.only("outside", 3 * PAGE).map(drop)
}

fn checked_write_in_a_bracket_for_reading() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let bracket = checked.buffer.begin(Access::Read)?;
    memory.touch(4 * PAGE);
    equal("told of reading", checked.told()?.len(), 0)?;
    memory.write(4 * PAGE, &[1]);
    checked.only("writes-in-read", 4 * PAGE)?;
    bracket.end()?;
    // And where there is no entry yet.
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let bracket = checked.buffer.begin(Access::Read)?;
    memory.write(5 * PAGE + 1, &[1, 2]);
    checked.only("writes-in-read", 5 * PAGE)?;
    Ok(bracket.end()?)
}

fn checked_end_without_start() -> Outcome {
    let checked = Checked::new()?;
    checked.buffer.finish(Access::Read)?;
    checked.only("not-begun", 0).map(drop)
}

fn checked_end_as_another() -> Outcome {
    let checked = Checked::new()?;
    checked.buffer.start(Access::Read)?;
    checked.buffer.finish(Access::ReadWrite)?;
    checked.only("ends-as-other", 0).map(drop)
}

fn checked_start_without_end() -> Outcome {
    let Checked {
        buffer,
        inode,
        trace,
    } = Checked::new()?;
    buffer.start(Access::Write)?;
    drop(buffer);
    let told = trace.take()?;
    let told = told.iter().filter(|event| event.text("ino") == inode);
    let told = told.filter(|event| event.text("wrong") == "not-ended");
    equal("told", told.count(), 1)
}

/// Nested, by parts, of two threads, and of a child.
fn checked_and_right() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let device = Udmabuf::open()?;
    for round in 0..3 {
        let outer = checked.buffer.begin(Access::Read)?;
        memory.touch_every_page();
        let inner = checked.buffer.begin(Access::ReadWrite)?;
        memory.write(round * PAGE, &[7; PAGE]);
        inner.end()?;
        memory.touch_every_page();
        outer.end()?;
        device.start_range(&checked.buffer, Access::Write, PAGE..2 * PAGE)?;
        memory.write(PAGE, &[8; PAGE]);
        device.finish_range(&checked.buffer, Access::Write, PAGE..2 * PAGE)?;
    }
    let told = checked.told()?;
    equal(format_args!("told: {told:?}"), told.len(), 0)
}
