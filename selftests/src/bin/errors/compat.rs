// SPDX-License-Identifier: GPL-2.0

//! The same requests from a 32-bit program. Structures and numbers are those of a 64-bit one, as
//! every field has a fixed size.

use std::mem::offset_of;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::path::Path;

use selftests::DmaBuf;
use selftests::Errno;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::abi;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::sys::compat;
use selftests::sys::ioctl;
use selftests::tests;
use selftests::udmabuf::list_bytes;

use crate::ours;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    compat_create,
    compat_create_list,
    compat_errors,
    compat_query,
    compat_create_ext,
    compat_sync_range,
];

/// Memory that a 32-bit pointer reaches.
struct Low {
    page: Mapping,
}

impl Low {
    fn new() -> Outcome<Low> {
        let page = Mapping::low(PAGE)?;
        Ok(Low { page })
    }

    /// Puts bytes there and returns their address.
    fn put(&self, bytes: &[u8]) -> u32 {
        self.page.write(0, bytes);
        // CAST: Below 2 GiB by the mapping's own promise.
        self.page.address() as u32
    }
}

/// The bytes of a `struct udmabuf_create` without flags: an item, whose padding stands in the
/// place of the flags.
fn create_bytes(item: Item) -> Vec<u8> {
    list_bytes(0, 1, &[item]).split_off(8)
}

/// Ends the test on a kernel without 32-bit system calls, where their entry is a crash.
fn need_compat() -> Outcome {
    // Only such a kernel has a setting for 32-bit programs.
    if Path::new("/proc/sys/abi/vsyscall32").exists() {
        Ok(())
    } else {
        skip("CONFIG_IA32_EMULATION")
    }
}

fn compat_create() -> Outcome {
    let device = Udmabuf::open()?;
    need_compat()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let low = Low::new()?;
    let address = low.put(&create_bytes(memfd.range(PAGE, 2 * PAGE)));
    let buffer = compat::create(&device, abi::REQUEST_UDMABUF_CREATE, address)?;
    equal("size", DmaBuf::from(buffer).size()?, 2 * PAGE)
}

fn compat_create_list() -> Outcome {
    let device = Udmabuf::open()?;
    need_compat()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let low = Low::new()?;
    let items = [memfd.range(3 * PAGE, PAGE), memfd.range(0, 2 * PAGE)];
    let address = low.put(&list_bytes(abi::UDMABUF_FLAGS_CLOEXEC, 2, &items));
    let buffer = compat::create(&device, abi::REQUEST_UDMABUF_CREATE_LIST, address)?;
    equal("size", DmaBuf::from(buffer).size()?, 3 * PAGE)
}

fn compat_errors() -> Outcome {
    let device = Udmabuf::open()?;
    need_compat()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let low = Low::new()?;
    let create = |request, address| compat::create(&device, request, address);
    let (one, list) = (
        abi::REQUEST_UDMABUF_CREATE,
        abi::REQUEST_UDMABUF_CREATE_LIST,
    );

    refused("null", || create(one, 0), Errno::FAULT)?;
    refused("last page", || create(list, u32::MAX - 4095), Errno::FAULT)?;
    let good = low.put(&create_bytes(memfd.whole()));
    refused("request", || create(one + 1, good), Errno::NOTTY)?;
    let misaligned = low.put(&create_bytes(memfd.range(1, PAGE)));
    refused("offset 1", || create(one, misaligned), Errno::INVAL)?;
    let closed = Item {
        memfd: u32::MAX,
        ..memfd.whole()
    };
    let closed = low.put(&list_bytes(0, 1, &[closed]));
    refused("closed", || create(list, closed), Errno::BADFD)
}

/// The bytes of 32-bit words: a structure, whose fields of 64 bits are two of them.
fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

fn compat_query() -> Outcome {
    let device = ours::device()?;
    need_compat()?;
    let (_memfd, buffer) = ours::pages(&device, 3)?;
    let low = Low::new()?;
    let size = size_of::<abi::udmabuf_query>();
    let ask = |fd: i32, flags: u32| -> Result<Vec<u8>, Errno> {
        low.put(&vec![0; size]);
        low.put(&bytes(&[fd as u32, flags]));
        compat::call::<abi::udmabuf_query>(&device, &low.page, 0)?;
        let mut answer = vec![0; size];
        low.page.read(0, &mut answer);
        Ok(answer)
    };
    let fd = buffer.as_fd().as_raw_fd();
    let answer = ask(fd, 0)?;
    let at = offset_of!(abi::udmabuf_query, size);
    equal(
        "size",
        &answer[at..at + 8],
        &(3 * PAGE as u64).to_ne_bytes()[..],
    )?;
    let memory = Mapping::memory(PAGE)?;
    memory.write(0, &fd.to_ne_bytes());
    ioctl::udmabuf_in(&device, abi::REQUEST_UDMABUF_QUERY, &memory, 0)?;
    let mut same = vec![0; size];
    memory.read(0, &mut same);
    equal("what a 64-bit program is told", &answer, &same)?;
    ask(-1, 0)?;
    refused("flags", || ask(fd, 1), Errno::INVAL)?;
    refused("closed", || ask(fd + 100, 0), Errno::BADF)
}

fn compat_create_ext() -> Outcome {
    let device = ours::device()?;
    need_compat()?;
    let memfd = Memfd::new(4 * PAGE)?;
    let low = Low::new()?;
    let items = list_bytes(
        0,
        0,
        &[memfd.range(3 * PAGE, PAGE), memfd.range(0, 2 * PAGE)],
    );
    let make = |head: [u32; 6]| {
        low.page.write(PAGE / 2, &items[8..]);
        let address = low.put(&bytes(&head));
        compat::create(&device, abi::REQUEST_UDMABUF_CREATE_EXT, address).map(DmaBuf::from)
    };
    let list = low.page.address() as u32 + PAGE as u32 / 2;
    let mode = abi::UDMABUF_MODE_CPU_COHERENT;
    let buffer = make([1, mode, 2, 0, list, 0])?;
    equal("size", buffer.size()?, 3 * PAGE)?;
    equal("mode", device.query(&buffer)?.mode, mode)?;
    for (what, head, error) in [
        ("flags", [0x10, mode, 2, 0, list, 0], Errno::INVAL),
        ("mode", [0, 4, 2, 0, list, 0], Errno::INVAL),
        ("reserved", [0, mode, 2, 1, list, 0], Errno::INVAL),
        ("count", [0, mode, 0, 0, list, 0], Errno::INVAL),
        ("items at 0", [0, mode, 2, 0, 0, 0], Errno::FAULT),
        // The pointer has 64 bits, and all of them count.
        ("items far away", [0, mode, 2, 0, list, 1], Errno::FAULT),
    ] {
        refused(what, || make(head), error)?;
    }
    Ok(())
}

fn compat_sync_range() -> Outcome {
    let device = ours::device()?;
    need_compat()?;
    let (_memfd, buffer) = ours::pages(&device, 3)?;
    let low = Low::new()?;
    let fd = buffer.as_fd().as_raw_fd() as u32;
    let sync = |words: [u32; 6]| {
        low.put(&bytes(&words));
        compat::call::<abi::udmabuf_sync_range>(&device, &low.page, 0).map(drop)
    };
    let size = 3 * PAGE as u32;
    sync([fd, abi::SYNC_READ, 0, 0, size, 0])?;
    sync([fd, abi::SYNC_END | abi::SYNC_READ, 1, 0, size - 1, 0])?;
    for (what, words, error) in [
        ("flags", [fd, 0, 0, 0, size, 0], Errno::INVAL),
        ("too long", [fd, 1, 1, 0, size, 0], Errno::INVAL),
        ("offset of 2^32", [fd, 1, 0, 1, 0, 0], Errno::INVAL),
        ("length of 2^32", [fd, 1, 0, 0, 0, 1], Errno::INVAL),
        ("closed", [fd + 100, 1, 0, 0, size, 0], Errno::BADF),
    ] {
        refused(what, || sync(words), error)?;
    }
    Ok(())
}
