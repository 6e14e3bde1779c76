// SPDX-License-Identifier: GPL-2.0

//! Virtual machine monitors: pages of guest memory become the guest's display buffer.

use rustix::fs::OFlags;
use rustix::fs::SealFlags;
use rustix::pipe;

use selftests::Access;
use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::abi;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::tests;
use selftests::udmabuf::DEVICE;

pub const TESTS: &[Test] = tests![qemu, qemu_falls_back, crosvm, libkrun];

/// The seals of guest memory: its size is fixed, and nobody changes the seals.
fn guest_seals() -> SealFlags {
    SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL
}

/// The guest describes a 640x480 framebuffer by scattered slices of its memory. QEMU makes one
/// buffer of them, maps it, and reads what the guest draws.
fn qemu() -> Outcome {
    const FRAME: usize = 640 * 480 * 4;
    let ram = Memfd::builder(64 << 20).seals(guest_seals()).create()?;
    let guest = ram.map()?;
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR | OFlags::CLOEXEC)?;

    // All its pages, in slices of one to seven pages, from the top of memory to the bottom.
    let mut slices = Vec::new();
    let (mut page, mut left) = (ram.size() / PAGE, FRAME / PAGE);
    while left > 0 {
        let len = (1 + slices.len() % 7).min(left);
        page -= len + 13;
        left -= len;
        slices.push(ram.range(page * PAGE, len * PAGE));
    }
    let frame = device.create_list_with(&slices, abi::UDMABUF_FLAGS_CLOEXEC)?;
    equal("size", frame.size()?, FRAME)?;
    let shown = frame.map(Access::ReadWrite)?;

    for seed in [1, 2] {
        let drawn = Pattern::new(seed);
        let mut at = 0;
        for slice in &slices {
            guest.write(slice.offset as usize, &drawn.bytes(at, slice.size as usize));
            at += slice.size as usize;
        }
        drawn.check_in(&shown, 0, FRAME)?;
    }
    Ok(())
}

/// Memory that is no memfd, as a device's own, is told by the error, and goes another way then.
fn qemu_falls_back() -> Outcome {
    let device = Udmabuf::open()?;
    let (device_memory, _writer) = pipe::pipe()?;
    let item = Item::new(&device_memory, 0, PAGE as u64);
    errno("no memfd", device.create_list(&[item]), Errno::BADFD)?;
    let unsealed = Memfd::builder(PAGE).seals(SealFlags::empty()).create()?;
    errno(
        "no seals",
        device.create_list(&[unsealed.whole()]),
        Errno::INVAL,
    )
}

/// Regions of guest memory, each with a memfd of its own, and one item alone.
fn crosvm() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDWR | OFlags::CLOEXEC)?;
    let low = Memfd::builder(1 << 20).seals(guest_seals()).create()?;
    let high = Memfd::builder(4 << 20).seals(guest_seals()).create()?;
    let pattern = Pattern::new(3);
    high.map()?.write(5 * PAGE, &pattern.bytes(0, 2 * PAGE));
    low.map()?.write(0, &pattern.bytes(2 * PAGE, PAGE));
    let items = [high.range(5 * PAGE, 2 * PAGE), low.range(0, PAGE)];
    let buffer = device.create_list(&items)?;
    pattern.check_in(&buffer.map(Access::Read)?, 0, 3 * PAGE)?;

    let one = device.create_list(&items[1..])?;
    equal("size", one.size()?, PAGE)?;
    // An offset that is not a page's is the caller's mistake.
    errno(
        "offset 1",
        device.create_list(&[low.range(1, PAGE)]),
        Errno::INVAL,
    )
}

/// The same through a device opened for reading only.
fn libkrun() -> Outcome {
    let device = Udmabuf::open_with(DEVICE, OFlags::RDONLY | OFlags::CLOEXEC)?;
    let ram = Memfd::builder(16 << 20).seals(guest_seals()).create()?;
    let items = [ram.range(9 * PAGE, PAGE), ram.range(0, 4 * PAGE)];
    let buffer = device.create_list(&items)?;
    let pattern = Pattern::new(4);
    let mapping = buffer.map(Access::ReadWrite)?;
    pattern.write_to(&mapping, 0, 5 * PAGE);
    let mut bytes = vec![0; PAGE];
    ram.map()?.read(9 * PAGE, &mut bytes);
    pattern.check(0, &bytes)?;
    Ok(())
}
