// SPDX-License-Identifier: GPL-2.0

//! What the guest reports.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One of a program's two output streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// With this exit code.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// By init, since its time was over.
    TimedOut,
    /// It could not be started, for this reason.
    NotStarted(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Exited(code) => write!(f, "exit code {code}"),
            Outcome::Killed(signal) => write!(f, "killed by signal {signal}"),
            Outcome::TimedOut => f.write_str("killed, its time was over"),
            Outcome::NotStarted(reason) => write!(f, "not started: {reason}"),
        }
    }
}

/// Something that happened in the guest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The machine is set up: modules loaded, devices linked, memory reserved.
    Ready {
        /// The kernel's release, as `uname -r` has it.
        kernel: String,
    },
    /// A step of init's own failed; what follows of the job is dropped.
    Failed(String),
    /// A program was started; programs are numbered in the job's order, from 0.
    Started {
        /// Which program.
        program: u32,
    },
    /// A program wrote something.
    Output {
        /// Which program.
        program: u32,
        /// To which stream.
        stream: Stream,
        /// What, byte for byte.
        bytes: Vec<u8>,
    },
    /// A program ended. All its output was reported before.
    Ended {
        /// Which program.
        program: u32,
        /// In what way.
        outcome: Outcome,
    },
    /// A module was unloaded, or could not be.
    Unloaded {
        /// Which module, by the name of its file.
        module: String,
        /// Why not.
        error: Option<String>,
    },
    /// What the kernel's leak detector found; empty when it found nothing.
    Leaks(String),
    /// The job is over, the guest powers off.
    Done,
}
