// SPDX-License-Identifier: GPL-2.0

//! A user with very many buffers.

use rustix::process::Resource;

use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::machine;
use selftests::tests;

use crate::beside::beside;
use crate::user;
use crate::user::User;

pub const TESTS: &[Test] = tests![very_many_buffers];

/// How many buffers live at once: 100,000, or 2,000 where the kernel checks each of its accesses.
/// While the honest user works, one more comes and goes all the time.
fn very_many_buffers() -> Outcome {
    let count = machine::scaled(100_000, 2_000)?;
    beside(None, |ready| {
        user::limit(Resource::Nofile, 2 * count as u64)?;
        User::Hostile.become_one()?;
        let (device, memfd) = (Udmabuf::open()?, Memfd::new(PAGE)?);
        let create = || device.create(memfd.whole());
        let _kept = (0..count)
            .map(|_| create())
            .collect::<Result<Vec<_>, _>>()?;
        ready.tell()?;
        loop {
            drop(create()?);
        }
    })
}
