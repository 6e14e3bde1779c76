// SPDX-License-Identifier: GPL-2.0

//! Runs in the outer guest: boots an inner one with a virtio-gpu under the host's own QEMU, has
//! it draw, and compares what the screen shows. Speaks KTAP.
//!
//! Layers, each of which knows only those below it: `steps` (what is tried), `stage` (the two
//! sides together), `guest`, `machine`, `process`, `screen` (one thing each), `root`.

#![forbid(unsafe_code)]

mod arguments;
mod guest;
mod machine;
mod process;
mod root;
mod screen;
mod stage;
mod steps;

use std::process::ExitCode;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!(
                "{error:#}; usage: gpu-host --qemu PROGRAM [--ram memfd|hugetlb] [--quick] \
                 [PART_OF_A_NAME...]"
            );
            return ExitCode::from(2);
        }
    };
    match steps::run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
