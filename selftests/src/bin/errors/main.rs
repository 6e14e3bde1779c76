// SPDX-License-Identifier: GPL-2.0

//! Every way in which the driver refuses: the exact error, and nothing left behind. Beside each
//! refusal stands the nearest request that is not refused.

#[cfg(target_arch = "x86_64")]
mod compat;
mod creation;
mod descriptors;
mod enforcement;
mod facts;
mod fallbacks;
mod files;
mod limits;
mod mappings;
mod memlock;
mod memory;
mod opened;
mod ours;
mod pointers;
mod query;
mod ranges;
mod references;
mod refusal;
mod requests;
mod seals;
mod sync;
mod versions;

use std::process::ExitCode;

use selftests::ktap;

fn main() -> ExitCode {
    ktap::main(&[
        ranges::TESTS,
        files::TESTS,
        opened::TESTS,
        seals::TESTS,
        limits::TESTS,
        references::TESTS,
        pointers::TESTS,
        requests::TESTS,
        descriptors::TESTS,
        memory::TESTS,
        memlock::TESTS,
        mappings::TESTS,
        versions::TESTS,
        query::TESTS,
        facts::TESTS,
        creation::TESTS,
        enforcement::TESTS,
        fallbacks::TESTS,
        sync::TESTS,
        #[cfg(target_arch = "x86_64")]
        compat::TESTS,
    ])
}
