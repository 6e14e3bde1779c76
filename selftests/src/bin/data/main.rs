// SPDX-License-Identifier: GPL-2.0

//! The right bytes in the right place, whoever writes and whoever reads: the CPU through the
//! dma-buf or the memfd, a device by DMA, the kernel through vmap.
//!
//! Every byte depends on its position, and only the rules of the contract are relied upon: an
//! access bracket, or mapping and unmapping for a device, hands the data over.

mod automatic;
mod brackets;
mod checked;
mod cost;
mod cpu;
mod device;
mod devices;
mod ending;
mod fences;
mod kernel;
mod layout;
mod order;
mod scale;
mod setup;
mod stated;
mod traced;
mod waiting;

use std::process::ExitCode;

use selftests::ktap;

fn main() -> ExitCode {
    ktap::main(&[
        cpu::TESTS,
        cost::TESTS,
        scale::TESTS,
        layout::TESTS,
        device::TESTS,
        devices::TESTS,
        stated::TESTS,
        traced::TESTS,
        checked::TESTS,
        automatic::TESTS,
        brackets::TESTS,
        fences::TESTS,
        kernel::TESTS,
        ending::TESTS,
        waiting::TESTS,
    ])
}
