// SPDX-License-Identifier: GPL-2.0

//! Requests that the device does not know.

use rustix::ioctl::Direction;
use rustix::ioctl::opcode;

use selftests::Errno;
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
    other_numbers,
    other_sizes,
    other_directions,
    other_drivers_requests,
];

/// The device refuses the request, although a good argument is given.
#[track_caller]
fn unknown(request: u32) -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(PAGE)?;
    let list = list_bytes(0, 1, &[memfd.whole()]);
    for address in [list.as_ptr() as usize, list[8..].as_ptr() as usize, 0] {
        let call = || sys::ioctl::udmabuf(&device, request, address);
        refused(format_args!("request {request:#x}"), call, Errno::NOTTY)?;
    }
    Ok(())
}

fn request(direction: Direction, number: u8, size: usize) -> u32 {
    opcode::from_components(direction, b'u', number, size)
}

/// The numbers of the requests and the sizes of their arguments.
const KNOWN: [(u8, usize); 2] = [
    (0x42, size_of::<abi::udmabuf_create>()),
    (0x43, size_of::<abi::udmabuf_create_list>()),
];

fn other_numbers() -> Outcome {
    for (number, size) in KNOWN {
        // What the tests below vary is right to begin with.
        let known = [
            abi::REQUEST_UDMABUF_CREATE,
            abi::REQUEST_UDMABUF_CREATE_LIST,
        ];
        equal(
            "known",
            known.contains(&request(Direction::Write, number, size)),
            true,
        )?;
        for other in [0, 1, 0x41, 0x44, 0x45, 0xff] {
            unknown(request(Direction::Write, other, size))?;
        }
    }
    Ok(())
}

fn other_sizes() -> Outcome {
    for (number, size) in KNOWN {
        for other in [0, size - 4, size + 1, size + 8, 0x3fff] {
            unknown(request(Direction::Write, number, other))?;
        }
    }
    Ok(())
}

fn other_directions() -> Outcome {
    for (number, size) in KNOWN {
        for other in [Direction::None, Direction::Read, Direction::ReadWrite] {
            unknown(request(other, number, size))?;
        }
    }
    Ok(())
}

fn other_drivers_requests() -> Outcome {
    unknown(abi::REQUEST_DMA_BUF_SYNC)?;
    unknown(abi::REQUEST_EDU_SET_MASK)?;
    unknown(opcode::write::<abi::udmabuf_create>(b'U', 0x42))?;
    unknown(0)
}
