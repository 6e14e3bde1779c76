// SPDX-License-Identifier: GPL-2.0

//! The CPU's side: mappings, and brackets without a device.

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
use crate::site::sweep;

pub const TESTS: &[Test] = tests![map_and_touch, map_and_fork, bracket_without_device];

/// Pages of the buffer.
const PAGES: usize = 8;

/// A page that cannot be mapped is tried again by the kernel, and is there then.
fn map_and_touch() -> Outcome {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let pattern = Pattern::new(1);
    pattern.write_to(&memfd.map()?, 0, PAGES * PAGE);
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    sweep(usize::MAX, 1, |site| {
        let mapped = site.within("map", SHORT, || buffer.map(Access::ReadWrite))?;
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
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map(Access::ReadWrite)?;
    mapping.touch_every_page();
    sweep(usize::MAX, 1, |site| {
        let child = site.within("fork", SHORT, || {
            Child::run(|| i32::from(mapping.touch(PAGE)))
        })?;
        if let Some(child) = child {
            equal("what a child reads", child.wait()?.exit_status(), Some(0))?;
        }
        Ok(())
    })
}

fn bracket_without_device() -> Outcome {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    sweep(usize::MAX, 1, |site| {
        for access in Access::ALL {
            if site
                .within("begin", SHORT, || buffer.start(access))?
                .is_some()
            {
                site.within("end", SHORT, || buffer.finish(access))?;
            }
        }
        Ok(())
    })
}
