// SPDX-License-Identifier: GPL-2.0

//! What a memfd was opened for. A buffer can be read and written, by devices too, so its memfd must
//! have been opened for both: as for a shared mapping that can be written.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::fs::SealFlags;

use selftests::Access;
use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::tests;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    memfd_without_all_access,
    memfd_of_huge_pages_without_all_access,
    other_errors_before_access,
    memfd_opened_again,
];

/// Opens the file behind a descriptor once more.
pub fn reopen(file: &impl AsFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    fs::open(path, flags | OFlags::CLOEXEC, Mode::empty())
}

fn need_check() -> Outcome {
    match Driver::under_test() {
        Driver::C => skip("a driver that looks at how the memfd was opened"),
        Driver::Rust => Ok(()),
    }
}

/// Neither request takes less than mmap() wants; the same file with all access is taken.
fn all_access_needed(backing: Backing, size: usize) -> Outcome {
    need_check()?;
    let device = Udmabuf::open()?;
    let memfd = Memfd::builder(size).backing(backing).create()?;
    for (what, flags) in [
        ("for reading", OFlags::RDONLY),
        ("for writing", OFlags::WRONLY),
    ] {
        let file = reopen(&memfd, flags)?;
        let item = Item::new(&file, 0, size as u64);
        errno(
            format_args!("mapped, opened {what}"),
            Mapping::shared(&file, 0, size, Access::ReadWrite),
            Errno::ACCESS,
        )?;
        refused(what, || device.create(item), Errno::ACCESS)?;
        refused(what, || device.create_list(&[item]), Errno::ACCESS)?;
        let behind = [memfd.whole(), item, memfd.whole()];
        refused(what, || device.create_list(&behind), Errno::ACCESS)?;
    }
    equal("size", device.create(memfd.whole())?.size()?, size)
}

fn memfd_without_all_access() -> Outcome {
    all_access_needed(Backing::Base, PAGE)
}

fn memfd_of_huge_pages_without_all_access() -> Outcome {
    if hugepage::free()? == 0 {
        return skip("a free huge page");
    }
    all_access_needed(Backing::Huge, HUGE_PAGE)
}

/// Whatever is refused for another reason as well has the error that it always had.
fn other_errors_before_access() -> Outcome {
    let device = Udmabuf::open()?;
    let null = fs::open("/dev/null", OFlags::RDONLY, Mode::empty())?;
    let item = Item::new(&null, 0, PAGE as u64);
    refused("no memfd", || device.create(item), Errno::BADFD)?;
    for seals in [
        SealFlags::empty(),
        SealFlags::GROW,
        SealFlags::SHRINK | SealFlags::WRITE,
        SealFlags::SHRINK | SealFlags::FUTURE_WRITE,
    ] {
        let memfd = Memfd::builder(PAGE).seals(seals).create()?;
        let read_only = reopen(&memfd, OFlags::RDONLY)?;
        let item = Item::new(&read_only, 0, PAGE as u64);
        refused(
            format_args!("seals {seals:?}"),
            || device.create(item),
            Errno::INVAL,
        )?;
    }
    let memfd = Memfd::new(PAGE)?;
    let read_only = reopen(&memfd, OFlags::RDONLY)?;
    for (offset, size) in [(1, PAGE as u64), (0, 0), (0, 1)] {
        let item = Item::new(&read_only, offset, size);
        refused("misaligned or empty", || device.create(item), Errno::INVAL)?;
    }
    Ok(())
}

/// Not the descriptor matters that came first, but what this one was opened for.
fn memfd_opened_again() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let again = reopen(&memfd, OFlags::RDWR)?;
    drop(memfd);
    let item = Item::new(&again, 0, PAGE as u64);
    equal("size", device.create(item)?.size()?, PAGE)
}
