// SPDX-License-Identifier: GPL-2.0

//! A client at work, and the proof that its buffers are the driver's.

use std::{
    fmt,
    process::{Command, Output},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use selftests::{Held, driver::Driver, kmsg::Kmsg, pins::Pins, statistics, udmabuf::DEVICE};

use crate::{
    node,
    root::{self, Places},
    user::User,
};

/// How often the kernel's list of dma-bufs is looked at while a client runs.
const GLANCE: Duration = Duration::from_millis(10);

/// Lines of a client's messages that are shown when it fails.
const SHOWN: usize = 5;

/// What the steps of a client share.
pub struct Stage {
    /// The driver behind `/dev/udmabuf`.
    pub driver: Driver,
    /// The places in the clients' root.
    pub places: Places,
    /// Who the clients are.
    pub user: User,
    /// What the kernel held before.
    before: Held,
    log: Kmsg,
}

impl Stage {
    /// Sets it up.
    pub fn new() -> Result<Self> {
        let log = Kmsg::watch().context("cannot watch the kernel log")?;
        let driver = Driver::under_test();
        let (places, mut user) = root::enter()?;
        user.group = node::group(DEVICE, &user)?;
        Ok(Stage {
            driver,
            places,
            user,
            before: Held::now()?,
            log,
        })
    }

    /// Does something, and sees meanwhile what the driver makes of it.
    pub fn watch<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Made)> {
        let created = statistics::counter("created").context("statistics")?;
        let pinned = Pins::now()?.acquired;
        let over = AtomicBool::new(false);
        let (result, most) = thread::scope(|scope| {
            let watcher = scope.spawn(|| most_udmabufs(&over));
            let result = work();
            over.store(true, Ordering::Relaxed);
            (result, watcher.join())
        });
        let most = most.ok().context("the watcher has panicked")??;
        let now = statistics::counter("created").context("statistics")?;
        let made = Made {
            counted: now.zip(created).map(|(now, before)| now - before),
            pinned: Pins::now()?.acquired - pinned,
            most,
        };
        Ok((result?, made))
    }

    /// An error unless at least that much has gone through the driver: all of it by the kernel's
    /// own account, and where the driver is ours, by that as well.
    pub fn expect(&self, made: &Made, least: Expected) -> Result<()> {
        let Expected { buffers, pages } = least;
        match (self.driver, made.counted) {
            (Driver::Rust, None) => bail!("our driver is not loaded"),
            // It counts its own buffers only, and with it loaded the other driver would be unseen.
            (Driver::C, Some(_)) => bail!("our driver is loaded beside the one under test"),
            (Driver::Rust, Some(counted)) => ensure!(
                counted >= buffers,
                "our driver has made {counted} buffers instead of {buffers}"
            ),
            (Driver::C, None) => {}
        }
        ensure!(
            made.pinned >= pages as u64,
            "{} pages were pinned instead of {pages}",
            made.pinned
        );
        ensure!(made.most > 0, "the kernel never listed a udmabuf");
        Ok(())
    }

    /// An error if anything went through the driver.
    ///
    /// All pins count here, so what a client writes has to go to memory: 9p pins what it sends.
    pub fn expect_nothing(&self, made: &Made) -> Result<()> {
        ensure!(
            made.counted.unwrap_or(0) == 0 && made.pinned == 0 && made.most == 0,
            "without the device, there were {made}"
        );
        Ok(())
    }

    /// Waits a moment until the kernel holds what it did before; what it holds then.
    pub fn settle(&self) -> Result<Held> {
        Ok(Held::wait_until(|now| *now == self.before)?)
    }

    /// What is wrong after a step: complaints of the kernel, and what was left behind.
    pub fn aftermath(&mut self) -> Result<Vec<String>> {
        let mut wrong = self
            .log
            .complaints()
            .context("cannot read the kernel log")?;
        let after = self.settle()?;
        if after != self.before {
            wrong.push(format!("left behind: {after}; before: {}", self.before));
        }
        Ok(wrong)
    }
}

/// What a client has to have asked the driver for, at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Buffers.
    pub buffers: usize,
    /// Pages in them.
    pub pages: usize,
}

impl Expected {
    /// What the last line of a client of our own says.
    pub fn said(output: &str) -> Result<Self> {
        let line = output.lines().last().unwrap_or_default();
        let numbers = line.strip_suffix(" pages").and_then(|line| {
            let (buffers, pages) = line.split_once(" buffers, ")?;
            Some((buffers.parse().ok()?, pages.parse().ok()?))
        });
        let (buffers, pages) = numbers.with_context(|| format!("a strange last line: {line}"))?;
        Ok(Expected { buffers, pages })
    }
}

/// What went through the driver while a client ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Made {
    /// Buffers, as our driver counts them; none if it is not loaded.
    pub counted: Option<usize>,
    /// Pages pinned.
    pub pinned: u64,
    /// The most udmabufs that the kernel listed at a time.
    pub most: usize,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(counted) = self.counted {
            write!(f, "{counted} buffers made, ")?;
        }
        write!(
            f,
            "{} pages pinned, {} udmabufs at a time",
            self.pinned, self.most
        )
    }
}

/// The most udmabufs that exist at a time until it is over.
fn most_udmabufs(over: &AtomicBool) -> Result<usize> {
    let mut most = 0;
    while !over.load(Ordering::Relaxed) {
        most = most.max(Held::now()?.udmabufs());
        thread::sleep(GLANCE);
    }
    Ok(most)
}

/// Runs a command that has to succeed; what it wrote.
pub fn succeed(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    if !output.status.success() {
        bail!("{}", failure(command, &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command that has to fail; what it says then.
pub fn fail(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    ensure!(
        output.status.code() == Some(1),
        "not the failure that was expected: {}",
        failure(command, &output)
    );
    Ok(String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// Runs a command to its end, however it ends; what it says.
pub fn run_to_end(command: &mut Command) -> Result<String> {
    let output = run(command)?;
    Ok(String::from_utf8_lossy(&output.stderr).into_owned())
}

fn run(command: &mut Command) -> Result<Output> {
    let output = command.output();
    output.with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// How a command ended, and its last words.
fn failure(command: &Command, output: &Output) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy());
    let words: Vec<_> = words.skip_while(|word| word != "--").skip(4).collect();
    let said = String::from_utf8_lossy(&output.stderr);
    let said: Vec<_> = said.lines().collect();
    let last = &said[said.len().saturating_sub(SHOWN)..];
    format!(
        "{} ended with {}\n{}",
        words.join(" "),
        output.status,
        last.join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_what_to_expect() {
        let expected = Expected {
            buffers: 3,
            pages: 12,
        };
        assert_eq!(
            Expected::said("x\n3 buffers, 12 pages\n").unwrap(),
            expected
        );
        assert!(Expected::said("3 buffers, 12 pages\nx\n").is_err());
        assert!(Expected::said("").is_err());
    }
}
