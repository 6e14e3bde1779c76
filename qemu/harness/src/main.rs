// SPDX-License-Identifier: GPL-2.0

//! Boots the test machines, runs programs in them, and judges what comes out.
//!
//! Everything it boots and loads was built before by `ci/`; this program builds
//! nothing but the initramfs (and, through `ci/modules`, the mutants).

#![forbid(unsafe_code)]

mod again;
mod bench;
mod boot;
mod cli;
mod command;
mod coverage;
mod deadline;
mod device_tree;
mod elf;
mod guest;
mod initramfs;
mod installed;
mod kernel;
mod ktap;
mod layout;
mod log;
mod machine;
mod matrix;
mod nested;
mod number;
mod parallel;
mod plan;
mod qemu;
mod race;
mod report;
mod steps;
mod suite;
mod trace;
mod usage;
mod variant;
mod versions;
mod workshop;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        // Help goes out whole; of an error the first paragraph says it all, on one line.
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            let paragraph = text
                .lines()
                .take_while(|line| !line.is_empty())
                .map(str::trim);
            let paragraph = paragraph.collect::<Vec<_>>().join(" ");
            eprintln!("{paragraph}; see ci/harness --help");
            return ExitCode::from(2);
        }
        Err(help) => help.exit(),
    };
    match cli.run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(if error.is::<usage::Usage>() { 2 } else { 1 })
        }
    }
}
