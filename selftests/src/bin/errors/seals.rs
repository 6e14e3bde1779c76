// SPDX-License-Identifier: GPL-2.0

//! Seals: F_SEAL_SHRINK must be there, F_SEAL_WRITE and F_SEAL_FUTURE_WRITE must not.

use rustix::fs;
use rustix::fs::MemfdFlags;
use rustix::fs::SealFlags;

use selftests::Backing;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    accepted_seals,
    refused_seals,
    seals_of_huge_pages,
    sealing_not_allowed,
    not_executable,
    unsealed_behind_good_one,
];

const SHRINK: SealFlags = SealFlags::SHRINK;
const GROW: SealFlags = SealFlags::GROW;
const SEAL: SealFlags = SealFlags::SEAL;
const WRITE: SealFlags = SealFlags::WRITE;
const FUTURE_WRITE: SealFlags = SealFlags::FUTURE_WRITE;

/// Sets of seals that let devices write for as long as the buffer lives.
const GOOD: [SealFlags; 4] = [
    SHRINK,
    SHRINK.union(GROW),
    SHRINK.union(SEAL),
    SHRINK.union(GROW).union(SEAL),
];

/// Sets that do not, or that let the file lose pages.
const BAD: [SealFlags; 8] = [
    SealFlags::empty(),
    GROW,
    SEAL,
    WRITE,
    SHRINK.union(WRITE),
    SHRINK.union(FUTURE_WRITE),
    SHRINK.union(WRITE).union(FUTURE_WRITE),
    SHRINK.union(GROW).union(SEAL).union(FUTURE_WRITE),
];

fn accepted_seals() -> Outcome {
    let device = Udmabuf::open()?;
    for seals in GOOD {
        let memfd = Memfd::builder(PAGE).seals(seals).create()?;
        equal(
            format_args!("{seals:?}"),
            device.create(memfd.whole())?.size()?,
            PAGE,
        )?;
    }
    Ok(())
}

fn refused_seals() -> Outcome {
    let device = Udmabuf::open()?;
    for seals in BAD {
        let memfd = Memfd::builder(PAGE).seals(seals).create()?;
        let what = format!("{seals:?}");
        refused(&what, || device.create(memfd.whole()), Errno::INVAL)?;
        refused(&what, || device.create_list(&[memfd.whole()]), Errno::INVAL)?;
    }
    Ok(())
}

fn seals_of_huge_pages() -> Outcome {
    if hugepage::free()? == 0 {
        return skip("a free huge page");
    }
    let device = Udmabuf::open()?;
    let huge = Memfd::builder(HUGE_PAGE).backing(Backing::Huge);
    for seals in BAD {
        let memfd = huge.seals(seals).create()?;
        refused(
            format_args!("{seals:?}"),
            || device.create(memfd.whole()),
            Errno::INVAL,
        )?;
    }
    for seals in GOOD {
        let memfd = huge.seals(seals).create()?;
        equal(
            format_args!("{seals:?}"),
            device.create(memfd.whole())?.size()?,
            HUGE_PAGE,
        )?;
    }
    Ok(())
}

/// A memfd made without MFD_ALLOW_SEALING has F_SEAL_SEAL and can get no other.
fn sealing_not_allowed() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = fs::memfd_create("selftest", MemfdFlags::CLOEXEC)?;
    fs::ftruncate(&memfd, PAGE as u64)?;
    let item = Item::new(&memfd, 0, PAGE as u64);
    refused("no sealing", || device.create(item), Errno::INVAL)
}

/// F_SEAL_EXEC on a file that is not executable, as MFD_NOEXEC_SEAL sets it, is of no concern.
fn not_executable() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = fs::memfd_create("selftest", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL)?;
    fs::ftruncate(&memfd, PAGE as u64)?;
    let item = Item::new(&memfd, 0, PAGE as u64);
    refused("F_SEAL_EXEC alone", || device.create(item), Errno::INVAL)?;
    fs::fcntl_add_seals(&memfd, SHRINK)?;
    equal("size", device.create(item)?.size()?, PAGE)
}

fn unsealed_behind_good_one() -> Outcome {
    let device = Udmabuf::open()?;
    let good = Memfd::new(64 * PAGE)?;
    for seals in BAD {
        let bad = Memfd::builder(PAGE).seals(seals).create()?;
        let items = [good.whole(), bad.whole(), good.whole()];
        refused(
            format_args!("{seals:?}"),
            || device.create_list(&items),
            Errno::INVAL,
        )?;
    }
    Ok(())
}
