// SPDX-License-Identifier: GPL-2.0

//! Buffers live exactly as long as somebody uses them, in whatever order users come and go.

mod batches;
mod charging;
mod closing;
mod content;
mod debugger;
mod entries;
mod killing;
mod locking;
mod many;
mod mapping;
mod module;
mod pages;
mod races;
mod seals;
mod sharing;
mod waiting;

use std::process::ExitCode;

use selftests::ktap;

fn main() -> ExitCode {
    ktap::main(&[
        closing::TESTS,
        sharing::TESTS,
        mapping::TESTS,
        entries::TESTS,
        debugger::TESTS,
        pages::TESTS,
        content::TESTS,
        batches::TESTS,
        seals::TESTS,
        races::TESTS,
        many::TESTS,
        charging::TESTS,
        killing::TESTS,
        locking::TESTS,
        waiting::TESTS,
        module::TESTS,
    ])
}
