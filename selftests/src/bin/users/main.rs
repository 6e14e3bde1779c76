// SPDX-License-Identifier: GPL-2.0

//! Users against each other: what one does with the device, another one does not notice.
//!
//! Two processes of different users may open the device. In each test one of them is up to something,
//! and the other makes buffers, uses them and lets go of them as ever: [`costs`] judges how long that may
//! take. A test is a call of [`beside::beside`]: its closure becomes [`user::User::Hostile`], says that it
//! is ready within two minutes, and goes on until it is killed. Pins, dma-bufs and the kernel log are
//! compared around each test. Nothing here depends on what a machine does to data but for the calls that reach a device
//! with a shadow: one machine of each kind of device is enough.

mod beside;
mod costs;
mod descriptors;
mod dying;
mod floods;
mod honest;
mod lists;
mod locks;
mod many;
mod memory;
mod nodes;
mod remains;
mod user;

use std::process::ExitCode;

use selftests::ktap;

fn main() -> ExitCode {
    ktap::main(&[
        descriptors::TESTS,
        lists::TESTS,
        dying::TESTS,
        memory::TESTS,
        locks::TESTS,
        floods::TESTS,
        many::TESTS,
        remains::TESTS,
    ])
}
