// SPDX-License-Identifier: GPL-2.0

//! Seals that come while a buffer lives, or while it is being made.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use rustix::fs::SealFlags;

use selftests::Access;
use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    write_seal_waits_for_buffer,
    write_seal_waits_for_buffer_of_huge_pages,
    future_write_seal_spares_buffer,
    no_seal_slips_in,
    no_seal_slips_in_between_huge_pages,
    future_write_seal_is_seen_at_once,
];

/// The pages could be written by a device, so the memfd cannot become read-only.
fn write_seal_waits(backing: Backing, size: usize) -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::builder(size).backing(backing).create()?;
    let buffer = device.create(memfd.whole())?;
    errno(
        "sealed while pinned",
        memfd.add_seals(SealFlags::WRITE),
        Errno::BUSY,
    )?;
    equal("seals", memfd.seals()?.contains(SealFlags::WRITE), false)?;
    let mapping = buffer.map(Access::ReadWrite)?;
    drop(buffer);
    errno(
        "sealed while mapped",
        memfd.add_seals(SealFlags::WRITE),
        Errno::BUSY,
    )?;
    drop(mapping);
    memfd.add_seals(SealFlags::WRITE)?;
    errno(
        "created when sealed",
        device.create(memfd.whole()),
        Errno::INVAL,
    )
}

fn write_seal_waits_for_buffer() -> Outcome {
    write_seal_waits(Backing::Base, 4 * PAGE)
}

fn write_seal_waits_for_buffer_of_huge_pages() -> Outcome {
    if hugepage::free()? == 0 {
        return skip("a free huge page");
    }
    write_seal_waits(Backing::Huge, HUGE_PAGE)
}

/// That seal concerns later mappings and buffers only.
fn future_write_seal_spares_buffer() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let buffer = device.create(memfd.whole())?;
    memfd.add_seals(SealFlags::FUTURE_WRITE)?;
    let pattern = Pattern::new(40);
    let mapping = buffer.map(Access::ReadWrite)?;
    pattern.write_to(&mapping, 0, 4 * PAGE);
    pattern.check_in(&mapping, 0, 4 * PAGE)?;
    errno(
        "created when sealed",
        device.create(memfd.whole()),
        Errno::INVAL,
    )
}

/// One thread makes a buffer, another one adds F_SEAL_WRITE at about the same time. Whoever comes
/// first wins; never may both succeed, or a device could write to a file that its owner believes
/// to be read-only. The pages are fresh: allocating them is what a driver does between looking at
/// the seals and pinning, if it does not keep the two together.
fn race(backing: Backing, size: usize, rounds: u32) -> Outcome {
    let device = Udmabuf::open()?;
    let builder = Memfd::builder(size).backing(backing);
    let start = Instant::now();
    drop(device.create(builder.create()?.whole())?);
    // How long a create takes: the seals come at any time within one and a half of it.
    let create = start.elapsed();
    for round in 0..rounds {
        let memfd = builder.create()?;
        let delay = create * 3 * round / (2 * rounds);
        let barrier = Barrier::new(2);
        let (created, sealed) = thread::scope(|scope| {
            let creator = scope.spawn(|| {
                barrier.wait();
                device.create(memfd.whole())
            });
            barrier.wait();
            spin(delay);
            let sealed = memfd.add_seals(SealFlags::WRITE);
            (creator.join().expect("a creator does not panic"), sealed)
        });
        match (&created, &sealed) {
            (Ok(_), Err(Errno::BUSY)) | (Err(Errno::INVAL), Ok(())) => {}
            _ => {
                let created = created.map(drop);
                return fail(format_args!(
                    "round {round}: created {created:?}, sealed {sealed:?}"
                ));
            }
        }
        // Neither after the race.
        if created.is_ok() {
            errno(
                "sealed later",
                memfd.add_seals(SealFlags::WRITE),
                Errno::BUSY,
            )?;
        }
    }
    Ok(())
}

/// Lets time pass more exactly than a sleep could.
fn spin(duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        std::hint::spin_loop();
    }
}

fn no_seal_slips_in() -> Outcome {
    race(Backing::Base, 64 * PAGE, 30)
}

fn no_seal_slips_in_between_huge_pages() -> Outcome {
    if hugepage::free()? == 0 {
        return skip("a free huge page");
    }
    race(Backing::Huge, HUGE_PAGE, 30)
}

/// Buffers are made all the time; from the moment that the seal is set, none any more.
fn future_write_seal_is_seen_at_once() -> Outcome {
    let device = Udmabuf::open()?;
    for _ in 0..20 {
        let memfd = Memfd::new(4 * PAGE)?;
        let created_after = thread::scope(|scope| {
            let creator = scope.spawn(|| {
                loop {
                    // Looked at first: a seal seen here was set before the create began.
                    let sealed = memfd.seals()?.contains(SealFlags::FUTURE_WRITE);
                    let created = device.create(memfd.whole());
                    if sealed {
                        return Ok::<_, Errno>(created.map(drop));
                    }
                }
            });
            spin(Duration::from_micros(300));
            memfd.add_seals(SealFlags::FUTURE_WRITE)?;
            creator.join().expect("a creator does not panic")
        })?;
        errno("created after the seal", created_after, Errno::INVAL)?;
    }
    Ok(())
}
