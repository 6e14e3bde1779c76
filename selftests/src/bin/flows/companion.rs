// SPDX-License-Identifier: GPL-2.0

//! Another process that takes turns with this one.

use std::os::fd::OwnedFd;

use rustix::io;
use rustix::pipe;
use rustix::pipe::PipeFlags;

use selftests::Outcome;
use selftests::outcome::fail;
use selftests::sys::fork::Child;

/// What a turn is passed on with.
const TOKEN: [u8; 1] = [1];

/// The process, which is killed when this is dropped before it has ended.
pub struct Companion {
    child: Option<Child>,
    to: OwnedFd,
    from: OwnedFd,
}

/// Where the process waits for its next turn.
pub struct Turns {
    to: OwnedFd,
    from: OwnedFd,
}

impl Turns {
    /// Gives the turn back, and waits for the next one.
    pub fn pause(&self) -> Outcome {
        io::write(&self.to, &TOKEN)?;
        let mut token = TOKEN;
        io::read(&self.from, &mut token)?;
        Ok(())
    }
}

impl Companion {
    /// Forks a process that runs `body`, up to its first pause.
    pub fn start(body: impl FnOnce(&Turns) -> Outcome) -> Outcome<Companion> {
        let (theirs, to) = pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let (from, ours) = pipe::pipe_with(PipeFlags::CLOEXEC)?;
        let turns = Turns {
            to: ours,
            from: theirs,
        };
        // The closure, and with it this process's copy of the other's ends, is gone afterwards.
        let child = Child::run(move || match body(&turns) {
            Ok(()) => 0,
            Err(stop) => {
                eprintln!("companion: {stop}");
                1
            }
        })?;
        let mut companion = Companion {
            child: Some(child),
            to,
            from,
        };
        companion.wait()?;
        Ok(companion)
    }

    /// Lets it run up to its next pause, or its end.
    pub fn proceed(&mut self) -> Outcome {
        io::write(&self.to, &TOKEN)?;
        self.wait()
    }

    /// Kills it where it is.
    pub fn kill(mut self) -> Outcome {
        if let Some(child) = self.child.take() {
            child.kill()?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Outcome {
        let mut token = TOKEN;
        if io::read(&self.from, &mut token)? == token.len() {
            return Ok(());
        }
        let Some(child) = self.child.take() else {
            return fail("the other process has ended before");
        };
        match child.wait()?.exit_status() {
            Some(0) => Ok(()),
            code => fail(format_args!("the other process ended with {code:?}")),
        }
    }
}

impl Drop for Companion {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            // It may have ended by itself, which is as good.
            let _ = child.kill();
        }
    }
}
