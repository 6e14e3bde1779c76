// SPDX-License-Identifier: GPL-2.0

//! Several threads at once.

use std::fs;
use std::sync::Barrier;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::thread;

use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::outcome::Stop;
use selftests::sys::clock;

use crate::contender::Maker;
use crate::measure::DEVICE;
use crate::subject::Subject;

/// Rounds of all threads together; each has its share.
const ROUNDS: u32 = 512;

/// What is said of a thread in /proc, and where.
const STATUS: &str = "/proc/thread-self/status";
const SLEPT: &str = "voluntary_ctxt_switches:";

/// What one thread did: when it began and ended, and how often it slept.
struct Share {
    from: u64,
    to: u64,
    slept: u64,
}

/// Lets threads make buffers, map them for a device, unmap and close them. While its buffer is
/// mapped, each lets the others go on. Says what a round takes.
pub fn work(maker: &Maker, subject: &Subject, threads: u32) -> Result<u64, Stop> {
    Ok(each(&shares(maker, subject, threads, || Ok(0))?))
}

/// Does the same, and says how often a thread slept: all of them, in all rounds. Asking takes
/// instructions, which are those of a round of somebody.
pub fn waits(maker: &Maker, subject: &Subject, threads: u32) -> Result<u64, Stop> {
    let shares = shares(maker, subject, threads, slept)?;
    Ok(shares.iter().map(|share| share.slept).sum())
}

fn shares(
    maker: &Maker,
    subject: &Subject,
    threads: u32,
    slept: impl Fn() -> Result<u64, Stop> + Sync,
) -> Result<Vec<Share>, Stop> {
    let ready = AtomicU32::new(0);
    let done = Barrier::new(threads as usize);
    thread::scope(|scope| {
        let share = || {
            let edu = Edu::open(DEVICE);
            let before = slept();
            // Nobody sleeps here: that would count.
            ready.fetch_add(1, Ordering::SeqCst);
            while ready.load(Ordering::SeqCst) < threads {
                thread::yield_now();
            }
            let from = clock::now();
            let rounds = rounds(maker, subject, &edu, ROUNDS / threads);
            let to = clock::now();
            let after = slept();
            // What follows would cost those who are not so far.
            done.wait();
            rounds?;
            let slept = after? - before?;
            Ok(Share { from, to, slept })
        };
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(share)).collect();
        let joined = all.into_iter().map(|one| match one.join() {
            Ok(share) => share,
            Err(_) => Err(Stop::Fail("a thread panicked".into())),
        });
        joined.collect()
    })
}

fn rounds(
    maker: &Maker,
    subject: &Subject,
    edu: &rustix::io::Result<Edu>,
    count: u32,
) -> Result<(), Stop> {
    let edu = edu.as_ref().map_err(|error| Stop::from(*error))?;
    for _ in 0..count {
        let buffer = maker.make(subject)?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        thread::yield_now();
        mapping.unmap()?;
        attachment.detach()?;
    }
    Ok(())
}

/// What each round took of the time from the first who begins to the last who ends.
fn each(shares: &[Share]) -> u64 {
    let from = shares.iter().map(|share| share.from).min();
    let to = shares.iter().map(|share| share.to).max();
    to.unwrap_or(0).saturating_sub(from.unwrap_or(0)) / u64::from(ROUNDS)
}

/// How often this thread has given up the CPU to wait.
fn slept() -> Result<u64, Stop> {
    let status = fs::read_to_string(STATUS)?;
    let count = parse(&status);
    count.ok_or_else(|| Stop::Fail(format!("{STATUS} lacks {SLEPT}")))
}

fn parse(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let count = lines.find_map(|line| line.strip_prefix(SLEPT))?;
    count.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_from_the_first_who_begins_to_the_last_who_ends() {
        let share = |from, to| Share { from, to, slept: 3 };
        let shares = [share(5000, 9000), share(1000, 6000)];
        assert_eq!(each(&shares), 8000 / u64::from(ROUNDS));
        assert_eq!(each(&[]), 0);
    }

    #[test]
    fn only_those_count_who_slept() {
        let status = "Name:\tbench\nvoluntary_ctxt_switches:\t12\nnonvoluntary_ctxt_switches:\t7\n";
        assert_eq!(parse(status), Some(12));
        assert_eq!(parse("Name:\tbench\n"), None);
        assert!(slept().is_ok());
    }
}
