// SPDX-License-Identifier: GPL-2.0

//! A child process that runs a closure.

use std::fs;

use rustix::io::Errno;
use rustix::io::Result;
use rustix::process;
use rustix::process::Pid;
use rustix::process::WaitOptions;
use rustix::process::WaitStatus;

/// A child that has not been waited for. Dropping it waits.
#[must_use]
pub struct Child {
    pid: Option<Pid>,
}

impl Child {
    /// Runs `body` in a fork of this process, whose exit code is the closure's.
    ///
    /// # Errors
    ///
    /// Those of fork(), and EDEADLK when this process has other threads, whose locks a fork
    /// would leave held for ever.
    pub fn run(body: impl FnOnce() -> i32) -> Result<Child> {
        let threads = fs::read_dir("/proc/self/task")
            .map_err(|_| Errno::NOSYS)?
            .count();
        if threads != 1 {
            return Err(Errno::DEADLK);
        }
        // SAFETY: There is one thread, so the child's copy of the process is consistent.
        match unsafe { libc::fork() } {
            -1 => {
                Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN))
            }
            0 => {
                let code = body();
                // SAFETY: Ends the child at once; the parent's exit handlers are not its own.
                unsafe { libc::_exit(code) }
            }
            pid => Ok(Child {
                pid: Pid::from_raw(pid),
            }),
        }
    }

    /// Waits for the end of the child.
    ///
    /// # Errors
    ///
    /// Those of waitpid().
    pub fn wait(mut self) -> Result<WaitStatus> {
        let pid = self.pid.take().ok_or(Errno::CHILD)?;
        wait_for(pid)
    }

    /// Kills the child and waits for its end.
    ///
    /// # Errors
    ///
    /// Those of kill() and waitpid().
    pub fn kill(mut self) -> Result<WaitStatus> {
        let pid = self.pid.take().ok_or(Errno::CHILD)?;
        process::kill_process(pid, process::Signal::KILL)?;
        wait_for(pid)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            // A child that is gone already is as good.
            let _ = wait_for(pid);
        }
    }
}

fn wait_for(pid: Pid) -> Result<WaitStatus> {
    loop {
        match process::waitpid(Some(pid), WaitOptions::empty()) {
            Err(Errno::INTR) | Ok(None) => {}
            Ok(Some((_, status))) => return Ok(status),
            Err(error) => return Err(error),
        }
    }
}
