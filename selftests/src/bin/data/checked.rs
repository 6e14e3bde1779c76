// SPDX-License-Identifier: GPL-2.0

//! A checked buffer: what programs do wrong is told, with the place, and what they do right is not.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::thread;

use rustix::process::Signal;
use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::brackets::FILE;
use selftests::driver::Driver;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::sys::signal;
use selftests::tests;
use selftests::tracefs::Event;
use selftests::tracefs::Trace;

use crate::fences;
use crate::setup;

pub const TESTS: &[Test] = tests![
    checked_read_outside,
    checked_write_outside,
    checked_touch_after_the_end,
    checked_write_in_a_bracket_for_reading,
    checked_touch_beside_a_part,
    checked_end_without_start,
    checked_end_as_another,
    checked_start_without_end,
    checked_start_without_end_at_exit,
    checked_child,
    checked_strictly,
    checked_by_parameter,
    checked_report_says_all,
    checked_memfd_is_not_seen,
    checked_and_right,
    checked_and_right_in_huge_pages,
    checked_and_right_for_a_debugger,
    checked_many_open,
    checked_start_interrupted,
    checked_end_of_another_process,
    checked_process_that_ended,
    checked_place_by_place,
    checked_names_a_few_devices,
    checked_program_that_began,
];

const SIZE: usize = 8 * PAGE;

/// A checked buffer, and what is said of it.
pub struct Checked {
    pub buffer: DmaBuf,
    inode: String,
    trace: Trace,
}

fn checked(item: Item, flags: u32) -> Result<DmaBuf, Errno> {
    let flags = flags | abi::UDMABUF_FLAGS_CLOEXEC;
    Udmabuf::open()?.create_ext(abi::UDMABUF_MODE_DMA_API, &[item], flags)
}

impl Checked {
    fn new() -> Outcome<Checked> {
        let memfd = Memfd::with_pages_apart(SIZE)?;
        Checked::of(checked(memfd.whole(), abi::UDMABUF_FLAGS_CHECK)?)
    }

    pub fn of(buffer: DmaBuf) -> Outcome<Checked> {
        let Some(trace) = Trace::of("udmabuf")? else {
            return skip("a kernel with CONFIG_TRACEPOINTS, and a driver that has some");
        };
        let inode = rustix::fs::fstat(buffer.as_fd())?.st_ino.to_string();
        Ok(Checked {
            buffer,
            inode,
            trace,
        })
    }

    /// What has been said since the last call.
    fn told(&self) -> Outcome<Vec<Event>> {
        told(&self.trace, &self.inode)
    }

    #[track_caller]
    pub fn only(&self, wrong: &str, offset: usize) -> Outcome<Event> {
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

    #[track_caller]
    pub fn nothing(&self) -> Outcome {
        let told = self.told()?;
        equal(format_args!("told: {told:?}"), told.len(), 0)
    }
}

fn told(trace: &Trace, inode: &str) -> Outcome<Vec<Event>> {
    let events = trace.take()?.into_iter();
    let ours = |event: &Event| event.name == "udmabuf_wrong" && event.text("ino") == inode;
    Ok(events.filter(ours).collect())
}

/// It was this instruction of this process.
#[track_caller]
pub fn is_at(event: &Event, instruction: usize) -> Outcome {
    let here = i64::from(std::process::id());
    equal("process", event.number("process"), Some(here))?;
    let expected = format!("{instruction:#x}");
    equal("instruction", event.text("instruction"), expected.as_str())
}

fn checked_read_outside() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    for round in 0..2 {
        let instruction = memory.touch_from(2 * PAGE + 5);
        if round == 0 {
            let event = checked.only("outside", 2 * PAGE)?;
            is_at(&event, instruction)?;
            equal("open", event.text("open"), "none")?;
        }
        // What was let through is seen again, and told once for each place in the program.
        checked.buffer.begin(Access::Read)?.end()?;
    }
    checked.nothing()?;
    memory.touch(2 * PAGE);
    checked.only("outside", 2 * PAGE).map(drop)
}

fn checked_write_outside() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let instruction = memory.write_from(PAGE, 1);
    is_at(&checked.only("outside", PAGE)?, instruction)?;
    equal("it was written", memory.touch(PAGE), 1)?;
    // What was let through is seen again: the page may not be written in this bracket either.
    let bracket = checked.buffer.begin(Access::Read)?;
    memory.write(PAGE, &[2]);
    checked.only("writes-in-read", PAGE)?;
    Ok(bracket.end()?)
}

fn checked_touch_after_the_end() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    for access in [Access::Read, Access::Write, Access::ReadWrite] {
        let bracket = checked.buffer.begin(access)?;
        memory.touch_every_page();
        if access != Access::Read {
            memory.write(0, &[1]);
        }
        checked.nothing()?;
        bracket.end()?;
    }
    let instruction = memory.touch_from(3 * PAGE);
    is_at(&checked.only("outside", 3 * PAGE)?, instruction)
}

fn checked_write_in_a_bracket_for_reading() -> Outcome {
    // With an entry for reading, and with none.
    for touched_before in [true, false] {
        let checked = Checked::new()?;
        let memory = checked.buffer.map(Access::ReadWrite)?;
        let bracket = checked.buffer.begin(Access::Read)?;
        if touched_before {
            memory.touch_every_page();
            checked.nothing()?;
        }
        let instruction = memory.write_from(4 * PAGE + 1, 7);
        let event = checked.only("writes-in-read", 4 * PAGE)?;
        is_at(&event, instruction)?;
        equal("open", event.text("open"), "r")?;
        bracket.end()?;
        equal("it was written", memory.touch(4 * PAGE + 1), 7)?;
    }
    Ok(())
}

/// A bracket allows the pages of which it has a part.
fn checked_touch_beside_a_part() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let device = Udmabuf::open()?;
    let part = 2 * PAGE + 1..3 * PAGE + 1;
    device.start_range(&checked.buffer, Access::Write, part.clone())?;
    memory.write(2 * PAGE, &[1; 2 * PAGE]);
    checked.nothing()?;
    memory.write_from(4 * PAGE, 1);
    checked.only("outside", 4 * PAGE)?;
    device.finish_range(&checked.buffer, Access::Write, part)?;
    memory.touch_from(2 * PAGE);
    checked.only("outside", 2 * PAGE).map(drop)
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
    let event = checked.only("ends-as-other", 0)?;
    equal("open", event.text("open"), "r")
}

fn checked_start_without_end() -> Outcome {
    let Checked {
        buffer,
        inode,
        trace,
    } = Checked::new()?;
    buffer.start(Access::Write)?;
    drop(buffer);
    let told = told(&trace, &inode)?;
    let [event] = told.as_slice() else {
        return fail(format_args!("told once: {told:?}"));
    };
    equal("what is wrong", event.text("wrong"), "not-ended")?;
    // Where it was begun.
    let place = event.text("place").trim_start_matches("0x");
    let place = usize::from_str_radix(place, 16).unwrap_or(0);
    equal("a place is said", place != 0, true)
}

/// The buffer lives on.
fn checked_start_without_end_at_exit() -> Outcome {
    let checked = Checked::new()?;
    let child = Child::run(|| {
        let memory = checked.buffer.map(Access::ReadWrite);
        let begun = checked.buffer.start(Access::Write);
        let done = memory.is_ok() && begun.is_ok();
        // Nothing is unmapped before the end.
        std::mem::forget(memory);
        i32::from(!done)
    })?;
    let pid = pid(&child);
    equal("exit code", child.wait()?.exit_status(), Some(0))?;
    let event = checked.only("not-ended", 0)?;
    equal("process", event.number("process"), pid)
}

/// A child has the entries of its parent, and loses them as that does.
fn checked_child() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let bracket = checked.buffer.begin(Access::ReadWrite)?;
    memory.write(0, &[1; SIZE]);
    let touches = || {
        memory.touch_from(5 * PAGE);
        0
    };
    equal(
        "in the bracket",
        Child::run(touches)?.wait()?.exit_status(),
        Some(0),
    )?;
    checked.nothing()?;
    // It waits until the bracket is ended.
    let (read, write) = rustix::pipe::pipe()?;
    let child = Child::run(|| {
        let mut byte = [0];
        let _ = rustix::io::read(&read, &mut byte);
        touches()
    })?;
    let pid = pid(&child);
    bracket.end()?;
    rustix::io::write(&write, &[0])?;
    equal("after it", child.wait()?.exit_status(), Some(0))?;
    let event = checked.only("outside", 5 * PAGE)?;
    equal("process", event.number("process"), pid)
}

/// What is wrong does not happen, and what is right does.
fn checked_strictly() -> Outcome {
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let checked = Checked::of(checked(memfd.whole(), abi::UDMABUF_FLAGS_CHECK_STRICT)?)?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let dies = |body: &dyn Fn()| -> Outcome {
        let child = Child::run(|| {
            body();
            0
        })?;
        let signal = child.wait()?.terminating_signal();
        equal("ends by", signal, Some(Signal::BUS.as_raw()))
    };
    dies(&|| {
        memory.touch_from(PAGE);
    })?;
    checked.only("outside", PAGE)?;
    let bracket = checked.buffer.begin(Access::Read)?;
    memory.touch_every_page();
    dies(&|| {
        memory.write_from(PAGE, 1);
    })?;
    dies(&|| memory.write(2 * PAGE, &[1]))?;
    equal("told", checked.told()?.len(), 2)?;
    bracket.end()?;
    let bracket = checked.buffer.begin(Access::ReadWrite)?;
    equal("nothing was written", memory.touch(PAGE), 0)?;
    memory.write(PAGE, &[2]);
    equal("something was", memory.touch(PAGE), 2)?;
    bracket.end()?;
    dies(&|| memory.write(3 * PAGE, &[1]))?;
    checked.only("outside", 3 * PAGE).map(drop)
}

fn checked_by_parameter() -> Outcome {
    let parameter = Driver::under_test().parameter("check");
    let device = Udmabuf::open()?;
    for (value, is_checked) in [("0", false), ("1", true), ("2", true)] {
        let changed = parameter.set(value)?;
        let buffer = device.create(Memfd::new(SIZE)?.whole())?;
        let list = device.create_list(&[Memfd::new(SIZE)?.whole()])?;
        drop(changed);
        for buffer in [buffer, list] {
            let state = device.query(&buffer)?.state & abi::UDMABUF_STATE_CHECKED;
            equal("is checked", state != 0, is_checked)?;
        }
    }
    Ok(())
}

/// Which file an instruction of ours is from, and where in it, as addr2line takes it.
fn place_of(instruction: usize) -> Outcome<String> {
    let number = |text| usize::from_str_radix(text, 16).ok();
    let mut begun = None;
    for line in fs::read_to_string("/proc/self/maps")?.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [range, _, offset, _, _, path] = fields[..] else {
            continue;
        };
        let (start, end) = range.split_once('-').unwrap_or_default();
        let (Some(start), Some(end)) = (number(start), number(end)) else {
            continue;
        };
        if number(offset) == Some(0) {
            begun = Some(start);
        }
        if let Some(begun) = begun
            && (start..end).contains(&instruction)
        {
            return Ok(format!("{path}+{:#x}", instruction - begun));
        }
    }
    fail("no mapping has the instruction")
}

/// In the trace, in the log and in debugfs.
fn checked_report_says_all() -> Outcome {
    let edu = setup::edu(0)?;
    let checked = Checked::new()?;
    let attachment = edu.attach(&checked.buffer)?;
    let mapping = attachment.map(Direction::ToDevice)?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let instruction = thread::scope(|scope| {
        let thread = scope.spawn(|| memory.write_from(6 * PAGE, 1));
        thread.join().map_err(|_| Errno::CHILD)
    })?;
    let event = checked.only("outside", 6 * PAGE)?;
    is_at(&event, instruction)?;
    equal("mapped", event.number("mapped"), Some(1))?;
    equal("memfd", event.number("memfd"), Some(0))?;
    let line = last_line()?;
    for part in [
        format!("udmabuf {}: ", checked.inode),
        "] writes it outside of any bracket ".to_owned(),
        format!("[{}/", std::process::id()),
        format!(
            "at byte {}, instruction {instruction:#x} ({})",
            6 * PAGE,
            place_of(instruction)?
        ),
        format!("open: nothing; mapped: 1 ({})", edu.name()?),
    ] {
        equal(
            format_args!("{part:?} in {line:?}"),
            line.contains(&part),
            true,
        )?;
    }
    mapping.unmap()?;
    memory.touch_from(PAGE);
    let event = checked.only("outside", PAGE)?;
    equal("mapped", event.number("mapped"), Some(0))
}

/// An access that cannot be seen; that it is possible is said.
fn checked_memfd_is_not_seen() -> Outcome {
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let checked = Checked::of(checked(memfd.whole(), abi::UDMABUF_FLAGS_CHECK)?)?;
    let beside = memfd.map()?;
    beside.write(PAGE, &[1]);
    checked.nothing()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    memory.touch_from(PAGE);
    let event = checked.only("outside", PAGE)?;
    equal("memfd", event.number("memfd"), Some(1))
}

/// Nested, by parts, of two threads, moved, in a mapping that may not be written for a while.
fn checked_and_right() -> Outcome {
    let checked = Checked::new()?;
    let mut memory = checked.buffer.map(Access::ReadWrite)?;
    let device = Udmabuf::open()?;
    for round in 0..3 {
        let byte = round as u8 + 1;
        let outer = checked.buffer.begin(Access::Read)?;
        memory.touch_every_page();
        let inner = checked.buffer.begin(Access::ReadWrite)?;
        memory.write(round * PAGE, &[byte; PAGE]);
        inner.end()?;
        memory.touch_every_page();
        equal("written", memory.touch(round * PAGE), byte)?;
        outer.end()?;
        let part = PAGE..2 * PAGE;
        device.start_range(&checked.buffer, Access::Write, part.clone())?;
        memory.write(PAGE, &[8; PAGE]);
        device.finish_range(&checked.buffer, Access::Write, part)?;
        let bracket = checked.buffer.begin(Access::ReadWrite)?;
        memory.touch_every_page();
        memory.relocate(PAGE)?;
        equal("written by a part", memory.touch(PAGE), 8)?;
        memory.write(round * PAGE, &[byte; PAGE]);
        memory.protect(0, SIZE, Some(Access::Read))?;
        memory.touch_every_page();
        memory.protect(0, SIZE, Some(Access::ReadWrite))?;
        memory.write(0, &[byte; SIZE]);
        thread::scope(|scope| scope.spawn(|| memory.write(PAGE, &[9])).join())
            .map_err(|_| Errno::CHILD)?;
        bracket.end()?;
    }
    checked.nothing()
}

fn checked_and_right_in_huge_pages() -> Outcome {
    const HUGE: usize = 2 << 20;
    let memfd = setup::memfd(Backing::Huge, HUGE)?;
    let checked = Checked::of(checked(memfd.whole(), abi::UDMABUF_FLAGS_CHECK)?)?;
    let memory = checked.buffer.map_aligned(Access::ReadWrite)?;
    let bracket = checked.buffer.begin(Access::ReadWrite)?;
    memory.write(0, &vec![3; HUGE]);
    bracket.end()?;
    checked.nothing()?;
    memory.touch_from(HUGE - PAGE);
    checked.only("outside", HUGE - PAGE).map(drop)
}

/// Who looks from outside is not the program.
fn checked_and_right_for_a_debugger() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open("/proc/self/mem")?;
    let at = (memory.address() + PAGE) as u64;
    file.write_all_at(&[5], at)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    equal("what was written", byte, [5])?;
    checked.nothing()
}

/// Who opens more than are remembered is told so, and let alone afterwards.
fn checked_many_open() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    for _ in 0..300 {
        checked.buffer.start(Access::Read)?;
    }
    checked.only("too-many", 0)?;
    memory.write(0, &[1; SIZE]);
    for _ in 0..300 {
        checked.buffer.finish(Access::Read)?;
    }
    checked.nothing()
}

/// An END takes nothing from who has begun, whoever it is by: nobody can make another one be wrong.
fn checked_end_of_another_process() -> Outcome {
    let memfd = Memfd::with_pages_apart(SIZE)?;
    let checked = Checked::of(checked(memfd.whole(), abi::UDMABUF_FLAGS_CHECK_STRICT)?)?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    for access in [Access::Read, Access::ReadWrite] {
        let bracket = checked.buffer.begin(access)?;
        memory.touch(0);
        let child = Child::run(|| i32::from(checked.buffer.finish(access).is_err()))?;
        let pid = pid(&child);
        equal("exit code", child.wait()?.exit_status(), Some(0))?;
        let event = checked.only("not-begun", 0)?;
        equal("process", event.number("process"), pid)?;
        memory.touch_every_page();
        bracket.end()?;
        checked.nothing()?;
    }
    Ok(())
}

/// What a process has left open allows nothing to others.
fn checked_process_that_ended() -> Outcome {
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    let child = Child::run(|| {
        let begun = checked.buffer.start(Access::ReadWrite);
        memory.touch(PAGE);
        i32::from(begun.is_err())
    })?;
    equal("exit code", child.wait()?.exit_status(), Some(0))?;
    checked.only("not-ended", 0)?;
    let instruction = memory.write_from(2 * PAGE, 1);
    is_at(&checked.only("outside", 2 * PAGE)?, instruction)
}

/// Many processes do something wrong, and one does again and again: nothing is told twice, and no more
/// than there is room for.
fn checked_place_by_place() -> Outcome {
    const PLACES: usize = 64;
    let checked = Checked::new()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    for _ in 0..PLACES + 3 {
        let touches = || {
            memory.touch(0);
            0
        };
        equal(
            "exit code",
            Child::run(touches)?.wait()?.exit_status(),
            Some(0),
        )?;
        checked.buffer.begin(Access::Read)?.end()?;
    }
    for _ in 0..3 {
        memory.touch_from(PAGE);
        checked.buffer.begin(Access::Read)?.end()?;
    }
    equal("told", checked.told()?.len(), PLACES)
}

/// A buffer may be mapped as often as anybody likes, and a report is a line all the same.
fn checked_names_a_few_devices() -> Outcome {
    let edu = setup::edu(0)?;
    let checked = Checked::new()?;
    let attachment = edu.attach(&checked.buffer)?;
    let mut mappings = Vec::new();
    for _ in 0..6 {
        mappings.push(attachment.map(Direction::ToDevice)?);
    }
    checked.buffer.map(Access::Read)?.touch(0);
    let event = checked.only("outside", 0)?;
    equal("mapped", event.number("mapped"), Some(6))?;
    let line = last_line()?;
    equal("named", line.matches(&edu.name()?).count(), 4)
}

/// Who began is told of, and not who closes the buffer.
fn checked_program_that_began() -> Outcome {
    let Checked { buffer, trace, .. } = Checked::new()?;
    let child = Child::run(|| i32::from(buffer.start(Access::Write).is_err()))?;
    let pid = pid(&child).unwrap_or_default();
    equal("exit code", child.wait()?.exit_status(), Some(0))?;
    drop(buffer);
    drop(trace);
    let line = last_line()?;
    let who = format!("[{pid}/{pid}] START without END ");
    equal(
        format_args!("{who:?} in {line:?}"),
        line.contains(&who),
        true,
    )
}

/// What was said last, of whatever buffer.
fn last_line() -> Outcome<String> {
    let said = fs::read_to_string(FILE)?;
    Ok(said.lines().last().unwrap_or_default().to_owned())
}

fn pid(child: &Child) -> Option<i64> {
    child.pid().map(|pid| i64::from(pid.as_raw_nonzero().get()))
}

/// A START that is interrupted has opened nothing, and is repeated.
fn checked_start_interrupted() -> Outcome {
    let checked = Checked::new()?;
    let work = fences::start(&checked.buffer, Access::Write)?;
    signal::interrupt_by(Signal::USR1)?;
    fences::interrupted_start(&checked.buffer)?;
    work.finish()?;
    checked.buffer.begin(Access::Write)?.end()?;
    let memory = checked.buffer.map(Access::ReadWrite)?;
    memory.touch(PAGE);
    checked.only("outside", PAGE).map(drop)
}
