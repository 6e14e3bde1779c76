// SPDX-License-Identifier: GPL-2.0

//! Many who wait for hand-overs of one buffer, where a device works on a copy of it.

use std::sync::Barrier;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Memfd;
use selftests::Outcome;
use selftests::Udmabuf;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::check;
use selftests::statistics;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    a_hand_over_serves_all_who_wait_for_it,
    unmap_waits_for_few_hand_overs,
];

const THREADS: usize = 16;

/// Large enough that a hand-over takes longer than a turn of a thread.
fn buffer() -> Outcome<DmaBuf> {
    let memfd = Memfd::new(machine::scaled(16 << 20, 4 << 20)?)?;
    Ok(Udmabuf::open()?.create(memfd.whole())?)
}

/// Hand-overs to the CPU that had anything to do, by whoever.
fn hand_overs() -> Outcome<usize> {
    Ok(statistics::counter("synced_for_cpu")?.unwrap_or(0))
}

fn has_shadows() -> Outcome<bool> {
    Ok(statistics::counter("shadows")?.is_some_and(|shadows| shadows > 0))
}

fn a_hand_over_serves_all_who_wait_for_it() -> Outcome {
    const EACH: usize = 4;

    let buffer = buffer()?;
    let edu = setup::edu(0)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    // Elsewhere there may be nothing to do.
    let least = if has_shadows()? { EACH } else { 0 };
    let before = hand_overs()?;
    let start = Barrier::new(THREADS);
    thread::scope(|scope| {
        let threads = [(); THREADS].map(|()| {
            scope.spawn(|| -> Outcome {
                start.wait();
                for _ in 0..EACH {
                    buffer.start(Access::Read)?;
                }
                Ok(())
            })
        });
        let mut threads = threads.into_iter();
        threads.try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    let made = hand_overs()? - before;
    mapping.unmap()?;
    let asked = THREADS * EACH;
    check(
        format_args!("{made} hand-overs for {asked} begins at the same time"),
        made >= least && made <= asked / 2,
    )
}

/// However many threads go on for ever: for one under way and two for all that wait, and for those that begin
/// between the looks at the number, which are more if whoever looks has to wait for a CPU. It is not one for
/// each thread.
fn unmap_waits_for_few_hand_overs() -> Outcome {
    const ATTEMPTS: usize = 5;

    let mut made = [0; ATTEMPTS];
    for made in &mut made {
        *made = hand_overs_while_one_unmap_waits()?;
    }
    made.sort();
    check(
        format_args!("{made:?} hand-overs while one unmap waits beside {THREADS} threads"),
        made[ATTEMPTS / 2] < THREADS,
    )
}

fn hand_overs_while_one_unmap_waits() -> Outcome<usize> {
    let buffer = buffer()?;
    let edu = setup::edu(0)?;
    let attachment = edu.attach(&buffer)?;
    // Of two mappings one stays, so that there is always something to do.
    let [mapping, _other] = [
        attachment.map(Direction::Bidirectional)?,
        attachment.map(Direction::Bidirectional)?,
    ];
    let (begun, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while !stop.load(Relaxed) && buffer.start(Access::Read).is_ok() {
                    begun.fetch_add(1, Relaxed);
                }
            });
        }
        while begun.load(Relaxed) < THREADS {
            thread::yield_now();
        }
        let before = hand_overs();
        let unmapped = mapping.unmap();
        let after = hand_overs();
        stop.store(true, Relaxed);
        unmapped?;
        Ok::<_, selftests::outcome::Stop>(after? - before?)
    })
}
