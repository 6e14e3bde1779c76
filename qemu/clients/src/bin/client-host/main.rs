// SPDX-License-Identifier: GPL-2.0

//! Runs in the guest: has programs of Debian use `/dev/udmabuf` as an ordinary user, and judges
//! what comes out. Speaks KTAP.
//!
//! Layers, each of which knows only those below it: `steps` (in which order), one file per client
//! (what is tried with it), `weston`, `running`, `checked`, `stage` (a client, and the proof that it used the
//! driver), `picture`, `user`, `node`, `root` (one thing each).

#![forbid(unsafe_code)]

mod arguments;
mod checked;
mod dma_buf;
mod gstreamer;
mod kwin;
mod lavapipe;
mod libcamera;
mod node;
mod picture;
mod root;
mod running;
mod stage;
mod steps;
mod tracers;
mod user;
mod weston;

use std::process::ExitCode;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error:#}; usage: client-host CLIENT [PART_OF_A_NAME...]");
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
