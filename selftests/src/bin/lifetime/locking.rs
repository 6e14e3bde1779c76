// SPDX-License-Identifier: GPL-2.0

//! How long a request keeps others from a memfd.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::tests;

pub const TESTS: &[Test] = tests![memfd_is_let_go_of_between_items];

/// Whoever writes to a memfd, or seals it, waits for the lock of its inode and cannot be killed
/// meanwhile. A list may be as long as anybody likes.
fn memfd_is_let_go_of_between_items() -> Outcome {
    const ITEMS: usize = 64;
    const SIZE: usize = 16 << 20;

    let device = Udmabuf::open()?;
    let memfd = Memfd::new(SIZE)?;
    let memory = memfd.map()?;
    for at in (0..SIZE).step_by(PAGE) {
        memory.touch(at);
    }
    let items = vec![memfd.whole(); ITEMS];
    let [writes, is_made] = [AtomicBool::new(false), AtomicBool::new(false)];
    let write_for_as_long = || -> Outcome<Duration> {
        let mut longest = Duration::ZERO;
        while !is_made.load(Ordering::Relaxed) {
            let start = Instant::now();
            rustix::io::pwrite(&memfd, &[1], 0)?;
            longest = longest.max(start.elapsed());
            writes.store(true, Ordering::Relaxed);
        }
        Ok(longest)
    };
    thread::scope(|scope| -> Outcome {
        let writer = scope.spawn(write_for_as_long);
        while !writes.load(Ordering::Relaxed) && !writer.is_finished() {
            thread::yield_now();
        }
        let start = Instant::now();
        let buffer = device.create_list(&items);
        let whole = start.elapsed();
        is_made.store(true, Ordering::Relaxed);
        let longest = writer.join().expect("the writer does not panic")?;
        buffer?;
        check(
            format_args!("a write takes less than a quarter of a create: {longest:?} of {whole:?}"),
            longest < whole / 4,
        )
    })
}
