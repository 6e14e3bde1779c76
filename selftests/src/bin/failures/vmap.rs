// SPDX-License-Identifier: GPL-2.0

//! The kernel's own mapping, through which a driver reads and writes. What failed once works when it
//! is tried again.

use selftests::Access;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::tests;

use crate::devices::edu;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![kernel_writes_and_reads];

/// More pages than `vm_map_ram()` takes out of what it has in stock (`VMAP_MAX_ALLOC` in
/// mm/vmalloc.c).
const PAGES: usize = 80;

/// What is written: three pages, from the middle of one.
const AT: usize = 40 * PAGE + 1001;
const LENGTH: usize = 2 * PAGE;

fn kernel_writes_and_reads() -> Outcome {
    let edu = edu(0)?;
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let (before, written) = (Pattern::new(1), Pattern::new(2));
    let bytes = written.bytes(AT, LENGTH);
    Sweep::over("kernel_writes_and_reads").run(|site| {
        before.write_to(&memory, AT - PAGE, LENGTH + 2 * PAGE);
        site.at_last("write", || edu.vmap_write(&buffer, AT, &bytes))?;
        written.check_in(&memory, AT, LENGTH)?;
        before.check_in(&memory, AT - PAGE, PAGE)?;
        before.check_in(&memory, AT + LENGTH, PAGE)?;
        let mut read = vec![0; LENGTH];
        site.at_last("read", || edu.vmap_read(&buffer, AT, &mut read))?;
        Ok(written.check(AT, &read)?)
    })
}
