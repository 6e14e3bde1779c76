// SPDX-License-Identifier: GPL-2.0

//! Making buffers.

use selftests::Backing;
use selftests::HUGE_PAGE;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::site::SHORT;
use crate::site::Site;
use crate::site::sweep;

pub const TESTS: &[Test] = tests![
    create_one_page,
    create_200_pieces,
    create_1300_fresh_pages,
    create_1300_filled_pages,
    create_huge_page,
    create_of_all_kinds,
];

/// Pages that need more than one batch, and an array that is not small.
const MANY: usize = 1300;

/// A create that works has the size that was asked for.
fn creates(site: &Site, items: &[Item]) -> Outcome {
    let device = Udmabuf::open()?;
    if let Some(buffer) = site.within("create", SHORT, || device.create_list(items))? {
        let size: u64 = items.iter().map(|item| item.size).sum();
        equal("size", buffer.size()? as u64, size)?;
    }
    Ok(())
}

fn create_one_page() -> Outcome {
    let memfd = Memfd::new(PAGE)?;
    sweep(usize::MAX, 1, |site| {
        let device = Udmabuf::open()?;
        site.within("create", SHORT, || device.create(memfd.whole()))?;
        Ok(())
    })
}

fn create_200_pieces() -> Outcome {
    let memfd = Memfd::with_pages_apart(200 * PAGE)?;
    let items: Vec<_> = (0..200)
        .rev()
        .map(|page| memfd.range(page * PAGE, PAGE))
        .collect();
    sweep(usize::MAX, 1, |site| creates(site, &items))
}

/// The pages are allocated by the request.
fn create_1300_fresh_pages() -> Outcome {
    sweep(100, 97, |site| {
        let memfd = Memfd::new(MANY * PAGE)?;
        creates(site, &[memfd.whole()])
    })
}

fn create_1300_filled_pages() -> Outcome {
    let memfd = Memfd::with_pages_apart(MANY * PAGE)?;
    memfd.map()?.touch_every_page();
    sweep(usize::MAX, 1, |site| creates(site, &[memfd.whole()]))
}

fn create_huge_page() -> Outcome {
    let free = hugepage::free()?;
    if free < 2 {
        return skip("2 free huge pages");
    }
    sweep(usize::MAX, 1, |site| {
        let memfd = Memfd::builder(2 * HUGE_PAGE)
            .backing(Backing::Huge)
            .create()?;
        creates(site, &[memfd.whole()])
    })?;
    equal("free huge pages", hugepage::free()?, free)
}

fn create_of_all_kinds() -> Outcome {
    if hugepage::free()? < 1 {
        return skip("a free huge page");
    }
    let huge = Memfd::builder(HUGE_PAGE).backing(Backing::Huge).create()?;
    let base = Memfd::with_pages_apart(16 * PAGE)?;
    let items = [
        base.range(3 * PAGE, 4 * PAGE),
        huge.range(PAGE, 2 * PAGE),
        base.range(0, PAGE),
        huge.whole(),
    ];
    sweep(usize::MAX, 1, |site| creates(site, &items))
}
