// SPDX-License-Identifier: GPL-2.0

//! A user who takes more memory than there is for one user.

use std::io::ErrorKind;

use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::Udmabuf;
use selftests::cgroup::Tree;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;

use crate::beside::beside;
use crate::user::LOCKABLE;
use crate::user::User;

pub const TESTS: &[Test] = tests![more_than_the_group_may_have, more_than_may_be_locked];

const MIB: usize = 1 << 20;

/// The kernel holds up whoever takes more than the group may have, in the middle of a create: it does
/// not end, and takes hardly more, though it asks for many times as much.
fn more_than_the_group_may_have() -> Outcome {
    const MOST: usize = 16 * MIB;

    let tree = match Tree::mount() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return skip("a kernel with memory cgroups");
        }
        tree => tree?,
    };
    let group = tree.group("hostile")?;
    group.slow_down_beyond(MOST as u64)?;
    beside(None, |ready| {
        group.with(|| {
            User::Hostile.become_one()?;
            let (device, memfd) = (Udmabuf::open()?, Memfd::new(16 * MOST)?);
            // The first one fits.
            let _first = device.create(memfd.range(0, MOST / 2))?;
            ready.tell()?;
            loop {
                drop(device.create(memfd.whole())?);
            }
        })?
    })?;
    let peak = group.peak()? as usize;
    check(
        format_args!("the group had about {MOST} bytes at most: {peak}"),
        (MOST..2 * MOST).contains(&peak),
    )
}

/// With the parameter memlock, a user stops where RLIMIT_MEMLOCK says, and others do not notice: each
/// has a limit of their own.
fn more_than_may_be_locked() -> Outcome {
    if Driver::under_test() == Driver::C {
        return skip("a driver that counts locked pages");
    }
    let memlock = Driver::Rust.parameter("memlock");
    let _on = memlock.set("Y")?;
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let (device, memfd) = (Udmabuf::open()?, Memfd::new(MIB)?);
        let create = || device.create(memfd.whole());
        let kept: Vec<_> = std::iter::repeat_with(create)
            .map_while(Result::ok)
            .collect();
        equal("buffers", kept.len(), LOCKABLE / MIB)?;
        ready.tell()?;
        loop {
            errno("one more", create(), Errno::NOMEM)?;
        }
    })
}
