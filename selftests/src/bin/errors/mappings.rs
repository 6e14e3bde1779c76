// SPDX-License-Identifier: GPL-2.0

//! What a dma-buf refuses once it exists.

use rustix::fs;
use rustix::fs::SeekFrom;
use rustix::ioctl::opcode;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::sys;
use selftests::tests;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    private_mapping,
    mapping_beyond_end,
    mapping_grown,
    seek_elsewhere,
    sync_flags,
    sync_pointer,
    unknown_dma_buf_request,
];

/// A buffer of four pages.
fn four_pages() -> Result<DmaBuf, Errno> {
    Udmabuf::open()?.create(Memfd::new(4 * PAGE)?.whole())
}

/// Copies on write would be invisible to the device.
fn private_mapping() -> Outcome {
    let buffer = four_pages()?;
    for access in Access::ALL {
        let call = || Mapping::private(&buffer, 0, PAGE, access);
        refused(format_args!("private, {access:?}"), call, Errno::INVAL)?;
        drop(Mapping::shared(&buffer, 0, PAGE, access)?);
    }
    Ok(())
}

fn mapping_beyond_end() -> Outcome {
    let buffer = four_pages()?;
    for (offset, len) in [(0, 5), (1, 4), (4, 1), (5, 1), (1 << 40, 1)] {
        let call = || Mapping::shared(&buffer, offset * PAGE as u64, len * PAGE, Access::Read);
        refused(
            format_args!("{len} pages from page {offset} of 4"),
            call,
            Errno::INVAL,
        )?;
    }
    let last = Mapping::shared(&buffer, 3 * PAGE as u64, PAGE, Access::Read)?;
    equal("byte of a fresh page", last.touch(PAGE - 1), 0)
}

fn mapping_grown() -> Outcome {
    let buffer = four_pages()?;
    let mut mapping = Mapping::shared(&buffer, 0, 2 * PAGE, Access::ReadWrite)?;
    mapping.touch(0);
    refused(
        "mremap to 3 pages",
        || mapping.resize(3 * PAGE),
        Errno::FAULT,
    )?;
    refused(
        "mremap to 5 pages",
        || mapping.resize(5 * PAGE),
        Errno::FAULT,
    )?;
    equal("length", mapping.len(), 2 * PAGE)
}

/// Only the size can be asked.
fn seek_elsewhere() -> Outcome {
    let buffer = four_pages()?;
    refused(
        "SEEK_CUR",
        || fs::seek(&buffer, SeekFrom::Current(0)),
        Errno::INVAL,
    )?;
    refused(
        "SEEK_SET 1",
        || fs::seek(&buffer, SeekFrom::Start(1)),
        Errno::INVAL,
    )?;
    refused(
        "SEEK_END -1",
        || fs::seek(&buffer, SeekFrom::End(-1)),
        Errno::INVAL,
    )?;
    equal(
        "SEEK_END",
        fs::seek(&buffer, SeekFrom::End(0))?,
        4 * PAGE as u64,
    )
}

fn sync_flags() -> Outcome {
    let buffer = four_pages()?;
    let end = u64::from(abi::SYNC_END);
    let read = u64::from(abi::SYNC_READ);
    for flags in [
        0,
        end,
        1 << 3 | read,
        1 << 31 | read,
        1 << 32 | read,
        u64::MAX,
    ] {
        refused(
            format_args!("flags {flags:#x}"),
            || buffer.sync(flags),
            Errno::INVAL,
        )?;
    }
    for access in Access::ALL {
        buffer.sync(access.sync_flags())?;
        buffer.sync(end | access.sync_flags())?;
    }
    Ok(())
}

fn sync_pointer() -> Outcome {
    let buffer = four_pages()?;
    let hole = Mapping::reserve(PAGE)?;
    for address in [0, hole.address(), usize::MAX] {
        let call = || sys::ioctl::dma_buf(&buffer, abi::REQUEST_DMA_BUF_SYNC, address);
        refused(format_args!("sync at {address:#x}"), call, Errno::FAULT)?;
    }
    Ok(())
}

fn unknown_dma_buf_request() -> Outcome {
    let buffer = four_pages()?;
    for request in [
        opcode::write::<u64>(b'b', 0x7f),
        opcode::write::<u32>(b'b', 0),
        abi::REQUEST_UDMABUF_CREATE,
    ] {
        let call = || sys::ioctl::dma_buf(&buffer, request, 0);
        refused(format_args!("request {request:#x}"), call, Errno::NOTTY)?;
    }
    Ok(())
}
