// SPDX-License-Identifier: GPL-2.0

//! A child process that runs a closure.

use std::fs;
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::io::Result;
use rustix::process;
use rustix::process::Pid;
use rustix::process::PidfdFlags;
use rustix::process::WaitOptions;
use rustix::process::WaitStatus;

use crate::Mapping;
use crate::limit::readable_within;

/// For how long a thread may take to disappear.
const MOMENT: Duration = Duration::from_millis(10);
const MOMENTS: usize = 100;

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
        // A thread that was joined is still listed for a moment.
        for _ in 0..MOMENTS {
            if threads()? == 1 {
                break;
            }
            thread::sleep(MOMENT);
        }
        if threads()? != 1 {
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

    /// Forks a child that reads every page of a mapping and ends; other threads do not matter to it.
    ///
    /// # Errors
    ///
    /// Those of fork().
    pub fn that_touches(mapping: &Mapping) -> Result<Child> {
        // SAFETY: The child takes no lock, which another thread might have held: it reads memory that
        // is mapped, and ends at once.
        match unsafe { libc::fork() } {
            -1 => {
                Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::AGAIN))
            }
            0 => {
                mapping.touch_every_page();
                // SAFETY: As above.
                unsafe { libc::_exit(0) }
            }
            pid => Ok(Child {
                pid: Pid::from_raw(pid),
            }),
        }
    }

    /// The child's number; it stays the child's until that has been waited for.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
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

    /// Waits for the end of the child, but not longer than that; `None` if it did not end by
    /// itself. It is killed then, and not waited for: what hangs in the kernel, no signal ends.
    ///
    /// # Errors
    ///
    /// Those of pidfd_open(), poll(), kill() and waitpid().
    pub fn wait_within(mut self, limit: Duration) -> Result<Option<WaitStatus>> {
        let pid = self.pid.take().ok_or(Errno::CHILD)?;
        if ends_within(pid, limit)? {
            return wait_for(pid).map(Some);
        }
        process::kill_process(pid, process::Signal::KILL)?;
        Ok(None)
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

/// Whether the child ends within that time. It is left as it is.
///
/// # Errors
///
/// Those of pidfd_open() and poll().
pub fn ends_within(pid: Pid, limit: Duration) -> Result<bool> {
    let pidfd = process::pidfd_open(pid, PidfdFlags::empty())?;
    readable_within(&pidfd, limit)
}

fn threads() -> Result<usize> {
    let threads = fs::read_dir("/proc/self/task")
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::NOSYS))?;
    Ok(threads.count())
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
