// SPDX-License-Identifier: GPL-2.0

//! Commands of the system.

use std::process::{Command, Output};

use anyhow::{Context, Result, bail};

/// Lines of a command's output that are shown when it fails.
const SHOWN: usize = 8;

/// Runs a command that has to succeed; what it wrote.
pub fn succeed(words: &[&str]) -> Result<String> {
    let output = run(words)?;
    let said = said(&output);
    if !output.status.success() {
        let lines: Vec<_> = said.lines().collect();
        let last = &lines[lines.len().saturating_sub(SHOWN)..];
        bail!(
            "{} ended with {}\n{}",
            words.join(" "),
            output.status,
            last.join("\n")
        );
    }
    Ok(said)
}

/// Runs a command to its end; its exit code, and what it wrote.
pub fn to_end(words: &[&str]) -> Result<(Option<i32>, String)> {
    let output = run(words)?;
    Ok((output.status.code(), said(&output)))
}

fn run(words: &[&str]) -> Result<Output> {
    let (program, arguments) = words.split_first().context("no command")?;
    Command::new(program)
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("LC_ALL", "C.UTF-8")
        .output()
        .with_context(|| format!("cannot start {program}"))
}

fn said(output: &Output) -> String {
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    said
}
