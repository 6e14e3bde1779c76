// SPDX-License-Identifier: GPL-2.0

//! An honest user alone, and then beside a hostile one.

use std::convert::Infallible;
use std::hint::black_box;
use std::os::fd::OwnedFd;

use rustix::io;
use rustix::pipe;
use rustix::process::Signal;

use selftests::DmaBuf;
use selftests::Outcome;
use selftests::child::exit_code;
use selftests::limit::Limit;
use selftests::limit::readable_within;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::sys::fork::Child;

use crate::honest;
use crate::nodes::Nodes;
use crate::user::User;

/// How long the hostile user may take to get ready.
const PATIENCE: Limit = Limit::seconds(120);

/// Where the hostile user says that what it is up to has begun.
pub struct Ready(OwnedFd);

impl Ready {
    pub fn tell(&self) -> Outcome {
        io::write(&self.0, b"!")?;
        Ok(())
    }
}

/// A process that is up to something, until it is killed.
pub struct Hostile(Child);

impl Hostile {
    /// Starts the process, which goes on for ever, and waits until it is ready. It decides who it is.
    pub fn start(body: impl FnOnce(&Ready) -> Outcome<Infallible>) -> Outcome<Hostile> {
        let (reader, writer) = pipe::pipe()?;
        let ready = Ready(writer);
        let child = Child::run(|| {
            exit_code("the hostile user", || match body(&ready) {
                Ok(never) => match never {},
                Err(stop) => Err(stop),
            })
        })?;
        let hostile = Hostile(child);
        drop(ready);
        // Nothing is heard of one that has ended.
        let bytes = match readable_within(&reader, PATIENCE.here()?)? {
            false => 0,
            true => io::read(&reader, &mut [0; 1])?,
        };
        if bytes == 0 {
            hostile.end()?;
            return fail("the hostile user does not get ready");
        }
        Ok(hostile)
    }

    /// Ends it, which must not have ended by itself: it does so only when something is not as it
    /// expects.
    pub fn end(self) -> Outcome {
        let signal = self.0.kill()?.terminating_signal();
        equal(
            "what ends the hostile user",
            signal,
            Some(Signal::KILL.as_raw()),
        )
    }
}

/// The honest user works as if there were no hostile one. Both have the buffer `both`.
///
/// Alone means that the other one only computes: where QEMU counts instructions, CPUs take turns, so
/// that whatever keeps one of them busy takes half of the time from the other.
pub fn beside(
    both: Option<&DmaBuf>,
    hostile: impl FnOnce(&Ready) -> Outcome<Infallible>,
) -> Outcome {
    let _open = Nodes::open_to_all()?;
    let computing = Hostile::start(|ready| {
        User::Hostile.become_one()?;
        ready.tell()?;
        loop {
            // No hint that it spins: QEMU would end its turn.
            black_box(());
        }
    })?;
    let alone = honest::costs(both)?;
    computing.end()?;
    let hostile = Hostile::start(hostile)?;
    let beside = honest::costs(both).and_then(|costs| {
        honest::device_reads()?;
        Ok(costs)
    });
    hostile.end()?;
    beside?.check_beside(&alone)
}
