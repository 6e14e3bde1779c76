// SPDX-License-Identifier: GPL-2.0

//! Wayland compositors: shared-memory pools of their clients become textures without a copy.

use std::os::fd::AsFd;

use rustix::fs::OFlags;
use rustix::fs::SealFlags;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::tests;
use selftests::udmabuf::DEVICE;

pub const TESTS: &[Test] = tests![kwin, smithay, jay, wlroots, weston];

/// A client's pool with several frames in it: one buffer over the whole pool for each frame in
/// flight, so the same pages are in many buffers.
fn kwin() -> Outcome {
    let device = Udmabuf::open()?;
    let frame = 30 * PAGE;
    let pool = Memfd::builder(3 * frame)
        .seals(SealFlags::SHRINK)
        .create()?;
    let drawing = pool.map()?;
    let imported: Vec<DmaBuf> = (0..6)
        .map(|_| device.create(pool.whole()))
        .collect::<Result<_, _>>()?;
    for (number, buffer) in imported.iter().enumerate() {
        let picture = Pattern::new(40 + number as u64);
        let at = number % 3 * frame;
        picture.write_to(&drawing, at, frame);
        let reading = buffer.begin(Access::Read)?;
        picture.check_in(&buffer.map(Access::Read)?, at, frame)?;
        reading.end()?;
    }
    // A pool may grow; the buffers stay as they are.
    pool.resize(4 * frame)?;
    equal("size", imported[0].size()?, 3 * frame)?;
    equal(
        "size",
        device.create(pool.range(0, 4 * frame))?.size()?,
        4 * frame,
    )
}

/// A pool that its client did not seal is not imported but copied.
fn smithay() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR | OFlags::CLOEXEC)?;
    let unsealed = Memfd::builder(8 * PAGE)
        .seals(SealFlags::empty())
        .create()?;
    errno(
        "unsealed pool",
        device.create(unsealed.whole()),
        Errno::INVAL,
    )?;
    // The compositor may seal it, where its client allows that.
    unsealed.add_seals(SealFlags::SHRINK)?;
    let buffer = device.create(unsealed.range(2 * PAGE, 4 * PAGE))?;
    equal("size", buffer.size()?, 4 * PAGE)
}

/// Makes buffers of its own, knows them again by the name of their exporter, and writes them
/// through a mapping of the dma-buf.
fn jay() -> Outcome {
    let device = Udmabuf::open()?;
    let buffer = device.create(Memfd::new(20 * PAGE)?.whole())?;
    equal("exporter", buffer.exporter()?, "udmabuf".to_owned())?;
    let memory = buffer.map(Access::ReadWrite)?;
    let picture = Pattern::new(50);
    let writing = buffer.begin(Access::Write)?;
    picture.write_to(&memory, 0, 20 * PAGE);
    writing.end()?;
    let whole = Window {
        at: 0,
        len: 20 * PAGE,
    };
    whole.cpu_sees(&buffer, &buffer.map(Access::Read)?, picture)
}

/// A frame somewhere in a large pool: the offset is rounded down to a page, the size up.
fn wlroots() -> Outcome {
    let device = Udmabuf::open()?;
    let pool = Memfd::new(256 * PAGE)?;
    let (offset, size) = (37 * PAGE + 512, 11 * PAGE + 100);
    let picture = Pattern::new(51);
    picture.write_to(&pool.map()?, offset, size);
    let start = offset / PAGE * PAGE;
    let end = (offset + size).next_multiple_of(PAGE);
    let buffer = device.create(pool.range(start, end - start))?;
    let mut bytes = vec![0; size];
    let reading = buffer.begin(Access::Read)?;
    buffer.map(Access::Read)?.read(offset - start, &mut bytes);
    reading.end()?;
    picture.check(offset, &bytes)?;
    Ok(())
}

/// Clients of the test suite: they draw in brackets for both, and repeat interrupted calls.
fn weston() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR)?;
    let memfd = Memfd::new(12 * PAGE)?;
    let item = Item::new(&memfd.as_fd(), 0, 12 * PAGE as u64);
    let buffer = device.create(item)?;
    let memory = buffer.map(Access::ReadWrite)?;
    for seed in 52..56 {
        let picture = Pattern::new(seed);
        let drawing = buffer.begin(Access::ReadWrite)?;
        picture.write_to(&memory, 0, 12 * PAGE);
        drawing.end()?;
        let whole = Window {
            at: 0,
            len: 12 * PAGE,
        };
        whole.cpu_sees(&buffer, &memory, picture)?;
    }
    Ok(())
}
