// SPDX-License-Identifier: GPL-2.0

//! A process that is killed while it waits for a buffer that another one is handing over: it ends at
//! once, and not when its turn comes.

use std::fs;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::io;
use rustix::pipe;
use rustix::process::Pid;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::importer::Attachment;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::limit::Limit;
use selftests::machine;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    killed_while_it_waits_to_attach,
    killed_while_it_waits_to_map,
    killed_while_it_waits_to_end,
];

/// How often the hand-over may be over before anybody is killed, which happens where others are busy.
const ATTEMPTS: usize = 20;

/// How often somebody has to be killed in time.
const KILLED: usize = 3;

/// How long to wait for a child that has not begun.
const PATIENCE: Limit = Limit::seconds(60);

/// A process that ends an access, which takes as long as the buffer is large.
struct HandOver {
    child: Child,
    begun: Instant,
}

impl HandOver {
    fn start(buffer: &DmaBuf) -> Outcome<HandOver> {
        let (begun, say) = pipe::pipe()?;
        let child = Child::run(|| {
            let ended = io::write(&say, b"!").and_then(|_| buffer.finish(Access::ReadWrite));
            i32::from(ended.is_err())
        })?;
        heard(begun, say)?;
        Ok(HandOver {
            child,
            begun: Instant::now(),
        })
    }

    fn end(self) -> Outcome {
        equal(
            "exit code of the hand-over",
            self.child.wait()?.exit_status(),
            Some(0),
        )
    }
}

/// Waits until the child has said something.
fn heard(reader: OwnedFd, writer: OwnedFd) -> Outcome {
    // Of one that has ended, nothing is heard.
    drop(writer);
    check("the child begins", io::read(&reader, &mut [0; 1])? == 1)
}

/// What a process is doing, as in the third field of `/proc/PID/stat`.
fn state(pid: Pid) -> Outcome<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    let after = stat.rsplit_once(") ").map_or("", |(_, after)| after);
    Ok(after.chars().next().unwrap_or('?'))
}

/// Waits until a process sleeps where only a fatal signal wakes it, if anything; false if it has ended.
fn waits(pid: Pid) -> Outcome<bool> {
    let deadline = Instant::now() + PATIENCE.here()?;
    while Instant::now() < deadline {
        match state(pid)? {
            'D' => return Ok(true),
            'Z' => return Ok(false),
            _ => thread::sleep(Duration::from_micros(200)),
        }
    }
    fail("neither waits nor ends")
}

/// A device that works on a copy has the buffer, so that a hand-over takes its time. Another one is
/// attached in the parent, for a child that is killed would wait to detach it: `call` is all that waits.
fn killed_while_it_waits(call: impl Fn(&Attachment<'_>, &DmaBuf) -> Outcome) -> Outcome {
    if Driver::under_test() == Driver::C || !machine::always_bounces()? {
        return skip("our driver, and devices with shadows");
    }
    let size = machine::scaled(128 << 20, 16 << 20)?;
    let buffer = Udmabuf::open()?.create(Memfd::new(size)?.whole())?;
    let (edu, other) = (Edu::open(0)?, Edu::open(1)?);
    let attachment = edu.attach(&buffer)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    let attached = other.attach(&buffer)?;
    let hand_over = HandOver::start(&buffer)?;
    let begun = hand_over.begun;
    hand_over.end()?;
    let whole = begun.elapsed();

    let before = Ledger::now()?;
    let mut killed = 0;
    for _ in 0..ATTEMPTS {
        let hand_over = HandOver::start(&buffer)?;
        // By now it has the mutex.
        thread::sleep(whole / 10);
        let child = Child::run(|| i32::from(call(&attached, &buffer).is_err()))?;
        let Some(pid) = child.pid() else {
            return fail("a child without a number");
        };
        let waits = waits(pid)?;
        let left = whole.saturating_sub(hand_over.begun.elapsed());
        let start = Instant::now();
        let status = child.kill()?;
        let took = start.elapsed();
        hand_over.end()?;
        // Where little of the hand-over is left, nothing shows who waits for its end.
        if waits && status.signaled() && left > whole / 2 {
            check(
                format_args!("killed {left:?} before its turn, ends within half of that: {took:?}"),
                took < left / 2,
            )?;
            killed += 1;
        }
        if killed == KILLED {
            return equal("left behind", Ledger::now()?, before);
        }
    }
    fail(format_args!(
        "{killed} of {ATTEMPTS} children waited when they were killed, {KILLED} have to"
    ))
}

fn killed_while_it_waits_to_attach() -> Outcome {
    killed_while_it_waits(|attached, buffer| {
        attached.device().attach(buffer)?;
        Ok(())
    })
}

fn killed_while_it_waits_to_map() -> Outcome {
    killed_while_it_waits(|attached, _| {
        attached.map(Direction::Bidirectional)?;
        Ok(())
    })
}

fn killed_while_it_waits_to_end() -> Outcome {
    killed_while_it_waits(|_, buffer| Ok(buffer.finish(Access::ReadWrite)?))
}
