// SPDX-License-Identifier: GPL-2.0

//! The CPU's side: mappings, children, the end.

use selftests::Access;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::sys::fork::Child;
use selftests::tests;

use crate::site::SHORT;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![map_and_touch, map_and_fork, split_and_close];

/// Pages of the buffer.
const PAGES: usize = 8;

/// A memfd of scattered pages with a pattern in it.
fn memfd(pattern: Pattern) -> Outcome<Memfd> {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    pattern.write_to(&memfd.map()?, 0, PAGES * PAGE);
    Ok(memfd)
}

/// A page that cannot be mapped is tried again by the kernel, and is there then.
fn map_and_touch() -> Outcome {
    let pattern = Pattern::new(1);
    let memfd = memfd(pattern)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    Sweep::over("map_and_touch").run(|site| {
        let mapped = site.within("map", SHORT, || buffer.map_aligned(Access::ReadWrite))?;
        let Some(mapping) = mapped else { return Ok(()) };
        site.within("touch", &[], || {
            mapping.touch_every_page();
            Ok(())
        })?;
        Ok(pattern.check_in(&mapping, 0, PAGES * PAGE)?)
    })
}

/// A child has the mapping, or there is no child.
fn map_and_fork() -> Outcome {
    let pattern = Pattern::new(2);
    let memfd = memfd(pattern)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map(Access::ReadWrite)?;
    mapping.touch_every_page();
    let expected = i32::from(pattern.bytes(PAGE, 1)[0]);
    Sweep::over("map_and_fork").run(|site| {
        let child = site.within("fork", SHORT, || {
            Child::run(|| i32::from(mapping.touch(PAGE)))
        })?;
        if let Some(child) = child {
            let code = child.wait()?.exit_status();
            equal("what a child reads", code, Some(expected))?;
        }
        Ok(())
    })
}

/// The middle of a mapping goes, then the buffer, and then the rest.
fn split_and_close() -> Outcome {
    let pattern = Pattern::new(3);
    let memfd = memfd(pattern)?;
    Sweep::over("split_and_close").run(|site| {
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let (front, rest) = buffer.map(Access::Read)?.split(2 * PAGE);
        let (mut middle, back) = rest.split(2 * PAGE);
        pattern.check_in(&front, 0, 2 * PAGE)?;
        site.at_last("unmap", || middle.truncate(PAGE))?;
        site.within("close", &[], || {
            drop(buffer);
            Ok(())
        })?;
        let mut bytes = vec![0; PAGE];
        back.read(0, &mut bytes);
        pattern.check(4 * PAGE, &bytes)?;
        Ok(())
    })
}
