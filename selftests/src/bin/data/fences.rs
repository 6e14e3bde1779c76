// SPDX-License-Identifier: GPL-2.0

//! Devices that have not finished when the CPU's bracket begins: it waits for them, and only then
//! brings home what they wrote.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rustix::process;
use rustix::process::Signal;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::fence::Work;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::sys::signal;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    begin_waits_for_who_writes,
    begin_waits_for_who_reads,
    signal_interrupts_begin,
];

const WINDOW: Window = Window { at: 0, len: PAGE };

/// Long enough for a begin that does not wait to be over.
const A_WHILE: Duration = Duration::from_millis(200);

/// Work of a device on a buffer.
pub fn start(buffer: &DmaBuf, access: Access) -> Outcome<Work> {
    match Work::start(buffer, access) {
        Err(Errno::NOENT) => skip("CONFIG_SW_SYNC or CONFIG_DRM_VGEM"),
        work => Ok(work?),
    }
}

/// What the device writes before it has finished is there, though the bracket began before.
fn begin_waits_for_who_writes() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
    let memory = buffer.map(Access::Read)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::FromDevice)?;
    let work = start(&buffer, Access::Write)?;
    let theirs = Pattern::new(140);
    thread::scope(|scope| -> Outcome {
        let device = scope.spawn(|| -> Outcome {
            thread::sleep(A_WHILE);
            let written = WINDOW.device_writes(&mapping, theirs);
            work.finish()?;
            written
        });
        WINDOW.cpu_sees(&buffer, &memory, theirs)?;
        device.join().expect("the device does not panic")
    })
}

/// Only a CPU that writes is in the way of a device that reads.
fn begin_waits_for_who_reads() -> Outcome {
    let buffer = Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
    let work = start(&buffer, Access::Read)?;
    buffer.begin(Access::Read)?.end()?;
    let finished = AtomicBool::new(false);
    thread::scope(|scope| -> Outcome {
        let device = scope.spawn(|| {
            thread::sleep(A_WHILE);
            finished.store(true, Ordering::SeqCst);
            work.finish()
        });
        let writing = buffer.begin(Access::Write)?;
        check(
            "a write bracket begins when the reader has finished",
            finished.load(Ordering::SeqCst),
        )?;
        writing.end()?;
        device.join().expect("the device does not panic")?;
        Ok(())
    })
}

/// Begins an access while somebody works, and is interrupted.
pub fn interrupted_start(buffer: &DmaBuf) -> Outcome {
    let us = process::getpid();
    // Again and again, as the first ones may come too early.
    let nuisance = Child::run(|| {
        loop {
            thread::sleep(A_WHILE);
            if process::kill_process(us, Signal::USR1).is_err() {
                return 1;
            }
        }
    })?;
    let begin = u64::from(abi::SYNC_START) | Access::Write.sync_flags();
    let interrupted = buffer.sync(begin);
    nuisance.kill()?;
    errno("begin", interrupted, Errno::INTR)
}

/// A begin that is interrupted can be repeated, and has opened nothing: what devices write
/// afterwards is brought home.
fn signal_interrupts_begin() -> Outcome {
    let edu = setup::edu(0)?;
    let buffer = Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
    let memory = buffer.map(Access::Read)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::FromDevice)?;
    let work = start(&buffer, Access::Write)?;
    signal::interrupt_by(Signal::USR1)?;
    interrupted_start(&buffer)?;

    work.finish()?;
    let theirs = Pattern::new(141);
    WINDOW.device_writes(&mapping, theirs)?;
    WINDOW.cpu_sees(&buffer, &memory, theirs)
}
