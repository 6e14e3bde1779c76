// SPDX-License-Identifier: GPL-2.0

//! What the programs in use today ask of the device, one test per program: how it opens the
//! device, which request and flags it uses, what it does with the buffer, and which errors it
//! relies upon.

mod checked;
mod compositors;
mod kernel;
mod media;
mod rendering;
mod vmm;

use std::process::ExitCode;

use selftests::ktap;
use selftests::ktap::Test;

/// The clients.
const CLIENTS: [&[Test]; 5] = [
    vmm::TESTS,
    media::TESTS,
    rendering::TESTS,
    compositors::TESTS,
    kernel::TESTS,
];

fn main() -> ExitCode {
    ktap::main(&[CLIENTS.concat().as_slice(), checked::TESTS])
}
