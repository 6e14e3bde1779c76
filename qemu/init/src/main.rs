// SPDX-License-Identifier: GPL-2.0

//! PID 1 of the test guests: sets the machine up, runs one job, powers off. In a system that has
//! an init of its own it is a service, which runs the job only.

#![forbid(unsafe_code)]

mod device;
mod exporter;
mod huge_pages;
mod job;
mod kmsg;
mod leaks;
mod module;
mod mounts;
mod port;
mod program;

use protocol::Event;
use rustix::system::{RebootCommand, reboot};

/// Whether this process has to set the machine up and to power it off.
fn is_init() -> bool {
    std::process::id() == 1
}

fn main() {
    // Without /dev and /sys there is no port to complain to: the console has to do.
    let mounted = match is_init() {
        true => mounts::mount_all(),
        false => Ok(()),
    };
    let port = match mounted.and_then(|()| port::open()) {
        Ok(port) => port,
        Err(error) => {
            eprintln!("init: {error:#}");
            power_off();
        }
    };
    if let Err(error) = job::run(&port) {
        give_up(&port, &format!("{error:#}"));
    }
    port.report(&Event::Done);
    port.drain();
    power_off();
}

/// Reports that the job cannot go on, and ends the machine.
fn give_up(port: &port::Port, why: &str) -> ! {
    port.report(&Event::Failed(why.to_owned()));
    port.report(&Event::Done);
    port.drain();
    power_off();
}

/// Powers the machine off. A machine that cannot do it stays up until the
/// harness ends it and counts that as a failure. An installed system powers off by itself when its
/// service is over.
fn power_off() -> ! {
    if !is_init() {
        std::process::exit(0);
    }
    let error = reboot(RebootCommand::PowerOff);
    eprintln!("init: cannot power off: {error:?}");
    loop {
        std::thread::park();
    }
}
