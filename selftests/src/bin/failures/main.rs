// SPDX-License-Identifier: GPL-2.0

//! Every allocation and every copy that a request makes fails once, one after the other: the
//! request fails with an error that says so, and leaves nothing behind, or it did not need it.
//!
//! Wants a kernel with fault injection (Documentation/fault-injection/fault-injection.rst).

mod creating;
mod devices;
mod mapping;
mod module;
mod site;

use std::process::ExitCode;

use selftests::ktap;

fn main() -> ExitCode {
    ktap::main(&[
        creating::TESTS,
        mapping::TESTS,
        devices::TESTS,
        module::TESTS,
    ])
}
