// SPDX-License-Identifier: GPL-2.0

//! The same requests from a 32-bit program. Structures and numbers are those of a 64-bit one, as
//! every field has a fixed size.

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
use selftests::tests;
use selftests::udmabuf::list_bytes;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![compat_create, compat_create_list, compat_errors];

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
