// SPDX-License-Identifier: GPL-2.0

//! The kernel's own mapping, through which a driver reads and writes. What failed once works when it
//! is tried again.

use selftests::Access;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::ktap::Test;
use selftests::tests;

use crate::devices::PAGES;
use crate::devices::buffer;
use crate::devices::edu;
use crate::devices::holds;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![kernel_writes_and_reads];

fn kernel_writes_and_reads() -> Outcome {
    let edu = edu(0)?;
    let (before, written) = (Pattern::new(1), Pattern::new(2));
    let buffer = buffer(before)?;
    let memory = buffer.map(Access::ReadWrite)?;
    let bytes = written.bytes(0, PAGES * PAGE);
    Sweep::over("kernel_writes_and_reads").run(|site| {
        before.write_to(&memory, 0, PAGES * PAGE);
        site.at_last("write", || edu.vmap_write(&buffer, 0, &bytes))?;
        holds(&buffer, written)?;
        let mut read = vec![0; PAGES * PAGE];
        site.at_last("read", || edu.vmap_read(&buffer, 0, &mut read))?;
        Ok(written.check(0, &read)?)
    })
}
