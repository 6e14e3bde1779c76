// SPDX-License-Identifier: GPL-2.0

//! What one user has freed, no other user ever reads.

use selftests::Access;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::tests;

use crate::beside::beside;
use crate::user::User;

pub const TESTS: &[Test] = tests![nothing_freed_is_readable];

/// What the users leave in each page that they free.
pub const HONEST: Pattern = Pattern::new(310);
const HOSTILE: Pattern = Pattern::new(311);

const SIZE: usize = 64 * PAGE;

/// Memory that nobody has written to has nobody's bytes.
pub fn is_fresh(memory: &Mapping) -> Outcome {
    let mut bytes = vec![0xff; memory.len()];
    memory.read(0, &mut bytes);
    let used = bytes.iter().filter(|byte| **byte != 0).count();
    equal("bytes in fresh memory that are not zero", used, 0)
}

/// One buffer after the other is filled and freed, by both. One of the hostile user's has lost its
/// memfd and its descriptor, and its pages have been taken out of the file: what is mapped stays its
/// own all the same.
fn nothing_freed_is_readable() -> Outcome {
    beside(None, |ready| {
        User::Hostile.become_one()?;
        let device = Udmabuf::open()?;
        let create = || -> Outcome<_> {
            let memfd = Memfd::new(SIZE)?;
            let buffer = device.create(memfd.whole())?;
            let memory = buffer.map(Access::ReadWrite)?;
            Ok((memfd, buffer, memory))
        };
        let (memfd, buffer, kept) = create()?;
        let mut seen = [0xff; 256];
        let edu = Edu::open(1)?;
        edu.attach(&buffer)?
            .map(Direction::Bidirectional)?
            .device_reads(SIZE - seen.len(), &mut seen)?;
        check("a device reads zeroes", seen.iter().all(|byte| *byte == 0))?;
        HOSTILE.write_to(&kept, 0, SIZE);
        memfd.punch_hole(0, SIZE)?;
        drop((memfd, buffer));
        ready.tell()?;
        loop {
            let (memfd, buffer, memory) = create()?;
            is_fresh(&memory)?;
            HOSTILE.write_to(&memory, 0, SIZE);
            HOSTILE.check_in(&kept, 0, SIZE)?;
            drop((memfd, buffer, memory));
        }
    })
}
