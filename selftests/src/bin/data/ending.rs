// SPDX-License-Identifier: GPL-2.0

//! Ends beside mappings: whether there is anything to do is asked without a lock.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use selftests::Access;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::machine;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![ends_beside_mappings];

/// One thread ends accesses as fast as it can while another maps and unmaps. What the last end hands over,
/// the mapping has that came to be at the same time.
fn ends_beside_mappings() -> Outcome {
    const ROUNDS: u64 = 5;
    /// Ends between two looks at the clock.
    const ENDS: usize = 32;

    // Of many accesses, a kernel that sees races watches one at a time.
    let time = match machine::sees_races()? {
        true => Duration::from_secs(2),
        false => Duration::from_millis(50),
    };
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let edu = setup::edu(0)?;
    let attachment = edu.attach(&buffer)?;
    let page = Window { at: 0, len: PAGE };
    (0..ROUNDS).try_for_each(|round| {
        let pattern = Pattern::new(round);
        let deadline = Instant::now() + time;
        thread::scope(|scope| -> Outcome {
            let ending = scope.spawn(|| -> Outcome {
                while Instant::now() < deadline {
                    for _ in 0..ENDS {
                        buffer.finish(Access::Read)?;
                    }
                }
                page.cpu_writes(&buffer, &memory, pattern)
            });
            let mapping = loop {
                let mapping = attachment.map(Direction::ToDevice)?;
                if ending.is_finished() {
                    break mapping;
                }
                mapping.unmap()?;
            };
            ending.join().expect("the ending thread does not panic")?;
            page.device_sees(&mapping, pattern)
        })
    })
}
