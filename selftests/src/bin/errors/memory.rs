// SPDX-License-Identifier: GPL-2.0

//! Not enough memory of the kind that the memfd is made of.

use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![huge_pages_used_up];

/// The driver has pinned the first huge page when there is no second one.
fn huge_pages_used_up() -> Outcome {
    let free = hugepage::free()?;
    if free < 2 {
        return skip(format!("2 free huge pages; there are {free}"));
    }
    let device = Udmabuf::open()?;
    let memfd = Memfd::builder(2 * HUGE_PAGE)
        .backing(Backing::Huge)
        .create()?;
    let others = Mapping::huge_reservation((free - 1) * HUGE_PAGE)?;
    refused(
        "second huge page",
        || device.create(memfd.whole()),
        Errno::NOMEM,
    )?;
    // The first one belongs to the memfd now.
    equal(
        "one is enough for one",
        device.create(memfd.range(0, HUGE_PAGE))?.size()?,
        HUGE_PAGE,
    )?;
    drop(others);
    equal(
        "two are for two",
        device.create(memfd.whole())?.size()?,
        2 * HUGE_PAGE,
    )?;
    drop(memfd);
    equal("free huge pages", hugepage::free()?, free)
}
