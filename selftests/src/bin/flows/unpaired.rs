// SPDX-License-Identifier: GPL-2.0

//! Brackets as programs in the field have them: not paired, ended by others, interrupted, given up
//! (contract 9). None of this may leave anything stale, or lose anything.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process;
use rustix::process::Signal;

use selftests::Access;
use selftests::Errno;
use selftests::Outcome;
use selftests::Pattern;
use selftests::abi;
use selftests::fence::Work;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::outcome::errno;
use selftests::outcome::fail;
use selftests::sys::fork::Child;
use selftests::sys::signal;

use crate::arguments::END_ACCESS;
use crate::companion::Companion;
use crate::flow::Flow;
use crate::stage::Buffer;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "begun_twice",
        title: "START|RW twice and END|RW once in each frame",
        controls: &["no-sync-at-begin", "no-sync-at-end", "brackets-remembered"],
        heap: true,
        refuses: false,
        run: begun_twice,
    },
    Flow {
        name: "ended_otherwise",
        title: "START|RW, END|R; START|R, END|RW; START|W, END|R",
        controls: &["no-sync-at-begin", "no-sync-at-end", "brackets-remembered"],
        heap: true,
        refuses: false,
        run: ended_otherwise,
    },
    Flow {
        name: "never_ended",
        title: "START|W in each frame and no END",
        controls: &["no-sync-at-begin", "brackets-remembered"],
        heap: true,
        refuses: false,
        run: never_ended,
    },
    Flow {
        name: "ended_elsewhere",
        title: "begun here, ended by a child, after exec, by a thread",
        controls: &["no-sync-at-begin", "no-sync-at-end", "brackets-remembered"],
        heap: true,
        refuses: false,
        run: ended_elsewhere,
    },
    Flow {
        name: "interrupted_begin",
        title: "a signal interrupts START|W, then device writes -> CPU read",
        controls: &["no-sync-at-begin", "brackets-remembered"],
        heap: true,
        refuses: false,
        run: interrupted_begin,
    },
];

/// Enough for what one frame leaves behind to show in the next ones.
const FRAMES: u64 = 3;

/// A frame: the device writes the first page, the CPU reads it after `begin`, and writes the
/// second one, which the device sees after `end`.
fn frame(
    buffer: &Buffer,
    mapping: &DeviceMapping<'_>,
    seed: u64,
    begin: impl FnOnce() -> Outcome,
    end: impl FnOnce() -> Outcome,
) -> Outcome {
    let (ours, theirs) = (Pattern::new(2 * seed), Pattern::new(2 * seed + 1));
    FIRST.device_writes(mapping, theirs)?;
    begin()?;
    FIRST.holds(&buffer.memory, theirs)?;
    SECOND.fill(&buffer.memory, ours);
    end()?;
    SECOND.device_sees(mapping, ours)
}

fn begun_twice(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let begin = || -> Outcome {
        buffer.dma_buf.start(Access::ReadWrite)?;
        buffer.dma_buf.start(Access::ReadWrite)?;
        Ok(())
    };
    let end = || Ok(buffer.dma_buf.finish(Access::ReadWrite)?);
    for seed in 1..=FRAMES {
        frame(&buffer, &mapping, seed, begin, end)?;
    }
    mapping.unmap()?;
    SECOND.holds(&buffer.memory, Pattern::new(2 * FRAMES))?;
    Ok(())
}

fn ended_otherwise(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let kinds = [
        (Access::ReadWrite, Access::Read),
        (Access::Read, Access::ReadWrite),
        (Access::Write, Access::Read),
    ];
    for (seed, (first, last)) in (1..).zip(kinds.repeat(FRAMES as usize)) {
        let begin = || Ok(buffer.dma_buf.start(first)?);
        let end = || Ok(buffer.dma_buf.finish(last)?);
        frame(&buffer, &mapping, seed, begin, end)?;
    }
    Ok(())
}

/// What the CPU writes is handed over by the bracket of somebody else.
fn never_ended(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for seed in 1..=FRAMES {
        let (ours, theirs) = (Pattern::new(2 * seed), Pattern::new(2 * seed + 1));
        FIRST.device_writes(&mapping, theirs)?;
        buffer.dma_buf.start(Access::Write)?;
        FIRST.holds(&buffer.memory, theirs)?;
        SECOND.fill(&buffer.memory, ours);
    }
    let ours = Pattern::new(2 * FRAMES);
    buffer.see(SECOND, ours)?;
    SECOND.device_sees(&mapping, ours)
}

fn ended_elsewhere(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let begin = || Ok(buffer.dma_buf.start(Access::ReadWrite)?);
    let in_child = || -> Outcome {
        Companion::start(|_| Ok(buffer.dma_buf.finish(Access::ReadWrite)?))?;
        Ok(())
    };
    for seed in 1..=FRAMES {
        frame(&buffer, &mapping, seed, begin, in_child)?;
    }

    // The process goes on with another program, which knows the descriptor alone.
    for seed in FRAMES + 1..=2 * FRAMES {
        let (ours, theirs) = (Pattern::new(2 * seed), Pattern::new(2 * seed + 1));
        FIRST.device_writes(&mapping, theirs)?;
        let mut other = Companion::start(|turns| {
            begin()?;
            FIRST.holds(&buffer.memory, theirs)?;
            SECOND.fill(&buffer.memory, ours);
            turns.pause()?;
            fail(exec_to_end(&buffer)?)
        })?;
        other.proceed()?;
        SECOND.device_sees(&mapping, ours)?;
        buffer.see(FIRST, theirs)?;
    }

    let in_thread = || {
        thread::scope(|scope| {
            let thread = scope.spawn(|| buffer.dma_buf.finish(Access::ReadWrite));
            Ok(thread.join().expect("ending an access does not panic")?)
        })
    };
    for seed in 2 * FRAMES + 1..=3 * FRAMES {
        frame(&buffer, &mapping, seed, begin, in_thread)?;
    }
    Ok(())
}

/// Replaces this program by one that ends the access; returns only with the reason why not.
fn exec_to_end(buffer: &Buffer) -> Outcome<io::Error> {
    let descriptor: OwnedFd = buffer.dma_buf.duplicate()?.into();
    let mut command = Command::new(fs::read_link("/proc/self/exe")?);
    Ok(command
        .arg(format!("--{END_ACCESS}"))
        .stdin(descriptor)
        .exec())
}

/// How long one who is to be interrupted is left to begin to wait.
const A_WHILE: Duration = Duration::from_millis(50);

/// The process has nothing open then, and what devices write is seen by it and by all others;
/// devices that were mapped already, and those that are mapped later.
fn interrupted_begin(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    for mapped in [true, false] {
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let attachment = edu.attach(&buffer.dma_buf)?;
        let mapping = if mapped {
            let mapping = attachment.map(Direction::Bidirectional)?;
            interrupt_begin(&buffer)?;
            mapping
        } else {
            interrupt_begin(&buffer)?;
            attachment.map(Direction::Bidirectional)?
        };
        for seed in 1..=FRAMES {
            let theirs = Pattern::new(seed);
            FIRST.device_writes(&mapping, theirs)?;
            buffer.see(FIRST, theirs)?;
            Companion::start(|_| buffer.see(FIRST, theirs))?;
        }
    }
    Ok(())
}

/// Has a signal end the wait for a device that is not done.
fn interrupt_begin(buffer: &Buffer) -> Outcome {
    signal::interrupt_by(Signal::USR1)?;
    let work = Work::start(&buffer.dma_buf, Access::Write)?;
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
    let interrupted = buffer.dma_buf.sync(begin);
    nuisance.kill()?;
    errno("begin", interrupted, Errno::INTR)?;
    work.finish()?;
    Ok(())
}
