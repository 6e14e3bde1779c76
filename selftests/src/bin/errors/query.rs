// SPDX-License-Identifier: GPL-2.0

//! What UDMABUF_QUERY refuses, and what it says without a buffer.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::thread;

use rustix::event;
use rustix::event::EventfdFlags;
use rustix::fs;
use rustix::fs::Mode as FileMode;
use rustix::fs::OFlags;
use rustix::pipe;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Heap;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::sys::descriptor;
use selftests::sys::ioctl;
use selftests::tests;

use crate::ours;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    query_without_buffer,
    query_flags,
    query_ignores_what_it_fills_in,
    query_of_no_descriptor,
    query_of_other_files,
    query_of_another_exporter,
    query_into_read_only_memory,
    query_while_descriptors_are_closed,
    query_while_descriptors_are_replaced,
];

/// The bit of a call among `calls`.
fn bit(request: u32) -> u64 {
    1 << ((request & 0xff) - 0x40)
}

/// What is known without a buffer, and nothing else.
fn features() -> abi::udmabuf_query {
    abi::udmabuf_query {
        fd: -1,
        version: 1,
        modes: 1 << abi::UDMABUF_MODE_DMA_API
            | 1 << abi::UDMABUF_MODE_CPU_COHERENT
            | 1 << abi::UDMABUF_MODE_ATOMIC_COHERENT,
        calls: [
            abi::REQUEST_UDMABUF_CREATE,
            abi::REQUEST_UDMABUF_CREATE_LIST,
            abi::REQUEST_UDMABUF_QUERY,
            abi::REQUEST_UDMABUF_CREATE_EXT,
            abi::REQUEST_UDMABUF_SYNC_RANGE,
        ]
        .map(bit)
        .into_iter()
        .sum(),
        ..Default::default()
    }
}

/// All fields, for comparison.
pub fn text(query: &abi::udmabuf_query) -> String {
    format!("{query:?}")
}

fn query_without_buffer() -> Outcome {
    let device = ours::device()?;
    let found = device.features()?;
    equal("features", text(&found), text(&features()))?;
    // Nor does the number of files that are open matter.
    let (_memfd, buffer) = ours::pages(&device, 1)?;
    equal("features", text(&device.features()?), text(&features()))?;
    drop(buffer);
    Ok(())
}

/// A query with flags.
fn flagged(device: &Udmabuf, fd: i32, flags: u32) -> Result<(), Errno> {
    let mut query = abi::udmabuf_query {
        fd,
        flags,
        ..Default::default()
    };
    ioctl::call(device, &mut query).map(drop)
}

fn query_flags() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, 1)?;
    for fd in [buffer.as_fd().as_raw_fd(), -1] {
        for flags in (0..32).map(|bit| 1 << bit).chain([u32::MAX]) {
            refused(
                format_args!("flags {flags:#x}, descriptor {fd}"),
                || flagged(&device, fd, flags),
                Errno::INVAL,
            )?;
        }
        flagged(&device, fd, 0)?;
    }
    Ok(())
}

/// Fields that go out may have anything in them before.
fn query_ignores_what_it_fills_in() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, 3)?;
    let fd = buffer.as_fd().as_raw_fd();
    let clean = device.query(&buffer)?;
    let memory = Mapping::memory(PAGE)?;
    let size = size_of::<abi::udmabuf_query>();
    let ask = |fd: i32, rest: u8| -> Outcome<Vec<u8>> {
        memory.write(0, &vec![rest; size]);
        memory.write(0, &[fd as u32, 0].map(u32::to_ne_bytes).concat());
        ioctl::udmabuf_in(&device, abi::REQUEST_UDMABUF_QUERY, &memory, 0)?;
        let mut bytes = vec![0; size];
        memory.read(0, &mut bytes);
        Ok(bytes)
    };
    equal("a query over garbage", ask(fd, 0xff)?, ask(fd, 0)?)?;
    equal("size", clean.size, 3 * PAGE as u64)
}

fn query_of_no_descriptor() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, 1)?;
    let closed = buffer.as_fd().as_raw_fd() + 100;
    for fd in [closed, 1 << 20, i32::MAX, -2, i32::MIN] {
        refused(
            format_args!("descriptor {fd}"),
            || device.query_number(fd),
            Errno::BADF,
        )?;
    }
    let number = buffer.as_fd().as_raw_fd();
    drop(buffer);
    refused("closed", || device.query_number(number), Errno::BADF)
}

/// Every kind of file that is no dma-buf at all.
pub fn others(each: impl Fn(&str, BorrowedFd<'_>) -> Outcome) -> Outcome {
    let memfd = Memfd::new(PAGE)?;
    each("a memfd", memfd.as_fd())?;
    each("the device", Udmabuf::open()?.as_fd())?;
    each("a regular file", File::open("/proc/version")?.as_fd())?;
    each("a directory", File::open("/tmp")?.as_fd())?;
    each("/dev/zero", File::open("/dev/zero")?.as_fd())?;
    each("a pipe", pipe::pipe()?.0.as_fd())?;
    each(
        "an eventfd",
        event::eventfd(0, EventfdFlags::CLOEXEC)?.as_fd(),
    )
}

fn query_of_other_files() -> Outcome {
    let device = ours::device()?;
    others(|name, file| refused(name, || device.query_number(file.as_raw_fd()), Errno::INVAL))?;
    // A descriptor that only names a buffer gives no access to it.
    let (_memfd, buffer) = ours::pages(&device, 1)?;
    let path = format!("/proc/self/fd/{}", buffer.as_fd().as_raw_fd());
    let path = fs::open(path, OFlags::PATH | OFlags::CLOEXEC, FileMode::empty())?;
    refused(
        "O_PATH",
        || device.query_number(path.as_raw_fd()),
        Errno::BADF,
    )
}

/// A buffer of the system heap, or a skipped test.
pub fn of_heap() -> Outcome<DmaBuf> {
    match Heap::open() {
        Err(Errno::NOENT) => skip("the system heap: CONFIG_DMABUF_HEAPS_SYSTEM"),
        heap => Ok(heap?.allocate(PAGE)?),
    }
}

/// What is behind it is laid out as that exporter likes.
fn query_of_another_exporter() -> Outcome {
    let device = ours::device()?;
    let buffer = of_heap()?;
    refused("the heap's", || device.query(&buffer), Errno::INVAL)
}

/// The answer cannot be given.
fn query_into_read_only_memory() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, 1)?;
    let memory = Mapping::memory(PAGE)?;
    memory.write(0, &buffer.as_fd().as_raw_fd().to_ne_bytes());
    memory.protect(0, PAGE, Some(Access::Read))?;
    let ask = || ioctl::udmabuf_in(&device, abi::REQUEST_UDMABUF_QUERY, &memory, 0);
    refused("read-only", ask, Errno::FAULT)?;
    memory.protect(0, PAGE, Some(Access::ReadWrite))?;
    ask()?;
    Ok(())
}

/// How many calls are made beside another thread.
const BESIDE: usize = 20_000;

/// A thread opens and closes buffers under a number that another one asks about.
fn query_while_descriptors_are_closed() -> Outcome {
    let device = ours::device()?;
    let memfd = Memfd::new(PAGE)?;
    let (number, done) = (AtomicI32::new(-1), AtomicBool::new(false));
    let [found, gone] = [0, 0].map(AtomicUsize::new);
    thread::scope(|scope| -> Outcome {
        let closer = scope.spawn(|| -> Result<(), Errno> {
            // Every other one is closed at once, and the others a little later: where CPUs take turns,
            // one that is open has to be there when a turn ends.
            let (mut held, mut later) = (None, false);
            while !done.load(Ordering::Relaxed) {
                let buffer = device.create(memfd.whole())?;
                number.store(buffer.as_fd().as_raw_fd(), Ordering::Relaxed);
                later = !later;
                held = later.then_some(buffer);
            }
            drop(held);
            Ok(())
        });
        let asking = || -> Outcome {
            for _ in 0..BESIDE {
                let fd = number.load(Ordering::Relaxed);
                match device.query_number(fd) {
                    Ok(query) if fd == -1 => equal("size", query.size, 0)?,
                    Ok(query) => {
                        found.fetch_add(1, Ordering::Relaxed);
                        equal("size", query.size, PAGE as u64)?;
                    }
                    result => {
                        gone.fetch_add(1, Ordering::Relaxed);
                        errno("closed meanwhile", result, Errno::BADF)?;
                    }
                }
            }
            Ok(())
        };
        let asked = asking();
        done.store(true, Ordering::Relaxed);
        closer
            .join()
            .map_err(|_| "the other thread panicked".to_owned())??;
        asked
    })?;
    let [found, gone] = [found, gone].map(AtomicUsize::into_inner);
    println!("# {found} found, {gone} gone");
    check("some were found", found > 0)
}

/// One number stands for a buffer of ours, for one of another exporter and for no buffer, in turns.
fn query_while_descriptors_are_replaced() -> Outcome {
    let device = ours::device()?;
    let (_memfd, buffer) = ours::pages(&device, 2)?;
    let heap = of_heap()?;
    let place = buffer.duplicate()?;
    let done = AtomicBool::new(false);
    let [found, refused] = thread::scope(|scope| -> Outcome<[usize; 2]> {
        let changing = scope.spawn(|| -> Outcome {
            while !done.load(Ordering::Relaxed) {
                descriptor::replace(&place, &heap)?;
                descriptor::replace(&place, &device)?;
                descriptor::replace(&place, &buffer)?;
            }
            Ok(())
        });
        let mut counts = [0; 2];
        let mut asking = || -> Outcome {
            for _ in 0..BESIDE / 2 {
                match device.query(&place) {
                    Ok(query) => {
                        counts[0] += 1;
                        equal("size", query.size, 2 * PAGE as u64)?;
                    }
                    result => {
                        counts[1] += 1;
                        errno("another one", result, Errno::INVAL)?;
                    }
                }
                match device.sync_range(&place, abi::SYNC_READ, 0, 1) {
                    Ok(()) => {}
                    result => errno("a range of another one", result, Errno::INVAL)?,
                }
            }
            Ok(())
        };
        let asked = asking();
        done.store(true, Ordering::Relaxed);
        changing
            .join()
            .map_err(|_| "the other thread panicked".to_owned())??;
        asked.map(|()| counts)
    })?;
    println!("# {found} of ours, {refused} others");
    check("both were met", found > 0 && refused > 0)
}
