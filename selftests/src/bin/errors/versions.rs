// SPDX-License-Identifier: GPL-2.0

//! Structures that may grow: of programs that were compiled with a smaller or a larger one.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use rustix::ioctl::Direction;
use rustix::ioctl::opcode;

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
use selftests::sys::ioctl;
use selftests::tests;
use selftests::udmabuf::LARGEST;
use selftests::udmabuf::resized;

use crate::ours;
use crate::refusal::refused;

pub const TESTS: &[Test] = tests![
    larger_with_zeroes,
    larger_with_something,
    larger_is_read_to_its_end,
    smaller,
    extensible_at_no_memory,
    extensible_cut_off,
    extensible_in_another_direction,
];

/// A call with a good argument.
struct Call {
    name: &'static str,
    request: u32,
    bytes: Vec<u8>,
}

/// What the arguments lead to.
struct Ground {
    device: Udmabuf,
    _memfd: Memfd,
    buffer: DmaBuf,
    items: Mapping,
}

impl Ground {
    fn new(device: Udmabuf) -> Outcome<Ground> {
        let memfd = Memfd::new(PAGE)?;
        let buffer = device.create(memfd.whole())?;
        let items = Mapping::memory(PAGE)?;
        items.write(
            0,
            &selftests::udmabuf::list_bytes(0, 1, &[memfd.whole()])[8..],
        );
        Ok(Ground {
            device,
            _memfd: memfd,
            buffer,
            items,
        })
    }

    /// All calls that may grow.
    fn calls(&self) -> [Call; 3] {
        let fd = self.buffer.as_fd().as_raw_fd();
        let query = [fd as u32].map(u32::to_ne_bytes).concat();
        let mut create = [0, abi::UDMABUF_MODE_DMA_API, 1, 0]
            .map(u32::to_ne_bytes)
            .concat();
        create.extend((self.items.address() as u64).to_ne_bytes());
        let mut sync = [fd as u32, abi::SYNC_READ].map(u32::to_ne_bytes).concat();
        sync.extend([0, PAGE as u64].map(u64::to_ne_bytes).concat());
        let call = |name, request, size, mut bytes: Vec<u8>| {
            bytes.resize(size, 0);
            Call {
                name,
                request,
                bytes,
            }
        };
        [
            call(
                "query",
                abi::REQUEST_UDMABUF_QUERY,
                size_of::<abi::udmabuf_query>(),
                query,
            ),
            call(
                "create_ext",
                abi::REQUEST_UDMABUF_CREATE_EXT,
                size_of::<abi::udmabuf_create_ext>(),
                create,
            ),
            call(
                "sync_range",
                abi::REQUEST_UDMABUF_SYNC_RANGE,
                size_of::<abi::udmabuf_sync_range>(),
                sync,
            ),
        ]
    }

    /// Makes a call with its argument in memory; what it returns is closed, if it is a descriptor.
    fn make(&self, request: u32, memory: &Mapping, at: usize) -> Result<(), Errno> {
        if request as u8 == abi::REQUEST_UDMABUF_CREATE_EXT as u8 {
            let address = memory.address() + at;
            return ioctl::create(&self.device, request, address).map(drop);
        }
        ioctl::udmabuf_in(&self.device, request, memory, at).map(drop)
    }
}

fn ground() -> Outcome<Ground> {
    Ground::new(ours::device()?)
}

/// Sizes of later versions, up to the largest that a number can stand for.
fn larger(size: usize) -> [usize; 5] {
    [size + 1, size + 8, size + 64, PAGE, LARGEST]
}

/// A later version whose new fields ask for nothing.
fn larger_with_zeroes() -> Outcome {
    let ground = ground()?;
    let memory = Mapping::memory(LARGEST.next_multiple_of(PAGE))?;
    for call in ground.calls() {
        for size in larger(call.bytes.len()) {
            memory.write(0, &call.bytes);
            ground.make(resized(call.request, size), &memory, 0)?;
            let mut tail = vec![0xff; size - call.bytes.len()];
            memory.read(call.bytes.len(), &mut tail);
            let zeroes = tail.iter().all(|byte| *byte == 0);
            equal(
                format_args!("{}: the rest of {size} bytes is 0", call.name),
                zeroes,
                true,
            )?;
            memory.write(0, &vec![0; size]);
        }
    }
    Ok(())
}

/// A later version that asks for what this one does not know.
fn larger_with_something() -> Outcome {
    let ground = ground()?;
    let memory = Mapping::memory(LARGEST.next_multiple_of(PAGE))?;
    for call in ground.calls() {
        for size in larger(call.bytes.len()) {
            for (at, byte) in [(call.bytes.len(), 1), (size - 1, 0x80)] {
                memory.write(0, &call.bytes);
                memory.write(at, &[byte]);
                refused(
                    format_args!("{} of {size} bytes, {byte:#x} at {at}", call.name),
                    || ground.make(resized(call.request, size), &memory, 0),
                    Errno::TOOBIG,
                )?;
                memory.write(at, &[0]);
            }
        }
    }
    Ok(())
}

/// There has to be memory for all of it.
fn larger_is_read_to_its_end() -> Outcome {
    let ground = ground()?;
    let memory = edge()?;
    for call in ground.calls() {
        let size = call.bytes.len() + 8;
        let at = PAGE - call.bytes.len();
        memory.write(at, &call.bytes);
        refused(
            format_args!("{} of {size} bytes", call.name),
            || ground.make(resized(call.request, size), &memory, at),
            Errno::FAULT,
        )?;
        ground.make(call.request, &memory, at)?;
    }
    Ok(())
}

/// Nothing is smaller than the first version.
fn smaller() -> Outcome {
    let ground = ground()?;
    let memory = Mapping::memory(PAGE)?;
    for call in ground.calls() {
        let size = call.bytes.len();
        memory.write(0, &call.bytes);
        for smaller in [0, 1, 4, 8, size - 8, size - 1] {
            refused(
                format_args!("{} of {smaller} bytes", call.name),
                || ground.make(resized(call.request, smaller), &memory, 0),
                Errno::INVAL,
            )?;
        }
        ground.make(call.request, &memory, 0)?;
    }
    Ok(())
}

fn extensible_at_no_memory() -> Outcome {
    let ground = ground()?;
    let hole = Mapping::reserve(PAGE)?;
    for call in ground.calls() {
        let at = |address: usize| {
            let result = ioctl::udmabuf(&ground.device, call.request, address);
            result.map(drop)
        };
        for address in [
            0,
            8,
            1 << 63,
            0xffff_8880_0000_0000,
            usize::MAX - 7,
            usize::MAX,
        ] {
            refused(
                format_args!("{} at {address:#x}", call.name),
                || at(address),
                Errno::FAULT,
            )?;
        }
        refused(
            format_args!("{} where nothing is mapped", call.name),
            || ground.make(call.request, &hole, 0),
            Errno::FAULT,
        )?;
    }
    Ok(())
}

/// A page of memory with nothing behind it.
fn edge() -> Outcome<Mapping> {
    let memory = Mapping::memory(2 * PAGE)?;
    memory.protect(PAGE, PAGE, None)?;
    Ok(memory)
}

fn extensible_cut_off() -> Outcome {
    let ground = ground()?;
    let memory = edge()?;
    for call in ground.calls() {
        for missing in [1, 8, 16, call.bytes.len() - 1] {
            let at = PAGE + missing - call.bytes.len();
            memory.write(at, &call.bytes[..PAGE - at]);
            refused(
                format_args!("{} without its last {missing} bytes", call.name),
                || ground.make(call.request, &memory, at),
                Errno::FAULT,
            )?;
        }
    }
    Ok(())
}

/// The direction is a part of the number.
fn extensible_in_another_direction() -> Outcome {
    let ground = ground()?;
    let memory = Mapping::memory(PAGE)?;
    for call in ground.calls() {
        memory.write(0, &call.bytes);
        let size = call.bytes.len();
        for direction in [
            Direction::None,
            Direction::Read,
            Direction::Write,
            Direction::ReadWrite,
        ] {
            let request = opcode::from_components(direction, b'u', call.request as u8, size);
            if request != call.request {
                refused(
                    format_args!("{} as {request:#x}", call.name),
                    || ground.make(request, &memory, 0),
                    Errno::NOTTY,
                )?;
            }
        }
    }
    Ok(())
}
