// SPDX-License-Identifier: GPL-2.0

//! Making buffers.

use rustix::fs::SealFlags;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::HUGE_PAGE;
use selftests::Item;
use selftests::Memfd;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::abi;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::calls;
use crate::site::SHORT;
use crate::site::Site;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![
    create_one_page,
    create_200_pieces,
    create_in_a_mode,
    create_checked_and_automatic,
    create_1300_fresh_pages,
    create_1300_filled_pages,
    create_fresh_huge_page,
    create_of_all_kinds,
];

/// Pages that need more than one batch, and an array that is not small.
const MANY: usize = 1300;

/// How much of each page is looked at, in bytes.
const LOOK: usize = 16;

/// A memfd with a pattern in it.
struct Source {
    memfd: Memfd,
    pattern: Pattern,
}

impl Source {
    fn new(memfd: Memfd, seed: u64) -> Outcome<Source> {
        let pattern = Pattern::new(seed);
        let mapping = memfd.map()?;
        for at in (0..memfd.size()).step_by(PAGE) {
            pattern.write_to(&mapping, at, LOOK);
        }
        Ok(Source { memfd, pattern })
    }

    fn range(&self, page: usize, pages: usize) -> Part {
        Part {
            item: self.memfd.range(page * PAGE, pages * PAGE),
            pattern: Some(self.pattern),
        }
    }

    /// Nobody has its pages any more.
    fn seal(&self) -> Outcome {
        Ok(self.memfd.add_seals(SealFlags::WRITE)?)
    }
}

/// An item, and what is in it: zeroes, if it is no pattern.
struct Part {
    item: Item,
    pattern: Option<Pattern>,
}

/// A create that works makes a buffer of the parts.
fn creates(site: &Site, parts: &[Part]) -> Outcome {
    let device = Udmabuf::open()?;
    let items: Vec<_> = parts.iter().map(|part| part.item).collect();
    let created = site.within("create", SHORT, || match items[..] {
        [item] => device.create(item),
        _ => device.create_list(&items),
    })?;
    match created {
        Some(buffer) => consists_of(&buffer, parts),
        None => Ok(()),
    }
}

fn consists_of(buffer: &DmaBuf, parts: &[Part]) -> Outcome {
    let size: u64 = parts.iter().map(|part| part.item.size).sum();
    equal("size", buffer.size()? as u64, size)?;
    let mapping = buffer.map(Access::Read)?;
    let mut at = 0;
    for Part { item, pattern } in parts {
        let positions = (item.offset..item.offset + item.size).step_by(PAGE);
        for position in positions.map(|position| position as usize) {
            let mut bytes = [0; LOOK];
            mapping.read(at, &mut bytes);
            match pattern {
                Some(pattern) => pattern.check(position, &bytes)?,
                None => equal("a fresh page", bytes, [0; LOOK])?,
            }
            at += PAGE;
        }
    }
    Ok(())
}

fn create_one_page() -> Outcome {
    let source = Source::new(Memfd::new(PAGE)?, 1)?;
    Sweep::over("create_one_page").run(|site| creates(site, &[source.range(0, 1)]))?;
    source.seal()
}

fn create_200_pieces() -> Outcome {
    let source = Source::new(Memfd::with_pages_apart(200 * PAGE)?, 2)?;
    let parts: Vec<_> = (0..200).rev().map(|page| source.range(page, 1)).collect();
    Sweep::over("create_200_pieces").run(|site| creates(site, &parts))?;
    source.seal()
}

fn create_in_a_mode() -> Outcome {
    let device = calls::device()?;
    let source = Source::new(Memfd::with_pages_apart(200 * PAGE)?, 2)?;
    for (name, pages) in [
        ("create_in_a_mode", 1),
        ("create_200_pieces_in_a_mode", 200),
    ] {
        let parts: Vec<_> = (0..pages).rev().map(|page| source.range(page, 1)).collect();
        let items: Vec<_> = parts.iter().map(|part| part.item).collect();
        Sweep::over(name).run(|site| {
            let create = || device.create_in(Mode::CpuCoherent, &items);
            match site.within("create", SHORT, create)? {
                Some(buffer) => consists_of(&buffer, &parts),
                None => Ok(()),
            }
        })?;
    }
    source.seal()
}

fn create_checked_and_automatic() -> Outcome {
    let device = calls::device()?;
    let source = Source::new(Memfd::with_pages_apart(2 * PAGE)?, 2)?;
    let parts = [source.range(0, 2)];
    let items = [parts[0].item];
    for (name, flags) in [
        ("create_checked", abi::UDMABUF_FLAGS_CHECK),
        ("create_automatic", abi::UDMABUF_FLAGS_AUTO_SYNC),
    ] {
        let flags = flags | abi::UDMABUF_FLAGS_CLOEXEC;
        Sweep::over(name).run(|site| {
            let create = || device.create_ext(abi::UDMABUF_MODE_DMA_API, &items, flags);
            match site.within("create", SHORT, create)? {
                Some(buffer) => consists_of(&buffer, &parts),
                None => Ok(()),
            }
        })?;
    }
    source.seal()
}

/// The pages are allocated by the request.
fn create_1300_fresh_pages() -> Outcome {
    Sweep::over("create_1300_fresh_pages")
        .sparse(100, 397)
        .run(|site| creates_fresh(site, Memfd::new(MANY * PAGE)?))
}

fn creates_fresh(site: &Site, memfd: Memfd) -> Outcome {
    let part = Part {
        item: memfd.whole(),
        pattern: None,
    };
    creates(site, &[part])?;
    Ok(memfd.add_seals(SealFlags::WRITE)?)
}

fn create_1300_filled_pages() -> Outcome {
    let source = Source::new(Memfd::with_pages_apart(MANY * PAGE)?, 3)?;
    Sweep::over("create_1300_filled_pages").run(|site| creates(site, &[source.range(0, MANY)]))?;
    source.seal()
}

/// The pages are taken from the pool by the request.
fn create_fresh_huge_page() -> Outcome {
    if hugepage::free()? < 2 {
        return skip("2 free huge pages");
    }
    Sweep::over("create_fresh_huge_page").run(|site| {
        let memfd = Memfd::builder(2 * HUGE_PAGE).backing(Backing::Huge);
        creates_fresh(site, memfd.create()?)
    })
}

fn create_of_all_kinds() -> Outcome {
    if hugepage::free()? < 1 {
        return skip("a free huge page");
    }
    let huge = Memfd::builder(HUGE_PAGE).backing(Backing::Huge).create()?;
    let huge = Source::new(huge, 4)?;
    let base = Source::new(Memfd::with_pages_apart(16 * PAGE)?, 5)?;
    let parts = [
        base.range(3, 4),
        huge.range(1, 2),
        base.range(0, 1),
        huge.range(0, HUGE_PAGE / PAGE),
    ];
    Sweep::over("create_of_all_kinds").run(|site| creates(site, &parts))?;
    base.seal()?;
    huge.seal()
}
