// SPDX-License-Identifier: GPL-2.0

//! `run`: the main job, told as a story.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, bail};
use protocol::{Event, Outcome, Stream};

use crate::{
    boot::{Boot, Task},
    cli::Guest,
    command::vm,
    kernel::Kernel,
    layout::Layout,
};

/// The program that does the main job and tells about it.
const STORY: &str = "story";

/// How long the story may take in the plain kernel.
const TIME_LIMIT: Duration = Duration::from_secs(120);

/// Runs the story. It ends with its own verdict, which stands only if the guest
/// finished and its kernel log is clean: so the last line is ours to print.
pub fn run(guest: &Guest) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let kernel = Kernel::find(&layout, guest.machine, guest.kernel)?;
    let programs = layout.programs(guest.machine.board().target, guest.kernel);
    let file = programs.join(STORY);
    if !file.is_file() {
        bail!("no program at {}: run ci/programs", file.display());
    }
    let limit = TIME_LIMIT * guest.kernel.slowness();
    let boot = Boot {
        name: format!("run-{}", guest.machine.name()),
        driver: guest.driver,
        tasks: vec![Task::new(&file, Vec::new(), Some(limit))?],
        unload: true,
        show_command: guest.show_command,
        ..Boot::new(&layout, guest.machine, &kernel)
    };
    println!("machine   {}", guest.machine.about());
    let mut verdict = Verdict::default();
    let booted = boot.run(|event| match event {
        Event::Ready { kernel } => println!("kernel    {kernel}, driver {}", guest.driver),
        Event::Output {
            stream: Stream::Stdout,
            bytes,
            ..
        } => verdict.tell(bytes),
        other => vm::pass_on(other),
    })?;
    let Some(booted) = booted else {
        return Ok(ExitCode::SUCCESS);
    };
    verdict.finish();

    let mut wrong = Vec::new();
    wrong.extend(booted.broken());
    wrong.extend(
        booted
            .complaints
            .iter()
            .map(|c| format!("kernel log line {}: {}", c.line, c.text)),
    );
    for (module, error) in &booted.unloaded {
        match error {
            None => println!("unloaded  {module}"),
            Some(error) => wrong.push(error.clone()),
        }
    }
    match booted.outcomes.first() {
        Some(Outcome::Exited(0)) if verdict.passed => {}
        Some(outcome) => wrong.push(format!("the story failed ({outcome})")),
        None => wrong.push("the story did not end".into()),
    }
    for line in &wrong {
        println!("wrong     {line}");
    }
    if wrong.is_empty() {
        println!("PASS");
        return Ok(ExitCode::SUCCESS);
    }
    println!("log       {}", layout.short(&booted.log).display());
    println!("FAIL");
    Ok(ExitCode::FAILURE)
}

/// Prints a program's lines as they come and keeps its verdict back.
#[derive(Default)]
struct Verdict {
    line: Vec<u8>,
    passed: bool,
}

impl Verdict {
    fn tell(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.finish();
            } else {
                self.line.push(byte);
            }
        }
    }

    fn finish(&mut self) {
        let line = std::mem::take(&mut self.line);
        match line.as_slice() {
            b"" => {}
            b"PASS" => self.passed = true,
            b"FAIL" => self.passed = false,
            other => println!("{}", String::from_utf8_lossy(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_found_however_the_output_is_cut() {
        let mut verdict = Verdict::default();
        for piece in [&b"a line\nPA"[..], b"SS", b"\n"] {
            verdict.tell(piece);
        }
        assert!(verdict.passed);
        verdict.tell(b"FAIL");
        verdict.finish();
        assert!(!verdict.passed);
    }
}
