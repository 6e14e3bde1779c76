// SPDX-License-Identifier: GPL-2.0

//! What UDMABUF_CREATE_EXT refuses: fields of its own, and everything that the older calls refuse, with
//! the same error.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use rustix::fs::OFlags;
use rustix::fs::SealFlags;
use rustix::io;
use rustix::io::FdFlags;
use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::driver::Driver;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::tests;
use selftests::udmabuf::list_bytes;

use crate::opened::reopen;
use crate::ours;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    ext_of_one_and_of_several,
    ext_flags,
    ext_modes,
    ext_memory_coherent,
    ext_reserved,
    ext_padding,
    ext_count,
    ext_count_is_judged_before_the_items,
    ext_items_pointer,
    ext_items_cut_off,
    ext_refuses_what_the_others_refuse,
    ext_size_limit,
    ext_no_descriptor_free,
    older_calls_stay_lax,
];

/// A request in a mode.
fn request(mode: u32, items: &[abi::udmabuf_create_item]) -> abi::udmabuf_create_ext {
    abi::udmabuf_create_ext {
        mode,
        count: items.len() as u32,
        items: items.as_ptr() as u64,
        ..Default::default()
    }
}

/// A device and a page to make buffers of.
fn page() -> Outcome<(Udmabuf, Memfd)> {
    Ok((ours::device()?, Memfd::new(PAGE)?))
}

/// Whether a buffer is one of a mode.
fn in_mode(device: &Udmabuf, buffer: &DmaBuf, mode: Mode, size: usize) -> Outcome {
    equal("size", buffer.size()?, size)?;
    let query = device.query(buffer)?;
    equal("size that is said", query.size, size as u64)?;
    equal("mode", query.mode, mode.number())
}

fn ext_of_one_and_of_several() -> Outcome {
    let device = ours::device()?;
    let memfd = Memfd::new(4 * PAGE)?;
    for mode in Mode::OFFERED {
        let one = device.create_in(mode, &[memfd.whole()])?;
        in_mode(&device, &one, mode, 4 * PAGE)?;
        let items = [memfd.range(3 * PAGE, PAGE), memfd.range(0, 2 * PAGE)];
        let list = device.create_in(mode, &items)?;
        in_mode(&device, &list, mode, 3 * PAGE)?;
        // The order of the items is that of the buffer.
        let memory = memfd.map()?;
        memory.write(3 * PAGE, &[7]);
        equal("first byte", list.map(Access::Read)?.touch(0), 7)?;
        memory.write(3 * PAGE, &[0]);
    }
    let buffers = [
        device.create(memfd.whole())?,
        device.create_list(&[memfd.whole()])?,
    ];
    for buffer in buffers {
        in_mode(&device, &buffer, Mode::DmaApi, 4 * PAGE)?;
    }
    Ok(())
}

fn ext_flags() -> Outcome {
    let (device, memfd) = page()?;
    for flags in (4..32).map(|bit| 1 << bit).chain([u32::MAX, 0x11]) {
        refused(
            format_args!("flags {flags:#x}"),
            || device.create_ext(0, &[memfd.whole()], flags),
            Errno::INVAL,
        )?;
    }
    for (flags, closed) in [(0, false), (abi::UDMABUF_FLAGS_CLOEXEC, true)] {
        let buffer = device.create_ext(0, &[memfd.whole()], flags)?;
        equal(
            format_args!("close on exec, flags {flags:#x}"),
            io::fcntl_getfd(&buffer)?.contains(FdFlags::CLOEXEC),
            closed,
        )?;
    }
    Ok(())
}

fn ext_modes() -> Outcome {
    let (device, memfd) = page()?;
    for mode in [4, 5, 0x100, 0x8000_0000, u32::MAX] {
        refused(
            format_args!("mode {mode}"),
            || device.create_ext(mode, &[memfd.whole()], 0),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

/// A memfd has cached mappings of its own.
fn ext_memory_coherent() -> Outcome {
    let (device, memfd) = page()?;
    refused(
        "memory-coherent",
        || device.create_in(Mode::MemoryCoherent, &[memfd.whole()]),
        Errno::OPNOTSUPP,
    )
}

fn ext_reserved() -> Outcome {
    let (device, memfd) = page()?;
    let items = [memfd.whole().element()];
    for reserved in (0..32).map(|bit| 1 << bit).chain([u32::MAX]) {
        let request = abi::udmabuf_create_ext {
            reserved,
            ..request(0, &items)
        };
        refused(
            format_args!("reserved {reserved:#x}"),
            || device.create_from(&request),
            Errno::INVAL,
        )?;
    }
    Ok(())
}

fn ext_padding() -> Outcome {
    let (device, memfd) = page()?;
    let good = memfd.whole().element();
    for pad in (0..32).map(|bit| 1 << bit).chain([u32::MAX]) {
        let bad = abi::udmabuf_create_item { __pad: pad, ..good };
        for items in [vec![bad], vec![good, bad], vec![bad, good]] {
            refused(
                format_args!("padding {pad:#x}"),
                || device.create_from(&request(0, &items)),
                Errno::INVAL,
            )?;
        }
    }
    device.create_from(&request(0, &[good, good]))?;
    Ok(())
}

fn ext_count() -> Outcome {
    let (device, memfd) = page()?;
    refused("no items", || device.create_ext(0, &[], 0), Errno::INVAL)?;
    let parameter = Driver::under_test().parameter("list_limit");
    let default: usize = parameter.get()?.parse().unwrap_or(0);
    let items = vec![memfd.whole(); default + 1];
    let many = |count: usize| device.create_ext(0, &items[..count], 0);
    refused("one item too many", || many(default + 1), Errno::INVAL)?;
    equal("size", many(default)?.size()?, default * PAGE)?;
    let _few = parameter.set("3")?;
    refused("4 items of 3", || many(4), Errno::INVAL)?;
    equal("size", many(3)?.size()?, 3 * PAGE)
}

fn ext_count_is_judged_before_the_items() -> Outcome {
    let (device, memfd) = page()?;
    let limit = Driver::under_test().parameter("list_limit");
    let limit: u32 = limit.get()?.parse().unwrap_or(0);
    let items = [memfd.whole().element()];
    for count in [0, limit + 1, 1 << 31, u32::MAX] {
        for address in [0, 8, u64::MAX] {
            let request = abi::udmabuf_create_ext {
                count,
                items: address,
                ..request(0, &items)
            };
            refused(
                format_args!("{count} items nowhere"),
                || device.create_from(&request),
                Errno::INVAL,
            )?;
        }
    }
    Ok(())
}

fn ext_items_pointer() -> Outcome {
    let device = ours::device()?;
    let hole = Mapping::reserve(PAGE)?;
    for address in [0, 8, hole.address() as u64, 1 << 63, u64::MAX - 7, u64::MAX] {
        for count in [1, 2, 1000] {
            let request = abi::udmabuf_create_ext {
                count,
                items: address,
                ..Default::default()
            };
            refused(
                format_args!("{count} items at {address:#x}"),
                || device.create_from(&request),
                Errno::FAULT,
            )?;
        }
    }
    Ok(())
}

fn ext_items_cut_off() -> Outcome {
    let (device, memfd) = page()?;
    let memory = Mapping::memory(2 * PAGE)?;
    memory.protect(PAGE, PAGE, None)?;
    let items = list_bytes(0, 0, &[memfd.whole(); 3]).split_off(8);
    for missing in [1, 8, 24, 48, 71, 0] {
        // The edge is where the last of them would end otherwise.
        let at = PAGE - items.len() + missing;
        memory.write(at, &items[..items.len() - missing]);
        let request = abi::udmabuf_create_ext {
            count: 3,
            items: (memory.address() + at) as u64,
            ..Default::default()
        };
        let make = || device.create_from(&request);
        match missing {
            0 => equal("size", make()?.size()?, 3 * PAGE)?,
            _ => refused(format_args!("{missing} bytes missing"), make, Errno::FAULT)?,
        }
    }
    Ok(())
}

/// In whatever mode.
fn ext_refuses_what_the_others_refuse() -> Outcome {
    let (device, memfd) = page()?;
    let null = File::open("/dev/null")?;
    let buffer = device.create(memfd.whole())?;
    let read_only = reopen(&memfd, OFlags::RDONLY)?;
    let sealed = |seals| Memfd::builder(PAGE).seals(seals).create();
    let unsealed = sealed(SealFlags::empty())?;
    let written = sealed(SealFlags::SHRINK | SealFlags::WRITE)?;
    let future = sealed(SealFlags::SHRINK | SealFlags::FUTURE_WRITE)?;
    let size = PAGE as u64;
    let of = |offset, size| Item::new(&memfd, offset, size);
    let all = [
        (
            "closed",
            Errno::BADFD,
            Item {
                memfd: u32::MAX,
                ..memfd.whole()
            },
        ),
        ("/dev/null", Errno::BADFD, Item::new(&null, 0, size)),
        ("the device", Errno::BADFD, Item::new(&device, 0, size)),
        ("a dma-buf", Errno::BADFD, Item::new(&buffer, 0, size)),
        ("read-only", Errno::ACCESS, Item::new(&read_only, 0, size)),
        ("without seal", Errno::INVAL, unsealed.whole()),
        ("sealed against writing", Errno::INVAL, written.whole()),
        ("sealed against writing later", Errno::INVAL, future.whole()),
        ("offset 1", Errno::INVAL, of(1, size)),
        ("size 1", Errno::INVAL, of(0, 1)),
        ("empty", Errno::INVAL, of(0, 0)),
        ("beyond the end", Errno::INVAL, of(0, 2 * size)),
        ("behind the end", Errno::INVAL, of(size, size)),
        ("far behind the end", Errno::INVAL, of(1 << 40, size)),
        (
            "wrapping around",
            Errno::INVAL,
            of(size, size.wrapping_neg()),
        ),
    ];
    for (what, error, bad) in all {
        for items in [vec![bad], vec![memfd.whole(), bad]] {
            refused(what, || device.create_list(&items), error)?;
            for mode in Mode::OFFERED {
                refused(
                    format_args!("{what}, {mode:?}"),
                    || device.create_in(mode, &items),
                    error,
                )?;
            }
        }
    }
    Ok(())
}

fn ext_size_limit() -> Outcome {
    let device = ours::device()?;
    let memfd = Memfd::new((1 << 20) + PAGE)?;
    let parameter = Driver::under_test().parameter("size_limit_mb");
    let _limited = parameter.set("1")?;
    for mode in Mode::OFFERED {
        refused(
            "1 MiB and a page",
            || device.create_in(mode, &[memfd.whole()]),
            Errno::INVAL,
        )?;
        let fits = device.create_in(mode, &[memfd.range(0, 1 << 20)])?;
        equal("size", fits.size()?, 1 << 20)?;
    }
    Ok(())
}

fn ext_no_descriptor_free() -> Outcome {
    let (device, memfd) = page()?;
    // Numbers are given from the lowest free one up, so this closes the range at the end.
    let next = io::dup(&device)?.as_fd().as_raw_fd();
    let before = process::getrlimit(Resource::Nofile);
    let none_free = Rlimit {
        current: Some(next as u64),
        ..before
    };
    for mode in Mode::OFFERED {
        let call = || {
            process::setrlimit(Resource::Nofile, none_free)?;
            let result = device.create_in(mode, &[memfd.whole()]);
            process::setrlimit(Resource::Nofile, before)?;
            result
        };
        refused("no descriptor free", call, Errno::MFILE)?;
        device.create_in(mode, &[memfd.whole()])?;
    }
    Ok(())
}

/// Programs may have had anything in their flags and padding for years.
fn older_calls_stay_lax() -> Outcome {
    let (device, memfd) = page()?;
    let known =
        abi::UDMABUF_FLAGS_CHECK | abi::UDMABUF_FLAGS_CHECK_STRICT | abi::UDMABUF_FLAGS_AUTO_SYNC;
    for buffer in [
        device.create_with(memfd.whole(), known)?,
        device.create_list_with(&[memfd.whole()], known)?,
    ] {
        let state = device.query(&buffer)?.state;
        equal("flags of another call", state, 0)?;
    }
    for flags in [0x10, 0x100, !1] {
        refused(
            format_args!("flags {flags:#x}"),
            || device.create_ext(0, &[memfd.whole()], flags),
            Errno::INVAL,
        )?;
        for buffer in [
            device.create_with(memfd.whole(), flags)?,
            device.create_list_with(&[memfd.whole()], flags)?,
        ] {
            in_mode(&device, &buffer, Mode::DmaApi, PAGE)?;
        }
    }
    Ok(())
}
