// SPDX-License-Identifier: GPL-2.0

//! Folios that lie across the end of what is pinned at once.

use selftests::Access;
use selftests::Backing;
use selftests::HUGE_PAGE;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

pub const TESTS: &[Test] = tests![huge_pages_across_batches];

/// More than are pinned at once, several times over.
const HUGE_PAGES: usize = 72;

/// The range begins in the middle of a huge page, and so does, for whoever does not take care, each
/// batch. Every huge page is pinned once all the same.
fn huge_pages_across_batches() -> Outcome {
    if hugepage::free()? < HUGE_PAGES {
        return skip(format!("{HUGE_PAGES} free huge pages"));
    }
    let device = Udmabuf::open()?;
    let memfd = Memfd::builder(HUGE_PAGES * HUGE_PAGE)
        .backing(Backing::Huge)
        .create()?;
    let pattern = Pattern::new(60);
    pattern.write_to(&memfd.map()?, 0, memfd.size());
    let before = Ledger::now()?;
    for offset in [PAGE, HUGE_PAGE - PAGE, HUGE_PAGE + HUGE_PAGE / 2] {
        let size = memfd.size() - offset - PAGE;
        let buffer = device.create(memfd.range(offset, size))?;
        let pinned = Ledger::now()?.pinned - before.pinned;
        let touched = (HUGE_PAGES - offset / HUGE_PAGE) as u64;
        equal(format_args!("pins, offset {offset:#x}"), pinned, touched)?;
        let mapping = buffer.map(Access::Read)?;
        for at in (0..size - PAGE).step_by(HUGE_PAGE / 2) {
            let mut page = [0; PAGE];
            mapping.read(at, &mut page);
            pattern.check(offset + at, &page)?;
        }
        drop(mapping);
        drop(buffer);
        equal("at the end", Ledger::now()?, before)?;
    }
    Ok(())
}
