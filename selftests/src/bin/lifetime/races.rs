// SPDX-License-Identifier: GPL-2.0

//! Several threads on one buffer.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    first_sync_by_every_cpu,
    sync_while_created_and_closed,
    huge_pages_forbidden_during_faults,
];

/// One thread touches a huge page while another forbids the process huge pages and touches another
/// page of it: a huge entry and a page table for the same place. What goes wrong, the kernel's log
/// tells.
fn huge_pages_forbidden_during_faults() -> Outcome {
    let rounds = machine::scaled(5000, 500)?;
    if hugepage::free()? == 0 {
        return skip("a free huge page");
    }
    let memfd = Memfd::builder(HUGE_PAGE).backing(Backing::Huge).create()?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mut random = fastrand::Rng::with_seed(2);
    let result = (0..rounds).try_for_each(|_| -> Outcome {
        hugepage::forbid(false)?;
        let mapping = buffer.map_aligned(Access::ReadWrite)?;
        let start = Barrier::new(2);
        let waits = [random.u32(..400), random.u32(..400)];
        let wait = |turns| {
            start.wait();
            for turn in 0..turns {
                black_box(turn);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                wait(waits[0]);
                mapping.touch(0);
            });
            wait(waits[1]);
            hugepage::forbid(true)?;
            mapping.touch(PAGE);
            Ok(())
        })
    });
    hugepage::forbid(false)?;
    result
}

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
    // 389 and 1024 have no common divisor: every page once, far from its neighbours.
    let pages = (0..1024).map(|index| index * 389 % 1024);
    let items: Vec<_> = pages.map(|page| memfd.range(page * PAGE, PAGE)).collect();
    device.create_list(&items)
}

/// Every CPU makes the first sync of a fresh buffer at the same time. A driver that prepares
/// something on the first one, without a lock, prepares it several times and forgets all but one.
fn first_sync_by_every_cpu() -> Outcome {
    const BUFFERS: usize = 100;
    /// A scatter table of 1024 entries, in bytes. One forgotten for every twentieth buffer is
    /// found.
    const TABLE: usize = 32 << 10;
    /// A kernel that is slow on purpose fills its caches for longer.
    const ATTEMPTS: [usize; 2] = [3, 8];
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(1024 * PAGE)?;
    let cpus = thread::available_parallelism()?.get();
    if cpus < 2 {
        return skip("a second CPU");
    }
    let batch = || -> Outcome {
        let buffers: Vec<(DmaBuf, AtomicUsize)> = (0..BUFFERS)
            .map(|_| Ok((scattered(&device, &memfd)?, AtomicUsize::new(0))))
            .collect::<Result<_, Errno>>()?;
        thread::scope(|scope| {
            let sync_all = || -> Result<(), Errno> {
                for (buffer, arrived) in &buffers {
                    // All arrive before any goes on, without the delay of a wake-up.
                    arrived.fetch_add(1, Ordering::SeqCst);
                    while arrived.load(Ordering::SeqCst) < cpus {
                        std::hint::spin_loop();
                    }
                    buffer.begin(Access::ReadWrite)?.end()?;
                }
                Ok(())
            };
            let threads: Vec<_> = (0..cpus).map(|_| scope.spawn(sync_all)).collect();
            for thread in threads {
                thread.join().expect("a syncing thread does not panic")?;
            }
            Ok(())
        })
    };
    if Path::new("/sys/kernel/debug/kmemleak").exists() {
        // A kernel with a leak detector keeps freed memory for a while as well, to find late
        // accesses. There the detector judges, when the last program has ended.
        return batch();
    }
    // Caches of the kernel fill up, the more the longer it has not run; so warm up first, and try
    // again before calling it a leak, which comes back every time.
    batch()?;
    let mut growth = Vec::new();
    for _ in 0..ATTEMPTS[usize::from(machine::sees_races()?)] {
        let before = memory_in_use()?;
        for _ in 0..5 {
            batch()?;
        }
        let grown = memory_in_use()?.saturating_sub(before);
        if grown < 5 * BUFFERS / 20 * TABLE {
            return Ok(());
        }
        growth.push(grown >> 10);
    }
    fail(format_args!("memory stays in use: {growth:?} KiB"))
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
