// SPDX-License-Identifier: GPL-2.0

//! How long something may take until it counts as never ending.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;

use rustix::event;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::io::Errno;

use crate::machine;

/// How much longer everything may take where the kernel delays accesses to see races. The harness gives
/// programs as much.
const WHERE_RACES_ARE_SEEN: u32 = 8;

/// A limit that any kernel keeps, but one that is slow on purpose: that one is given more. It bounds what
/// hangs, and says nothing about what is fast.
#[derive(Clone, Copy, Debug)]
pub struct Limit(Duration);

impl Limit {
    /// One of so many seconds.
    pub const fn seconds(seconds: u64) -> Limit {
        Limit(Duration::from_secs(seconds))
    }

    /// What it is in this kernel.
    ///
    /// # Errors
    ///
    /// Those of looking for what in the kernel is slow.
    pub fn here(self) -> io::Result<Duration> {
        Ok(self.where_races_are_seen(machine::sees_races()?))
    }

    fn where_races_are_seen(self, seen: bool) -> Duration {
        match seen {
            true => self.0 * WHERE_RACES_ARE_SEEN,
            false => self.0,
        }
    }
}

/// Whether there is something to read within that time.
///
/// # Errors
///
/// Those of poll().
pub fn readable_within(fd: &impl AsFd, time: Duration) -> Result<bool, Errno> {
    let deadline = Instant::now() + time;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match event::poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&left)) {
            Ok(ready) => return Ok(ready != 0),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kernel_that_sees_races_is_given_more() {
        let limit = Limit::seconds(5);
        assert_eq!(limit.where_races_are_seen(false), Duration::from_secs(5));
        assert_eq!(limit.where_races_are_seen(true), Duration::from_secs(40));
    }
}
