// SPDX-License-Identifier: GPL-2.0

//! Every allocation and every copy that a request makes fails once, one after the other: the
//! request fails with an error that says so, and leaves nothing behind, or it did not need it.
//!
//! Wants a kernel with fault injection (Documentation/fault-injection/fault-injection.rst).

mod brackets;
mod calls;
mod creating;
mod devices;
mod handing;
mod injection;
mod mapping;
mod module;
mod site;
mod sites;
mod sweep;
mod traces;
mod vmap;
mod watching;

use std::process::ExitCode;

use selftests::ktap;

fn main() -> ExitCode {
    ktap::main(&[
        creating::TESTS,
        mapping::TESTS,
        handing::TESTS,
        brackets::TESTS,
        calls::TESTS,
        watching::TESTS,
        vmap::TESTS,
        module::TESTS,
    ])
}
