// SPDX-License-Identifier: GPL-2.0

//! Ranges that are misaligned, empty, or outside their memfd.

use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::tests;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    misaligned_offset,
    misaligned_size,
    empty_range,
    empty_range_among_others,
    range_is_judged_before_descriptor,
    range_beyond_end,
    range_beyond_end_takes_no_memory,
    partial_last_page,
    negative_offset,
    end_overflows,
    size_overflows,
    size_far_beyond_end,
];

/// Where the last page of 64 bits begins.
const LAST_PAGE: u64 = (PAGE as u64).wrapping_neg();

fn misaligned_offset() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    for offset in [1, PAGE / 2, PAGE - 1, PAGE + 1] {
        let item = memfd.range(offset, PAGE);
        refused(
            format_args!("offset {offset}"),
            || device.create(item),
            Errno::INVAL,
        )?;
        refused(
            format_args!("offset {offset}"),
            || device.create_list(&[item]),
            Errno::INVAL,
        )?;
    }
    device.create(memfd.range(PAGE, PAGE))?;
    Ok(())
}

fn misaligned_size() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    for size in [1, PAGE / 2, PAGE - 1, PAGE + 1] {
        let item = memfd.range(0, size);
        refused(
            format_args!("size {size}"),
            || device.create(item),
            Errno::INVAL,
        )?;
        let items = [memfd.whole(), item];
        refused(
            format_args!("size {size}"),
            || device.create_list(&items),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn empty_range() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let item = memfd.range(0, 0);
    refused("empty range", || device.create(item), Errno::INVAL)?;
    refused(
        "list of empty ranges",
        || device.create_list(&[item, item]),
        Errno::INVAL,
    )
}

/// An empty range beside others passes the arithmetic. It is refused when its turn comes, after
/// its descriptor and seals.
fn empty_range_among_others() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let empty = memfd.range(0, 0);
    let closed = Item {
        memfd: u32::MAX,
        ..empty
    };
    refused(
        "empty last",
        || device.create_list(&[memfd.whole(), empty]),
        Errno::INVAL,
    )?;
    refused(
        "empty first",
        || device.create_list(&[empty, memfd.whole()]),
        Errno::INVAL,
    )?;
    refused(
        "empty and closed",
        || device.create_list(&[closed, memfd.whole()]),
        Errno::BADFD,
    )
}

fn range_is_judged_before_descriptor() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let closed = |offset, size| Item {
        memfd: u32::MAX,
        offset,
        size,
    };
    refused(
        "misaligned offset",
        || device.create(closed(1, PAGE as u64)),
        Errno::INVAL,
    )?;
    refused(
        "misaligned size",
        || device.create(closed(0, 1)),
        Errno::INVAL,
    )?;
    refused("empty range", || device.create(closed(0, 0)), Errno::INVAL)?;
    // The ranges of the whole list come before the first descriptor.
    let items = [closed(0, PAGE as u64), memfd.range(0, 1)];
    refused(
        "misaligned behind closed",
        || device.create_list(&items),
        Errno::INVAL,
    )
}

fn range_beyond_end() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    for (offset, size) in [(0, 5), (3, 2), (4, 1), (1 << 20, 1)] {
        let item = memfd.range(offset * PAGE, size * PAGE);
        let what = format!("{size} pages from page {offset} of 4");
        refused(&what, || device.create(item), Errno::INVAL)?;
        // The good item before it has its pages pinned by then.
        refused(
            &what,
            || device.create_list(&[memfd.whole(), item]),
            Errno::INVAL,
        )?;
    }
    equal(
        "size",
        device.create(memfd.range(0, 4 * PAGE))?.size()?,
        4 * PAGE,
    )
}

/// There is more than is pinned at once before the end, and nothing of it is allocated.
fn range_beyond_end_takes_no_memory() -> Outcome {
    const SIZE: usize = 256 << 20;

    let device = Udmabuf::open()?;
    let memfd = Memfd::new(SIZE)?;
    refused(
        "a page too many",
        || device.create(memfd.range(0, SIZE + PAGE)),
        Errno::INVAL,
    )?;
    equal("blocks", rustix::fs::fstat(&memfd)?.st_blocks, 0)
}

/// A page that the file covers in part belongs to no buffer.
fn partial_last_page() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE + 1)?;
    refused(
        "second page",
        || device.create(memfd.range(PAGE, PAGE)),
        Errno::INVAL,
    )?;
    refused(
        "both pages",
        || device.create(memfd.range(0, 2 * PAGE)),
        Errno::INVAL,
    )?;
    equal("size", device.create(memfd.range(0, PAGE))?.size()?, PAGE)
}

fn negative_offset() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    for offset in [1 << 63, LAST_PAGE] {
        let item = Item {
            offset,
            ..memfd.range(0, PAGE)
        };
        refused(
            format_args!("offset {offset:#x}"),
            || device.create(item),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn end_overflows() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    // Past the largest signed offset, and past the largest unsigned one.
    for offset in [(1 << 63) - PAGE as u64, LAST_PAGE] {
        let item = Item {
            offset,
            ..memfd.range(0, 2 * PAGE)
        };
        refused(
            format_args!("offset {offset:#x}"),
            || device.create(item),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn size_overflows() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let of_size = |size| Item {
        size,
        ..memfd.whole()
    };
    for size in [1 << 63, LAST_PAGE] {
        refused(
            format_args!("size {size:#x}"),
            || device.create(of_size(size)),
            Errno::INVAL,
        )?;
    }
    // The sum wraps around to one page.
    let items = [of_size(1 << 63), of_size(1 << 63), of_size(PAGE as u64)];
    refused(
        "sum 2^64 and a page",
        || device.create_list(&items),
        Errno::INVAL,
    )?;
    let items = [of_size(LAST_PAGE), of_size(2 * PAGE as u64)];
    refused(
        "sum 2^64 and a page in two",
        || device.create_list(&items),
        Errno::INVAL,
    )
}

/// A range within the size limit and far beyond the end must not cost memory in its proportion.
fn size_far_beyond_end() -> Outcome {
    if Driver::under_test() == Driver::C {
        // It asks for 16 bytes per page before it looks at the file; above 1 TiB the kernel
        // answers with a warning.
        return skip("a driver that looks at the file before it allocates");
    }
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    for size in [1 << 40, 1 << 50] {
        let item = Item {
            size,
            ..memfd.whole()
        };
        refused(
            format_args!("size {size:#x}"),
            || device.create(item),
            Errno::INVAL,
        )?;
    }
    Ok(())
}
