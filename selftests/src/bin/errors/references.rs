// SPDX-License-Identifier: GPL-2.0

//! One page in more places than its reference count can count.

use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![page_named_too_often];

/// Items of one buffer: the more, the fewer descriptors it takes.
const ITEMS: usize = 1 << 16;

/// Each item is worth 1024 references, and half of what the counter can count is kept free: fewer
/// than 2^20 items fit, for the page cache has a reference as well.
const BUFFERS: usize = (1 << 20) / ITEMS - 1;

/// The kernel's log is looked at after each test: core warns of a counter that has overflowed.
fn page_named_too_often() -> Outcome {
    if Driver::under_test() == Driver::C {
        return skip("a driver that looks at reference counts");
    }
    let limit = Driver::under_test().parameter("list_limit");
    let _raised = limit.set(&ITEMS.to_string())?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let items = vec![memfd.whole(); ITEMS];
    let mut buffers: Vec<DmaBuf> = (0..BUFFERS)
        .map(|_| device.create_list(&items))
        .collect::<Result<_, _>>()?;
    refused("one more", || device.create_list(&items), Errno::INVAL)?;
    // Fewer fit, and as many when there is room again.
    equal("size", device.create(memfd.whole())?.size()?, PAGE)?;
    buffers.pop();
    equal("size", device.create_list(&items)?.size()?, ITEMS * PAGE)
}
