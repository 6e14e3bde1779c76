// SPDX-License-Identifier: GPL-2.0

//! Several threads on one buffer.

use std::fs;
use std::sync::Barrier;
use std::thread;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::fail;
use selftests::tests;

pub const TESTS: &[Test] = tests![first_sync_by_four_threads, sync_while_created_and_closed];

/// Memory that is neither free nor can be freed without loss, in bytes.
fn memory_in_use() -> Outcome<usize> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| -> Outcome<usize> {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        match line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok()) {
            Some(value) => Ok(value),
            None => fail(format_args!("/proc/meminfo has no {name}")),
        }
    };
    let kilobytes =
        field("MemTotal")? - field("MemFree")? - field("Cached")? - field("SReclaimable")?;
    Ok(kilobytes * 1024)
}

/// A buffer of 1024 pages, none of which follows the one before it: what a driver keeps per run
/// of pages is as large as it can be.
fn scattered(device: &Udmabuf, memfd: &Memfd) -> Result<DmaBuf, Errno> {
    let items: Vec<_> = (0..1024)
        .rev()
        .map(|page| memfd.range(page * PAGE, PAGE))
        .collect();
    device.create_list(&items)
}

/// Four threads make the first sync of a fresh buffer at once. A driver that prepares something
/// on the first one, without a lock, prepares it several times and forgets all but the last.
fn first_sync_by_four_threads() -> Outcome {
    const ROUNDS: usize = 300;
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(1024 * PAGE)?;
    let round = || -> Outcome {
        let buffer = scattered(&device, &memfd)?;
        let barrier = Barrier::new(4);
        thread::scope(|scope| -> Outcome {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| -> Result<(), Errno> {
                        barrier.wait();
                        buffer.begin(Access::ReadWrite)?.end()
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("a syncing thread does not panic")?;
            }
            Ok(())
        })
    };
    // Caches of the kernel fill up first.
    for _ in 0..20 {
        round()?;
    }
    let before = memory_in_use()?;
    for _ in 0..ROUNDS {
        round()?;
    }
    let grown = memory_in_use()?.saturating_sub(before);
    // A table of 1024 entries has 32 KiB; one forgotten in every tenth round is found.
    check(
        format_args!(
            "{ROUNDS} rounds leave memory in use as it was (it grew by {} KiB)",
            grown >> 10
        ),
        grown < ROUNDS / 10 * (32 << 10),
    )
}

/// Threads sync the buffer that they find while another one replaces it again and again.
fn sync_while_created_and_closed() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(64 * PAGE)?;
    thread::scope(|scope| -> Outcome {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| -> Outcome {
                    for round in 0..300 {
                        let buffer = device.create(memfd.whole())?;
                        let other = buffer.duplicate()?;
                        let access = Access::ALL[round % 3];
                        let bracket = buffer.begin(access)?;
                        other.begin(Access::Read)?.end()?;
                        drop(other);
                        bracket.end()?;
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a syncing thread does not panic")?;
        }
        Ok(())
    })
}
