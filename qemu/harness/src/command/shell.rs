// SPDX-License-Identifier: GPL-2.0

//! `shell`: an interactive guest.

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::Result;

use crate::{
    boot::{Boot, Task},
    cli::Guest,
    kernel::{Further, Kernel},
    layout::Layout,
    qemu::{Console, Pace},
    usage::refuse,
};

/// Run by busybox's shell: makes its other tools available, then gives the shell a terminal of its own.
const SCRIPT: &str = "busybox --install -s /bin 2>/dev/null; exec setsid -c sh -l";

/// Opens the shell; over when it exits, or with Ctrl-A x.
pub fn run(guest: &Guest) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let kernel = Kernel::find(&layout, guest.machine, guest.kernel)?;
    let busybox = layout.busybox(guest.machine.board().target);
    if !busybox.is_file() {
        refuse!("no shell at {}: run ci/setup", busybox.display());
    }
    if !guest.show_command && !io::stdin().is_terminal() {
        refuse!("a shell needs a terminal: use vm to run a program without one");
    }
    let words = ["sh", "-c", SCRIPT].map(String::from);
    let mut task = Task::new(&busybox, words.into(), None)?;
    task.program.on_console = true;
    let boot = Boot {
        name: format!("shell-{}", guest.machine.name()),
        further: vec![Further::Camera, Further::Fences],
        driver: guest.driver,
        tasks: vec![task],
        pace: Pace::Real,
        console: Console::Terminal,
        show_command: guest.show_command,
        ..Boot::new(&layout, guest.machine, &kernel)
    };
    eprintln!(
        "{}: exit ends the guest, Ctrl-A x kills it",
        guest.machine.about()
    );
    let Some(booted) = boot.run(|_| {})? else {
        return Ok(ExitCode::SUCCESS);
    };
    eprintln!("the kernel log is {}", layout.short(&booted.log).display());
    if let Some(failure) = &booted.failure {
        eprintln!("error: {failure}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
