// SPDX-License-Identifier: GPL-2.0

//! The descriptor that a create returns: its flags, and what happens without one.

use std::fs;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use rustix::io;
use rustix::io::FdFlags;
use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::Uid;
use rustix::thread;

use selftests::Errno;
use selftests::Ledger;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::child::in_child;
use selftests::ktap::Test;
use selftests::outcome;
use selftests::outcome::equal;
use selftests::statistics;
use selftests::sys;
use selftests::tests;
use selftests::udmabuf::list_bytes;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    close_on_exec,
    unknown_flags_ignored,
    padding_ignored,
    no_descriptor_free,
    no_file_free,
];

/// How many open files there may be in the whole system.
const FILE_MAX: &str = "/proc/sys/fs/file-max";

/// Whether both requests give a descriptor that is closed on exec.
#[track_caller]
fn closed_on_exec(flags: u32, expected: bool) -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let buffers = [
        device.create_with(memfd.whole(), flags)?,
        device.create_list_with(&[memfd.whole()], flags)?,
    ];
    for buffer in buffers {
        let closed = io::fcntl_getfd(&buffer)?.contains(FdFlags::CLOEXEC);
        equal(
            format_args!("close on exec, flags {flags:#x}"),
            closed,
            expected,
        )?;
    }
    Ok(())
}

fn close_on_exec() -> Outcome {
    closed_on_exec(abi::UDMABUF_FLAGS_CLOEXEC, true)?;
    closed_on_exec(0, false)
}

fn unknown_flags_ignored() -> Outcome {
    for flags in [0x02, 0x8000_0000, !abi::UDMABUF_FLAGS_CLOEXEC] {
        closed_on_exec(flags, false)?;
        closed_on_exec(flags | abi::UDMABUF_FLAGS_CLOEXEC, true)?;
    }
    Ok(())
}

fn padding_ignored() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let mut list = list_bytes(0, 1, &[memfd.whole()]);
    // The padding of the first item follows the head and the descriptor.
    list[12..16].fill(0xff);
    let address = list.as_ptr() as usize;
    sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE_LIST, address)?;
    Ok(())
}

fn no_descriptor_free() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(64 * PAGE)?;
    // Numbers are given from the lowest free one up, so this closes the range at the end.
    let next = io::dup(&device)?.as_fd().as_raw_fd();
    let before = process::getrlimit(Resource::Nofile);
    let none_free = Rlimit {
        current: Some(next as u64),
        ..before
    };
    let items = [memfd.whole(), memfd.whole()];
    for list in [&items[..1], &items] {
        let call = || {
            process::setrlimit(Resource::Nofile, none_free)?;
            let result = device.create_list(list);
            process::setrlimit(Resource::Nofile, before)?;
            result
        };
        refused("no descriptor free", call, Errno::MFILE)?;
    }
    device.create(memfd.whole())?;
    Ok(())
}

/// The last step of a request: everything else is there when the dma-buf's own file cannot be had.
fn no_file_free() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(64 * PAGE)?;
    let most = fs::read_to_string(FILE_MAX)?;
    let before = (Ledger::now()?, statistics::counter("created")?);
    fs::write(FILE_MAX, "0")?;
    // The limit is not for root.
    let refused = in_child("no file free", || {
        let user = Uid::from_raw(1000);
        thread::set_thread_res_uid(user, user, user)?;
        outcome::errno("one", device.create(memfd.whole()), Errno::NFILE)?;
        let list = [memfd.whole(), memfd.whole()];
        outcome::errno("list", device.create_list(&list), Errno::NFILE)
    });
    fs::write(FILE_MAX, most)?;
    refused?;
    let after = (Ledger::now()?, statistics::counter("created")?);
    equal("left behind, and made so far", after, before)?;
    device.create(memfd.whole())?;
    Ok(())
}
