// SPDX-License-Identifier: GPL-2.0

//! The module parameters list_limit and size_limit_mb.

use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::driver::Driver;
use selftests::driver::Parameter;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::sys;
use selftests::tests;
use selftests::udmabuf::list_bytes;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    parameters_as_documented,
    parameters_take_numbers_only,
    empty_list,
    list_limit_by_default,
    list_limit_changed,
    list_limit_zero,
    list_limit_highest,
    claimed_count_is_judged_before_the_list,
    size_limit,
    size_limit_of_the_sum,
    size_limit_zero,
    size_limit_highest,
];

/// One MiB in pages.
const MIB: usize = (1 << 20) / PAGE;

fn list_limit() -> Parameter {
    Driver::under_test().parameter("list_limit")
}

fn size_limit_mb() -> Parameter {
    Driver::under_test().parameter("size_limit_mb")
}

/// The limit of a module that was just loaded. Ours is what QEMU hands over at most.
fn default_list_limit() -> usize {
    match Driver::under_test() {
        Driver::C => 1024,
        Driver::Rust => 16384,
    }
}

fn parameters_as_documented() -> Outcome {
    equal(
        "list_limit",
        list_limit().get()?,
        default_list_limit().to_string(),
    )?;
    equal(
        "size_limit_mb",
        size_limit_mb().get()?,
        i32::MAX.to_string(),
    )?;
    equal("mode of list_limit", list_limit().mode()?, 0o644)?;
    equal("mode of size_limit_mb", size_limit_mb().mode()?, 0o644)
}

fn parameters_take_numbers_only() -> Outcome {
    for parameter in [list_limit(), size_limit_mb()] {
        for value in ["many", "4294967296", "1 2"] {
            let result = parameter
                .set(value)
                .map(drop)
                .map_err(|error| errno_of(&error));
            // Whether the number is malformed or too large is the kernel's own distinction.
            if result != Err(Errno::RANGE) {
                errno(format_args!("value \"{value}\""), result, Errno::INVAL)?;
            }
        }
        let negative = parameter
            .set("-1")
            .map(drop)
            .map_err(|error| errno_of(&error));
        match Driver::under_test() {
            // Its parameters are signed; -1 then counts as a huge limit.
            Driver::C => negative?,
            Driver::Rust => errno("value -1", negative, Errno::INVAL)?,
        }
    }
    Ok(())
}

fn errno_of(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn empty_list() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    refused("no items", || device.create_list(&[]), Errno::INVAL)?;
    let bytes = list_bytes(0, 0, &[memfd.whole()]);
    refused(
        "no items claimed",
        || create_from(&device, &bytes),
        Errno::INVAL,
    )
}

/// CREATE_LIST with bytes of the test's own making.
fn create_from(device: &Udmabuf, bytes: &[u8]) -> Result<(), Errno> {
    let address = bytes.as_ptr() as usize;
    sys::ioctl::create(device, abi::REQUEST_UDMABUF_CREATE_LIST, address).map(drop)
}

fn list_limit_by_default() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let limit = default_list_limit();
    let items = vec![memfd.whole(); limit + 1];
    refused(
        "one item too many",
        || device.create_list(&items),
        Errno::INVAL,
    )?;
    equal(
        "size",
        device.create_list(&items[..limit])?.size()?,
        limit * PAGE,
    )
}

fn list_limit_changed() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let items = [memfd.whole(); 1100];
    let parameter = list_limit();
    let lower = parameter.set("3")?;
    refused("4 items", || device.create_list(&items[..4]), Errno::INVAL)?;
    equal("size", device.create_list(&items[..3])?.size()?, 3 * PAGE)?;
    drop(lower);
    let _higher = parameter.set("1099")?;
    refused("1100 items", || device.create_list(&items), Errno::INVAL)?;
    equal(
        "size",
        device.create_list(&items[..1099])?.size()?,
        1099 * PAGE,
    )
}

/// A single range is no list.
fn list_limit_zero() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let parameter = list_limit();
    let _none = parameter.set("0")?;
    refused(
        "1 item",
        || device.create_list(&[memfd.whole()]),
        Errno::INVAL,
    )?;
    equal("size", device.create(memfd.whole())?.size()?, PAGE)
}

/// The size of the list in bytes must not wrap around.
fn list_limit_highest() -> Outcome {
    if Driver::under_test() == Driver::C {
        // It computes the size in 32 bits and then reads past the end of what it copied.
        return skip("a driver whose list size cannot overflow");
    }
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let parameter = list_limit();
    let _all = parameter.set(&u32::MAX.to_string())?;
    // 24 bytes an item: 2^32 bytes and eight more, for which one item would suffice.
    let wrapping = (1u64 << 32).div_ceil(24) as u32;
    for count in [wrapping, 2 * wrapping, u32::MAX] {
        let bytes = list_bytes(0, count, &[memfd.whole()]);
        let before = selftests::Ledger::now()?;
        match create_from(&device, &bytes) {
            // No memory for the list, or none behind the one item there is.
            Err(Errno::NOMEM | Errno::FAULT | Errno::INVAL) => {}
            other => errno(format_args!("{count} items"), other, Errno::NOMEM)?,
        }
        equal("left behind", selftests::Ledger::now()?, before)?;
    }
    equal(
        "size",
        device.create_list(&[memfd.whole(); 2000])?.size()?,
        2000 * PAGE,
    )
}

fn claimed_count_is_judged_before_the_list() -> Outcome {
    let device = Udmabuf::open()?;
    for count in [default_list_limit() as u32 + 1, 1 << 31, u32::MAX] {
        // There is no such list at all, and nobody looks for it.
        let bytes = list_bytes(0, count, &[]);
        refused(
            format_args!("{count} items"),
            || create_from(&device, &bytes),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn size_limit() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(3 * MIB * PAGE)?;
    let parameter = size_limit_mb();
    for limit in [1, 2] {
        let _limited = parameter.set(&limit.to_string())?;
        let pages = limit * MIB;
        let above = memfd.range(0, (pages + 1) * PAGE);
        refused(
            format_args!("{limit} MiB and a page"),
            || device.create(above),
            Errno::INVAL,
        )?;
        let at = memfd.range(0, pages * PAGE);
        equal("size", device.create(at)?.size()?, pages * PAGE)?;
        // Arithmetic first, descriptors later.
        let closed = Item {
            memfd: u32::MAX,
            ..above
        };
        refused(
            "closed and too long",
            || device.create(closed),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn size_limit_of_the_sum() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(MIB * PAGE)?;
    let parameter = size_limit_mb();
    let _limited = parameter.set("1")?;
    let half = memfd.range(0, MIB / 2 * PAGE);
    let page = memfd.range(0, PAGE);
    refused(
        "1 MiB and a page",
        || device.create_list(&[half, half, page]),
        Errno::INVAL,
    )?;
    equal(
        "size",
        device.create_list(&[half, half])?.size()?,
        MIB * PAGE,
    )
}

fn size_limit_zero() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let parameter = size_limit_mb();
    let _none = parameter.set("0")?;
    refused("a page", || device.create(memfd.whole()), Errno::INVAL)
}

/// The limit in bytes must not wrap around to something small.
fn size_limit_highest() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let parameter = size_limit_mb();
    let highest = match Driver::under_test() {
        Driver::C => i32::MAX as u32,
        Driver::Rust => u32::MAX,
    };
    for limit in [4096, highest] {
        let _limited = parameter.set(&limit.to_string())?;
        equal("size", device.create(memfd.whole())?.size()?, PAGE)?;
        let item = Item {
            size: (PAGE as u64).wrapping_neg(),
            ..memfd.whole()
        };
        refused(
            "2^64 bytes but a page",
            || device.create(item),
            Errno::INVAL,
        )?;
    }
    Ok(())
}
