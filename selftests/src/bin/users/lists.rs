// SPDX-License-Identifier: GPL-2.0

//! A user who asks for as much as there may be: pins, pieces, pages; and dies over it.

use std::thread;

use rustix::fs;
use rustix::process;
use rustix::process::Signal;

use selftests::Errno;
use selftests::Held;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::sys::fork::Child;
use selftests::tests;

use crate::beside::beside;
use crate::user::User;

pub const TESTS: &[Test] = tests![
    pins_of_one_page,
    lists_beyond_the_limit,
    large_buffers,
    killed_in_the_middle,
];

/// As many items as there may be.
fn longest_list(memfd: &Memfd) -> Outcome<Vec<Item>> {
    let limit = Driver::under_test().parameter("list_limit").get()?;
    let limit: usize = limit.parse().unwrap_or(0);
    check(format_args!("list_limit {limit} is positive"), limit > 0)?;
    Ok(vec![memfd.range(0, PAGE); limit])
}

/// A page has as many pins as fit into lists: once more for each item.
fn pins_of_one_page() -> Outcome {
    let lists = machine::scaled(16, 4)?;
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let (device, memfd) = (Udmabuf::open()?, Memfd::new(PAGE)?);
        let items = longest_list(&memfd)?;
        let create = || device.create_list(&items);
        let _kept = (0..lists)
            .map(|_| create())
            .collect::<Result<Vec<_>, _>>()?;
        ready.tell()?;
        loop {
            drop(create()?);
        }
    })
}

/// Each is refused when all of it has been read, or before.
fn lists_beyond_the_limit() -> Outcome {
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let (device, memfd) = (Udmabuf::open()?, Memfd::new(PAGE)?);
        let mut items = longest_list(&memfd)?;
        let last = items.len() - 1;
        items[last] = memfd.range(0, 1 << 62);
        let longer = [items.as_slice(), &items[..1]].concat();
        ready.tell()?;
        loop {
            errno("too large", device.create_list(&items), Errno::INVAL)?;
            errno("too long", device.create_list(&longer), Errno::INVAL)?;
        }
    })
}

/// All of their pages are new. The next one is on its way while the honest user works.
fn large_buffers() -> Outcome {
    let size = machine::scaled(16 << 20, 4 << 20)?;
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let device = Udmabuf::open()?;
        ready.tell()?;
        loop {
            let memfd = Memfd::new(size)?;
            drop(device.create(memfd.whole())?);
        }
    })
}

/// One process after the other dies while it makes a buffer.
fn killed_in_the_middle() -> Outcome {
    let size = machine::scaled(64 << 20, 16 << 20)?;
    let before = Held::now()?;
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let device = Udmabuf::open()?;
        let die = || -> Outcome {
            let memfd = Memfd::new(size)?;
            let child = Child::run(|| {
                // Or it would outlive the test.
                let with_its_parent = Some(Signal::KILL);
                let _ = process::set_parent_process_death_signal(with_its_parent);
                i32::from(device.create(memfd.whole()).is_err())
            })?;
            while fs::fstat(&memfd)?.st_blocks == 0 {
                thread::yield_now();
            }
            child.kill()?;
            Ok(())
        };
        die()?;
        ready.tell()?;
        loop {
            die()?;
        }
    })?;
    // The last one is nobody's child any more, and nobody has waited for its end.
    let after = Held::wait_until(|now| *now == before)?;
    equal("left behind", after, before)
}
