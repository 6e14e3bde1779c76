// SPDX-License-Identifier: GPL-2.0

//! Descriptors that lead to nothing, or to something that is no memfd.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use rustix::event;
use rustix::event::EventfdFlags;
use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::pipe;

use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::tests;

use crate::opened::reopen;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    closed_descriptor,
    descriptor_out_of_range,
    regular_file,
    directory,
    pipe_end,
    eventfd,
    character_device,
    device_itself,
    dma_buf_itself,
    path_descriptor,
    tmpfs_file,
    bad_descriptor_behind_good_one,
];

/// One page of whatever the descriptor leads to.
fn page_of(file: &impl AsFd) -> Item {
    Item::new(file, 0, PAGE as u64)
}

/// Both requests refuse the descriptor with EBADFD.
#[track_caller]
fn no_memfd(what: &str, item: Item) -> Outcome {
    let device = Udmabuf::open()?;
    refused(what, || device.create(item), Errno::BADFD)?;
    refused(what, || device.create_list(&[item]), Errno::BADFD)
}

fn closed_descriptor() -> Outcome {
    let memfd = Memfd::new(PAGE)?;
    let item = memfd.whole();
    let number = memfd.as_fd().as_raw_fd();
    drop(memfd);
    // The device must not take the number.
    let _placeholders: Vec<File> = (0..2)
        .map(|_| File::open("/dev/null"))
        .collect::<Result<_, _>>()?;
    equal("number is reused", _placeholders[0].as_raw_fd(), number)?;
    let closed = Item {
        memfd: number as u32 + 100,
        ..item
    };
    no_memfd("closed", closed)
}

fn descriptor_out_of_range() -> Outcome {
    for memfd in [1 << 20, i32::MAX as u32, 1 << 31, u32::MAX] {
        no_memfd(
            "out of range",
            Item {
                memfd,
                offset: 0,
                size: PAGE as u64,
            },
        )?;
    }
    Ok(())
}

fn regular_file() -> Outcome {
    // In /proc, as a file of the root directory may lie in a tmpfs.
    no_memfd("regular file", page_of(&File::open("/proc/version")?))
}

fn directory() -> Outcome {
    no_memfd("directory", page_of(&File::open("/tmp")?))?;
    no_memfd("directory", page_of(&File::open("/proc")?))
}

fn pipe_end() -> Outcome {
    let (reader, writer) = pipe::pipe()?;
    no_memfd("reading end", page_of(&reader))?;
    no_memfd("writing end", page_of(&writer))
}

fn eventfd() -> Outcome {
    no_memfd(
        "eventfd",
        page_of(&event::eventfd(0, EventfdFlags::CLOEXEC)?),
    )
}

fn character_device() -> Outcome {
    no_memfd("/dev/null", page_of(&File::open("/dev/null")?))?;
    no_memfd("/dev/zero", page_of(&File::open("/dev/zero")?))
}

fn device_itself() -> Outcome {
    no_memfd("the device", page_of(&Udmabuf::open()?))
}

fn dma_buf_itself() -> Outcome {
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    no_memfd("a dma-buf", page_of(&buffer))
}

/// A descriptor opened with O_PATH names a file without giving access to it.
fn path_descriptor() -> Outcome {
    let memfd = Memfd::new(PAGE)?;
    no_memfd("O_PATH", page_of(&reopen(&memfd, OFlags::PATH)?))
}

/// A file in tmpfs has the pages of a memfd, but can have no seals.
fn tmpfs_file() -> Outcome {
    let device = Udmabuf::open()?;
    let file = fs::open(
        "/tmp",
        OFlags::RDWR | OFlags::TMPFILE,
        Mode::RUSR | Mode::WUSR,
    )?;
    fs::ftruncate(&file, PAGE as u64)?;
    refused("tmpfs", || device.create(page_of(&file)), Errno::INVAL)?;
    refused(
        "tmpfs",
        || device.create_list(&[page_of(&file)]),
        Errno::INVAL,
    )
}

fn bad_descriptor_behind_good_one() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(64 * PAGE)?;
    let closed = Item {
        memfd: u32::MAX,
        ..memfd.whole()
    };
    let pipe = pipe::pipe()?.0;
    let items = [memfd.whole(), closed];
    refused(
        "closed behind good",
        || device.create_list(&items),
        Errno::BADFD,
    )?;
    let items = [memfd.whole(), page_of(&pipe), memfd.whole()];
    refused(
        "pipe between good ones",
        || device.create_list(&items),
        Errno::BADFD,
    )
}
