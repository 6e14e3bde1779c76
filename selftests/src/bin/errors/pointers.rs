// SPDX-License-Identifier: GPL-2.0

//! Addresses behind which the kernel cannot read all that it needs.

use selftests::Access;
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
use selftests::udmabuf::list_bytes;

use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    no_memory_there,
    kernel_memory,
    create_cut_off,
    list_head_cut_off,
    list_cut_off,
    read_only_memory,
];

const REQUESTS: [(&str, u32); 2] = [
    ("create", abi::REQUEST_UDMABUF_CREATE),
    ("create_list", abi::REQUEST_UDMABUF_CREATE_LIST),
];

fn no_memory_there() -> Outcome {
    let device = Udmabuf::open()?;
    let hole = Mapping::reserve(PAGE)?;
    for address in [0, 8, hole.address()] {
        for (name, request) in REQUESTS {
            let call = || sys::ioctl::create(&device, request, address);
            refused(format_args!("{name} at {address:#x}"), call, Errno::FAULT)?;
        }
    }
    Ok(())
}

fn kernel_memory() -> Outcome {
    let device = Udmabuf::open()?;
    for address in [1 << 63, 0xffff_8880_0000_0000, usize::MAX - 7, usize::MAX] {
        for (name, request) in REQUESTS {
            let call = || sys::ioctl::create(&device, request, address);
            refused(format_args!("{name} at {address:#x}"), call, Errno::FAULT)?;
        }
    }
    Ok(())
}

/// A page of memory with nothing behind it.
struct Edge {
    page: Mapping,
}

impl Edge {
    fn new() -> Result<Edge, Errno> {
        let page = Mapping::memory(2 * PAGE)?;
        page.protect(PAGE, PAGE, None)?;
        Ok(Edge { page })
    }

    /// Puts the bytes in front of the edge, except for the last `missing` ones. Returns the
    /// address of the first.
    fn put(&self, bytes: &[u8], missing: usize) -> usize {
        let bytes = &bytes[..bytes.len() - missing];
        let at = PAGE - bytes.len();
        self.page.write(at, bytes);
        self.page.address() + at
    }
}

fn create_cut_off() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let edge = Edge::new()?;
    let item = memfd.whole();
    // struct udmabuf_create has its flags where an item of a list has its padding.
    let bytes = &list_bytes(0, 0, &[item])[8..];
    for missing in [1, 8, 16, 23, 24] {
        let address = edge.put(bytes, missing);
        let call = || sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE, address);
        refused(format_args!("{missing} bytes missing"), call, Errno::FAULT)?;
    }
    sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE, edge.put(bytes, 0))?;
    Ok(())
}

fn list_head_cut_off() -> Outcome {
    let device = Udmabuf::open()?;
    let edge = Edge::new()?;
    let bytes = list_bytes(0, 1, &[]);
    for missing in [1, 4, 8] {
        let address = edge.put(&bytes, missing);
        let call = || sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE_LIST, address);
        refused(format_args!("{missing} bytes missing"), call, Errno::FAULT)?;
    }
    Ok(())
}

fn list_cut_off() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let edge = Edge::new()?;
    let bytes = list_bytes(0, 3, &[memfd.whole(); 3]);
    for missing in [1, 24, 48, 72] {
        let address = edge.put(&bytes, missing);
        let call = || sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE_LIST, address);
        refused(format_args!("{missing} bytes missing"), call, Errno::FAULT)?;
    }
    sys::ioctl::create(
        &device,
        abi::REQUEST_UDMABUF_CREATE_LIST,
        edge.put(&bytes, 0),
    )?;
    Ok(())
}

/// The kernel only reads the argument.
fn read_only_memory() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let page = Mapping::memory(PAGE)?;
    page.write(0, &list_bytes(0, 1, &[memfd.whole()]));
    page.protect(0, PAGE, Some(Access::Read))?;
    let (list, create) = (page.address(), page.address() + 8);
    let buffer = sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE_LIST, list)?;
    equal("size", selftests::DmaBuf::from(buffer).size()?, PAGE)?;
    let buffer = sys::ioctl::create(&device, abi::REQUEST_UDMABUF_CREATE, create)?;
    equal("size", selftests::DmaBuf::from(buffer).size()?, PAGE)
}
