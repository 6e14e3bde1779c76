// SPDX-License-Identifier: GPL-2.0

//! A user who asks for more than there is, and is killed for it. What they have taken by then others
//! wait for, so that they are to die soon.

use std::thread;
use std::time::Instant;

use rustix::fs;

use selftests::Memfd;
use selftests::Outcome;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

use crate::costs;

pub const TESTS: &[Test] = tests![dies_within_a_batch];

/// Bytes that are still taken at most: the batch that is under way, 512 pages, and what it took while
/// the signal was sent.
const MORE: u64 = 8 << 20;

/// A process that is being killed is gone within this part of what the whole create takes. It has to
/// let go of what it has pinned, which is a third; but each page is let go of quicker than it is made.
const PART: u32 = 8;

/// How often the child may be done before it is killed, which happens where others are busy.
const ATTEMPTS: usize = 20;

fn dies_within_a_batch() -> Outcome {
    if Driver::under_test() == Driver::C {
        return skip("a driver that looks for signals");
    }
    let size = machine::scaled(256 << 20, 64 << 20)?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(size)?;
    let start = Instant::now();
    drop(device.create(memfd.whole())?);
    let whole = start.elapsed();
    drop(memfd);
    for _ in 0..ATTEMPTS {
        let memfd = Memfd::new(size)?;
        let allocated = || fs::fstat(&memfd).map(|data| data.st_blocks as u64 * 512);
        let child = Child::run(|| i32::from(device.create(memfd.whole()).is_err()))?;
        while allocated()? < size as u64 / 16 * 5 {
            thread::yield_now();
        }
        let before = allocated()?;
        let start = Instant::now();
        let status = child.kill()?;
        let took = start.elapsed();
        if status.signaled() {
            let more = allocated()? - before;
            check(
                format_args!("at most {MORE} bytes are taken after the signal: {more}"),
                more <= MORE,
            )?;
            return check(
                format_args!("dies within {took:?}, where the whole takes {whole:?}"),
                took <= costs::floor()?.max(whole / PART),
            );
        }
        equal("exit code", status.exit_status(), Some(0))?;
    }
    fail("each child was done before it was killed")
}
