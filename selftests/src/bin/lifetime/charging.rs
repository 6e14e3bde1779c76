// SPDX-License-Identifier: GPL-2.0

//! Who pays: what the driver allocates for a request is charged to the memory cgroup of the process
//! that asked.

use std::io::ErrorKind;

use rustix::io;
use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;

use selftests::DmaBuf;
use selftests::Errno;
use selftests::Heap;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::cgroup::Group;
use selftests::cgroup::Tree;
use selftests::driver::Driver;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::importer::Narrow;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::statistics;
use selftests::sys;
use selftests::tests;
use selftests::udmabuf::list_bytes;

pub const TESTS: &[Test] = tests![
    extents_are_charged,
    buffers_are_charged,
    lists_are_charged,
    shadows_are_charged,
    vecs_are_charged,
];

/// The groups, where the kernel has any.
fn groups() -> Outcome<Tree> {
    if Driver::under_test() == Driver::C {
        return skip("a driver that charges what it allocates");
    }
    match Tree::mount() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            skip("a kernel with memory cgroups")
        }
        tree => Ok(tree?),
    }
}

/// What the kernel charges to the group for buffers that one of its processes makes, in bytes.
fn charged(group: &Group<'_>, create: impl FnOnce() -> Result<Vec<DmaBuf>, Errno>) -> Outcome<u64> {
    let (before, buffers, after) = group.with(|| {
        let before = group.kernel_memory();
        let buffers = create();
        (before, buffers, group.kernel_memory())
    })?;
    drop(buffers?);
    Ok(after?.saturating_sub(before?))
}

/// An extent is 16 bytes, and each item has one of its own.
fn extents_are_charged() -> Outcome {
    const BUFFERS: usize = 64;
    const ITEMS: usize = 1024;

    let tree = groups()?;
    let group = tree.group("extents")?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let items = [memfd.whole(); ITEMS];
    let charged = charged(&group, || {
        (0..BUFFERS).map(|_| device.create_list(&items)).collect()
    })?;
    let least = (BUFFERS * ITEMS * 16) as u64;
    check(
        format_args!("{least} bytes or more are charged: {charged}"),
        charged >= least,
    )
}

/// Core and the file system allocate for each dma-buf, and charge part of it. The system heap, whose
/// own memory nobody pays for, shows how much that is.
fn buffers_are_charged() -> Outcome {
    /// A CPU charges 64 pages ahead (`MEMCG_CHARGE_BATCH`): so many that this does not count.
    const BUFFERS: usize = 4000;
    /// Less than the driver allocates for a buffer of one page.
    const LEAST: usize = 256;

    let tree = groups()?;
    let limit = Rlimit {
        current: Some(4 * BUFFERS as u64),
        maximum: Some(4 * BUFFERS as u64),
    };
    process::setrlimit(Resource::Nofile, limit)?;
    let device = Udmabuf::open()?;
    let heap = match Heap::open() {
        Err(Errno::NOENT) => return skip("the system heap: CONFIG_DMABUF_HEAPS_SYSTEM"),
        heap => heap?,
    };
    // The table of descriptors grows before anybody measures.
    drop(io::fcntl_dupfd_cloexec(&device, 2 * BUFFERS as i32)?);
    let memfd = Memfd::new(PAGE)?;
    drop(device.create(memfd.whole())?);

    let ours = charged(&tree.group("ours")?, || {
        (0..BUFFERS).map(|_| device.create(memfd.whole())).collect()
    })?;
    let heaps = charged(&tree.group("heaps")?, || {
        (0..BUFFERS).map(|_| heap.allocate(PAGE)).collect()
    })?;
    let least = heaps + (BUFFERS * LEAST) as u64;
    check(
        format_args!("{least} bytes or more are charged, {heaps} of them by others: {ours}"),
        ours >= least,
    )
}

/// The list is gone when the request returns; that it was charged is seen afterwards.
fn lists_are_charged() -> Outcome {
    const ITEMS: usize = 350_000;
    const LIST: usize = ITEMS * size_of::<abi::udmabuf_create_item>();

    let tree = groups()?;
    let group = tree.group("lists")?;
    let limit = Driver::under_test().parameter("list_limit");
    let _raised = limit.set(&ITEMS.to_string())?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let mut items = vec![memfd.whole(); ITEMS];
    // Refused when all of the list has been read, and before anything is done.
    items[ITEMS - 1] = Item {
        offset: 1,
        ..memfd.whole()
    };
    let list = list_bytes(0, ITEMS as u32, &items);
    let address = list.as_ptr() as usize;
    let (before, created, after) = group.with(|| {
        let before = group.peak();
        let created = sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE_LIST, address);
        (before, created, group.peak())
    })?;
    errno("misaligned item", created, Errno::INVAL)?;
    let (before, after) = (before?, after?);
    check(
        format_args!("{LIST} bytes or more are charged: {before} before, {after} after"),
        after >= before + LIST as u64,
    )
}

/// A device that works on a copy takes as much as the buffer, and as much again if it may write.
fn shadows_are_charged() -> Outcome {
    const SIZE: usize = 1 << 20;

    let tree = groups()?;
    let group = tree.group("shadows")?;
    let buffer = Udmabuf::open()?.create(Memfd::new(SIZE)?.whole())?;
    // Programs get memory from above 4 GiB first.
    let edu = Narrow::new(Edu::open(0)?, 32)?;
    let attachment = edu.attach(&buffer)?;
    let (before, mapping, after) = group.with(|| {
        let before = group.kernel_memory();
        let mapping = attachment.map(Direction::Bidirectional);
        (before, mapping, group.kernel_memory())
    })?;
    let mapping = mapping?;
    equal("shadows", statistics::counter("shadows")?, Some(1))?;
    drop(mapping);
    let charged = after?.saturating_sub(before?);
    let least = 2 * SIZE as u64;
    check(
        format_args!("{least} bytes or more are charged: {charged}"),
        charged >= least,
    )
}

/// The table of a mapping is, and if the importer wants an array instead, that comes on top: 16 bytes
/// for each piece.
fn vecs_are_charged() -> Outcome {
    const ITEMS: usize = 65_536;

    let tree = groups()?;
    let group = tree.group("vecs")?;
    let limit = Driver::under_test().parameter("list_limit");
    limit.raise(ITEMS as u32)?;
    let memfd = Memfd::new(PAGE)?;
    // The same page again and again lies nowhere side by side.
    let buffer = Udmabuf::open()?.create_list(&vec![memfd.whole(); ITEMS])?;
    let edu = Edu::open(0)?;
    let attachment = edu.attach(&buffer)?;
    let cost = |vecs: bool| -> Outcome<u64> {
        let (before, mapping, after) = group.with(|| {
            let before = group.kernel_memory();
            let mapping = match vecs {
                true => attachment.map_vecs(Direction::ToDevice),
                false => attachment.map(Direction::ToDevice),
            };
            (before, mapping, group.kernel_memory())
        })?;
        let mapping = match mapping {
            Err(Errno::OPNOTSUPP) => return skip("a driver that maps by dma_vec"),
            mapping => mapping?,
        };
        let pieces = mapping.segments() as usize;
        drop(mapping);
        equal("pieces", pieces, ITEMS)?;
        Ok(after?.saturating_sub(before?))
    };
    // With the first mapping, a device that works on a copy gets that.
    cost(false)?;
    let (table, array) = (cost(false)?, cost(true)?);
    let least = table + (ITEMS * 16) as u64 / 2;
    check(
        format_args!("{least} bytes or more are charged, {table} of them for the table: {array}"),
        array >= least,
    )
}
