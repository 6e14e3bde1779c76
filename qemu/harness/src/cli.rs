// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use protocol::Driver;

use crate::{
    command::{
        bench, clients, installed, matrix, mutants, run, shell, test, trace, virtio_gpu, vm,
    },
    kernel::Flavour,
    machine::{self, Machine},
};

/// Boots the test machines and judges what comes out of them.
#[derive(Parser)]
#[command(version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Which guest.
#[derive(clap::Args)]
pub struct Guest {
    /// The machine.
    #[arg(long, default_value = "x86_64-direct", value_parser = parse_machine)]
    pub machine: &'static dyn Machine,
    /// The kernel.
    #[arg(long, value_enum, env = "UDMABUF_KERNEL", default_value_t = Flavour::Debian)]
    pub kernel: Flavour,
    /// The driver behind /dev/udmabuf: rust or c.
    #[arg(long, default_value_t = Driver::Rust)]
    pub driver: Driver,
    /// Prints QEMU's command line and stops.
    #[arg(long)]
    pub show_command: bool,
}

/// The machine that an argument names.
pub fn parse_machine(name: &str) -> Result<&'static dyn Machine, String> {
    machine::find(name).map_err(|error| error.to_string())
}

#[derive(Subcommand)]
enum Command {
    /// Runs the main job and tells its story; ends with PASS or FAIL.
    Run(Guest),
    /// Runs a static program in a guest, passing its output and exit code on.
    Vm(vm::Arguments),
    /// Draws what happened to the buffers of a static program in a guest, or what a trace says of them.
    Trace(trace::Arguments),
    /// Opens a shell in a guest.
    Shell(Guest),
    /// Runs the tests that a change has to pass; with `--more` or `--attack`, others.
    Test(test::Arguments),
    /// Runs every flow on every machine, with both drivers and with broken variants of ours.
    Matrix(matrix::Arguments),
    /// Counts what both drivers cost, in instructions, and draws it.
    Bench(bench::Arguments),
    /// Boots a guest in the guest, and compares what its virtio-gpu shows.
    VirtioGpu(virtio_gpu::Arguments),
    /// Has programs of Debian use the driver in a guest, as an ordinary user.
    Clients(clients::Arguments),
    /// Starts a Debian system that has the package installed, and looks at it.
    Installed(installed::Arguments),
    /// Checks that the tests notice broken variants of the module.
    Mutants(mutants::Arguments),
}

impl Cli {
    /// Does what was asked; the exit code says how it went.
    pub fn run(self) -> Result<ExitCode> {
        match self.command {
            Command::Run(guest) => run::run(&guest),
            Command::Vm(arguments) => vm::run(&arguments),
            Command::Trace(arguments) => trace::run(&arguments),
            Command::Shell(guest) => shell::run(&guest),
            Command::Test(arguments) => test::run(&arguments),
            Command::Matrix(arguments) => matrix::run(&arguments),
            Command::Bench(arguments) => bench::run(&arguments),
            Command::VirtioGpu(arguments) => virtio_gpu::run(&arguments),
            Command::Clients(arguments) => clients::run(&arguments),
            Command::Installed(arguments) => installed::run(&arguments),
            Command::Mutants(arguments) => mutants::run(&arguments),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn wrong_names_are_refused() {
        for wrong in [
            ["--machine", "vax"],
            ["--driver", "ada"],
            ["--kernel", "huge"],
        ] {
            let words = ["harness", "run"].into_iter().chain(wrong);
            assert!(Cli::try_parse_from(words).is_err(), "{wrong:?}");
        }
    }
}
