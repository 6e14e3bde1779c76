// SPDX-License-Identifier: GPL-2.0

//! Every way in which the driver refuses, with the exact error.

use std::process::ExitCode;

use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::ktap;
use selftests::outcome::errno;
use selftests::tests;

fn main() -> ExitCode {
    ktap::main(tests![misaligned_offset, misaligned_size])
}

fn misaligned_offset() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    errno(
        "offset 1",
        device.create(memfd.range(1, PAGE)),
        Errno::INVAL,
    )
}

fn misaligned_size() -> Outcome {
    let device = Udmabuf::open()?;
    let memfd = Memfd::new(4 * PAGE)?;
    errno(
        "size 4097",
        device.create(memfd.range(0, PAGE + 1)),
        Errno::INVAL,
    )
}
