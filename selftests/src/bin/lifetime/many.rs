// SPDX-License-Identifier: GPL-2.0

//! Many buffers: one after the other, at once, and from several threads.

use std::thread;

use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::equal;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    ten_thousand_one_after_the_other,
    two_thousand_at_once,
    from_four_threads,
];

fn ten_thousand_one_after_the_other() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let before = Ledger::now()?;
    for _ in 0..machine::scaled(10_000, 1000)? {
        device.create(memfd.whole())?;
    }
    equal("at the end", Ledger::now()?, before)
}

fn two_thousand_at_once() -> Outcome {
    let limit = Rlimit {
        current: Some(4096),
        maximum: Some(4096),
    };
    process::setrlimit(Resource::Nofile, limit)?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let pattern = Pattern::new(50);
    pattern.write_to(&memfd.map()?, 0, memfd.size());
    let before = Ledger::now()?;
    let buffers: Vec<DmaBuf> = (0..2000)
        .map(|_| device.create(memfd.whole()))
        .collect::<Result<_, _>>()?;
    equal("buffers", Ledger::now()?.buffers - before.buffers, 2000)?;
    for buffer in buffers.iter().step_by(100) {
        pattern.check_in(&buffer.map(Access::Read)?, 0, memfd.size())?;
    }
    drop(buffers);
    equal("at the end", Ledger::now()?, before)
}

/// All of the same pages, whose reference counts everybody changes.
fn from_four_threads() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(16 * PAGE)?;
    let rounds = machine::scaled(500, 100)?;
    let before = Ledger::now()?;
    thread::scope(|scope| -> Outcome {
        let threads: Vec<_> = (0..4)
            .map(|number| {
                let (device, memfd) = (&device, &memfd);
                scope.spawn(move || -> Result<(), Errno> {
                    for _ in 0..rounds {
                        let first = device.create(memfd.whole())?;
                        let second =
                            device.create_list(&[memfd.range(number * PAGE, 4 * PAGE); 3])?;
                        second.map(Access::Read)?.touch(PAGE);
                        drop(first);
                    }
                    Ok(())
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("a creating thread does not panic")?;
        }
        Ok(())
    })?;
    equal("at the end", Ledger::now()?, before)
}
