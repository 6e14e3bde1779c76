// SPDX-License-Identifier: GPL-2.0

//! A process that is killed while it makes a buffer: it ends soon, whatever it has asked for.

use std::thread;
use std::time::Instant;

use rustix::fs;

use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Item;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::limit::Limit;
use selftests::machine;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    killed_while_it_creates,
    killed_while_it_creates_of_huge_pages,
    killed_between_items,
];

/// Huge pages that take long enough to clear, and are more than are taken at once; more are better.
const HUGE_PAGES: usize = 128;

/// Bytes of base pages.
fn size() -> Outcome<usize> {
    Ok(machine::scaled(256 << 20, 64 << 20)?)
}

/// How long to wait for a child that has not begun.
const PATIENCE: Limit = Limit::seconds(60);

/// How often a child may be done before it is killed, which happens where others are busy.
const ATTEMPTS: usize = 20;

fn need_check() -> Outcome {
    match Driver::under_test() {
        Driver::C => skip("a driver that looks for signals"),
        Driver::Rust => Ok(()),
    }
}

/// Memory of the file that is allocated, in bytes.
fn allocated(memfd: &Memfd) -> Result<u64, Errno> {
    Ok(fs::fstat(memfd)?.st_blocks as u64 * 512)
}

/// The file in pieces of `piece` bytes, each an item of its own.
fn items(memfd: &Memfd, piece: usize) -> Vec<Item> {
    (0..memfd.size())
        .step_by(piece)
        .map(|at| memfd.range(at, piece))
        .collect()
}

/// What is killed stops allocating: of a fresh file, part is never touched. Which part depends on
/// when the signal comes, but the end of the file always belongs to it.
fn stops_early(backing: Backing, size: usize, piece: usize) -> Outcome {
    let device = Udmabuf::open()?;
    let builder = Memfd::builder(size).backing(backing);
    let memfd = builder.create()?;
    let start = Instant::now();
    drop(device.create_list(&items(&memfd, piece))?);
    let whole = start.elapsed();
    drop(memfd);
    let patience = PATIENCE.here()?;
    for _ in 0..ATTEMPTS {
        let before = Ledger::now()?;
        let memfd = builder.create()?;
        let items = items(&memfd, piece);
        let child = Child::run(|| i32::from(device.create_list(&items).is_err()))?;
        // The request is under way as soon as there is the first page.
        let start = Instant::now();
        while allocated(&memfd)? == 0 && start.elapsed() < patience {
            thread::yield_now();
        }
        let start = Instant::now();
        let status = child.kill()?;
        let took = start.elapsed();
        if status.signaled() {
            let allocated = allocated(&memfd)?;
            check(
                format_args!("less than {size} bytes allocated, {allocated} are after {took:?}"),
                allocated < size as u64,
            )?;
            check(
                format_args!("ends sooner than within {whole:?}: {took:?}"),
                took < whole,
            )?;
            // The file is not locked any more, and what is missing can be had.
            drop(device.create_list(&items)?);
            drop(memfd);
            return equal("left behind", Ledger::now()?, before);
        }
        equal("exit code", status.exit_status(), Some(0))?;
    }
    fail("each child was done before it was killed")
}

fn killed_while_it_creates() -> Outcome {
    need_check()?;
    let size = size()?;
    stops_early(Backing::Base, size, size)
}

fn killed_while_it_creates_of_huge_pages() -> Outcome {
    need_check()?;
    let pages = hugepage::free()?.min(2 * HUGE_PAGES);
    if pages < HUGE_PAGES {
        return skip(format!("{HUGE_PAGES} free huge pages"));
    }
    let size = pages * HUGE_PAGE;
    stops_early(Backing::Huge, size, size)
}

fn killed_between_items() -> Outcome {
    need_check()?;
    let size = size()?;
    let limit = Driver::under_test().parameter("list_limit");
    let _raised = limit.set(&(size / PAGE).to_string())?;
    stops_early(Backing::Base, size, PAGE)
}
