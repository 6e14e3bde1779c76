// SPDX-License-Identifier: GPL-2.0

//! Runs on a Debian system on which apt has installed the package, and looks whether it is what
//! its users were promised. Speaks KTAP. One phase for each start of the system.
//!
//! Layers, each of which knows only those below it: `phases` (in which order), `names`, `package`
//! (what is promised of each), `rights`, `node`, `command` (one thing each).

#![forbid(unsafe_code)]

mod command;
mod names;
mod node;
mod package;
mod phases;
mod rights;

use std::process::ExitCode;

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    let [phase] = words.as_slice() else {
        eprintln!("usage: installed-system PHASE");
        return ExitCode::from(2);
    };
    match phases::run(phase) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}
