// SPDX-License-Identifier: GPL-2.0

//! The pages belong to the buffer, whatever becomes of the memfd.

use selftests::Access;
use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    hole_punched_while_pinned,
    hole_in_huge_pages,
    memfd_grows,
    memfd_cannot_shrink,
    pins_of_each_buffer,
    huge_pages_go_back_to_the_pool,
];

/// The memfd loses its pages and gets new ones; the buffer keeps the old ones.
fn hole_punched(backing: Backing, size: usize, hole: usize) -> Outcome {
    let before = Ledger::now()?;
    let memfd = Memfd::builder(size).backing(backing).create()?;
    let by_memfd = memfd.map()?;
    let pattern = Pattern::new(30);
    pattern.write_to(&by_memfd, 0, size);
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let by_buffer = buffer.map_aligned(Access::ReadWrite)?;
    pattern.check_in(&by_buffer, 0, hole)?;
    memfd.punch_hole(0, hole)?;
    // Before and after the hole has new pages, faulted before and after it was made.
    for _ in 0..2 {
        pattern.check_in(&by_buffer, 0, size)?;
        let mut bytes = vec![0xff; hole];
        by_memfd.read(0, &mut bytes);
        equal(
            "bytes in the hole",
            bytes.iter().filter(|byte| **byte != 0).count(),
            0,
        )?;
    }
    Pattern::new(31).write_to(&by_memfd, 0, hole);
    pattern.check_in(&by_buffer, 0, hole)?;
    // A new buffer has the new pages.
    let new = Udmabuf::open()?.create(memfd.whole())?;
    Pattern::new(31).check_in(&new.map(Access::Read)?, 0, hole)?;
    drop((memfd, by_memfd, buffer, by_buffer, new));
    equal("at the end", Ledger::now()?, before)
}

fn hole_punched_while_pinned() -> Outcome {
    hole_punched(Backing::Base, 16 * PAGE, 5 * PAGE)
}

fn hole_in_huge_pages() -> Outcome {
    let free = hugepage::free()?;
    if free < 3 {
        return skip("3 free huge pages");
    }
    hole_punched(Backing::Huge, 2 * HUGE_PAGE, HUGE_PAGE)?;
    equal("free huge pages", hugepage::free()?, free)
}

fn memfd_grows() -> Outcome {
    let memfd = Memfd::new(4 * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    memfd.resize(16 * PAGE)?;
    equal("size", buffer.size()?, 4 * PAGE)?;
    let longer = Udmabuf::open()?.create(memfd.range(0, 16 * PAGE))?;
    equal("size", longer.size()?, 16 * PAGE)?;
    let pattern = Pattern::new(32);
    pattern.write_to(&longer.map(Access::ReadWrite)?, 0, 16 * PAGE);
    pattern.check_in(&buffer.map(Access::Read)?, 0, 4 * PAGE)?;
    Ok(())
}

/// The seal that the driver asks for.
fn memfd_cannot_shrink() -> Outcome {
    let memfd = Memfd::new(4 * PAGE)?;
    let _buffer = Udmabuf::open()?.create(memfd.whole())?;
    errno("truncated", memfd.resize(2 * PAGE), Errno::PERM)
}

/// Each buffer and each item has pins of its own, and gives back just those.
fn pins_of_each_buffer() -> Outcome {
    let before = Ledger::now()?;
    let pinned = || -> Outcome<u64> { Ok(Ledger::now()?.pinned - before.pinned) };
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(8 * PAGE)?;
    let first = device.create(memfd.whole())?;
    let of_first = pinned()?;
    check("the first buffer pins pages", of_first > 0)?;
    let second = device.create_list(&[memfd.whole(), memfd.whole(), memfd.whole()])?;
    equal(
        "three items pin three times as much",
        pinned()?,
        4 * of_first,
    )?;
    drop(first);
    equal("the first gives back its own", pinned()?, 3 * of_first)?;
    drop(second);
    equal("nothing is left", pinned()?, 0)
}

fn huge_pages_go_back_to_the_pool() -> Outcome {
    let free = hugepage::free()?;
    if free < 4 {
        return skip("4 free huge pages");
    }
    for memfd_first in [false, true] {
        let memfd = Memfd::builder(4 * HUGE_PAGE)
            .backing(Backing::Huge)
            .create()?;
        // Only two of the four.
        let buffer = Udmabuf::open()?.create(memfd.range(HUGE_PAGE, 2 * HUGE_PAGE))?;
        equal("free huge pages", hugepage::free()?, free - 2)?;
        if memfd_first {
            drop(memfd);
            equal("free huge pages", hugepage::free()?, free - 2)?;
            drop(buffer);
        } else {
            drop(buffer);
            // They are the memfd's own.
            equal("free huge pages", hugepage::free()?, free - 2)?;
            drop(memfd);
        }
        equal("free huge pages", hugepage::free()?, free)?;
    }
    Ok(())
}
