// SPDX-License-Identifier: GPL-2.0

//! A driver that accesses the buffer by CPU, through vmap.

use selftests::Access;
use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::errno;
use selftests::tests;

use rustix::fs::SealFlags;

use crate::setup;

pub const TESTS: &[Test] = tests![
    kernel_and_program,
    kernel_in_scattered_pages,
    kernel_and_device,
    kernel_beyond_end,
    kernel_lets_go,
];

/// Start, middle and end of a range that starts inside a huge page.
fn kernel_and_program() -> Outcome {
    let edu = setup::edu(0)?;
    for backing in Backing::ALL {
        let memfd = setup::memfd(backing, 2 * HUGE_PAGE)?;
        let size = HUGE_PAGE + 3 * PAGE;
        let buffer = Udmabuf::open()?.create(memfd.range(5 * PAGE, size))?;
        let memory = buffer.map(Access::ReadWrite)?;
        let before = Pattern::new(100);
        let bracket = buffer.begin(Access::Write)?;
        before.write_to(&memory, 0, size);
        bracket.end()?;
        let written = Pattern::new(101);
        for (at, len) in [
            (0, 1),
            (PAGE - 3, 9000),
            (size / 2, PAGE),
            (size - 100, 100),
        ] {
            let mut bytes = vec![0; len];
            edu.vmap_read(&buffer, at, &mut bytes)?;
            before.check(at, &bytes)?;
            edu.vmap_write(&buffer, at, &written.bytes(at, len))?;
            let bracket = buffer.begin(Access::Read)?;
            written.check_in(&memory, at, len)?;
            before.check_in(&memory, at + len, (size - at - len).min(PAGE))?;
            bracket.end()?;
        }
    }
    Ok(())
}

fn kernel_in_scattered_pages() -> Outcome {
    let edu = setup::edu(0)?;
    let base = setup::memfd(Backing::Base, 64 * PAGE)?;
    let huge = setup::memfd(Backing::Huge, HUGE_PAGE)?;
    let buffer = Udmabuf::open()?.create_list(&[
        base.range(60 * PAGE, 4 * PAGE),
        huge.range(7 * PAGE, 3 * PAGE),
        base.range(0, PAGE),
        huge.range(0, 2 * PAGE),
    ])?;
    let pattern = Pattern::new(102);
    edu.vmap_write(&buffer, 0, &pattern.bytes(0, 10 * PAGE))?;
    pattern.check_in(&buffer.map(Access::Read)?, 0, 10 * PAGE)?;
    // Where the pieces come from.
    let mut bytes = vec![0; PAGE];
    base.map()?.read(0, &mut bytes);
    pattern.check(7 * PAGE, &bytes)?;
    huge.map()?.read(9 * PAGE, &mut bytes);
    pattern.check(6 * PAGE, &bytes)?;
    Ok(())
}

/// The kernel's access is bracketed like a program's.
fn kernel_and_device() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = setup::memfd(Backing::Base, 8 * PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let window = Window {
        at: 3 * PAGE + 77,
        len: 4000,
    };
    let ours = Pattern::new(103);
    edu.vmap_write(&buffer, 0, &ours.bytes(0, 8 * PAGE))?;
    window.device_sees(&mapping, ours)?;
    let theirs = Pattern::new(104);
    window.device_writes(&mapping, theirs)?;
    let mut bytes = vec![0; window.len];
    edu.vmap_read(&buffer, window.at, &mut bytes)?;
    theirs.check(window.at, &bytes)?;
    Ok(())
}

fn kernel_beyond_end() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = setup::memfd(Backing::Base, PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    errno(
        "a byte too many",
        edu.vmap_write(&buffer, 1, &[0; PAGE]),
        Errno::INVAL,
    )?;
    errno(
        "behind the end",
        edu.vmap_read(&buffer, PAGE, &mut [0]),
        Errno::INVAL,
    )
}

/// A kernel mapping holds the buffer, in one piece or in several, and no longer than it is there: without
/// pins the memfd can be sealed.
fn kernel_lets_go() -> Outcome {
    let edu = setup::edu(0)?;
    let memfd = setup::memfd(Backing::Base, 8 * PAGE)?;
    for ranges in [
        vec![memfd.range(0, PAGE)],
        vec![memfd.range(4 * PAGE, 4 * PAGE), memfd.range(0, PAGE)],
    ] {
        let buffer = Udmabuf::open()?.create_list(&ranges)?;
        edu.vmap_write(&buffer, 0, &[1; PAGE])?;
        errno(
            "sealed while it is pinned",
            memfd.add_seals(SealFlags::WRITE),
            Errno::BUSY,
        )?;
    }
    memfd.add_seals(SealFlags::WRITE)?;
    Ok(())
}
