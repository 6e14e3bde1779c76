// SPDX-License-Identifier: GPL-2.0

//! `vm`: any static program of the user's, in a guest.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use protocol::{Event, Outcome, Stream};

use crate::{
    boot::{Boot, Booted, Task},
    cli::Guest,
    elf,
    guest::Ending,
    kernel::{Further, Kernel},
    layout::Layout,
    usage::refuse,
};

/// The exit code of a guest that went away without telling its program's.
pub const NO_EXIT_CODE: u8 = 255;

/// The exit code of a shell whose command was ended by SIGINT.
const INTERRUPTED: u8 = 130;

/// The arguments of `vm`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    guest: Guest,
    /// Program and arguments as one string, quoted as for a shell.
    exec: String,
}

/// Runs the program. The exit code is its own, 128 + n if signal n killed it,
/// 255 if the guest died; complaints in the kernel log are shown on stderr.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let guest = &arguments.guest;
    let layout = Layout::find()?;
    let task = task(&arguments.exec)?;
    elf::check(&task.file, guest.machine)?;
    let kernel = Kernel::find(&layout, guest.machine, guest.kernel)?;
    let boot = Boot {
        name: format!("vm-{}", guest.machine.name()),
        further: vec![Further::Camera, Further::Fences],
        driver: guest.driver,
        tasks: vec![task],
        show_command: guest.show_command,
        ..Boot::new(&layout, guest.machine, &kernel)
    };
    let Some(booted) = boot.run(pass_on)? else {
        return Ok(ExitCode::SUCCESS);
    };
    Ok(exit_code(&layout, &booted))
}

/// The exit code of the only program of a boot; says on stderr what else there is to say.
pub fn exit_code(layout: &Layout, booted: &Booted) -> ExitCode {
    for complaint in &booted.complaints {
        eprintln!("kernel log line {}: {}", complaint.line, complaint.text);
    }
    if booted.ending == Ending::Interrupted {
        return ExitCode::from(INTERRUPTED);
    }
    if let Some(why) = booted.broken() {
        eprintln!(
            "error: {why}; the kernel log is {}",
            layout.short(&booted.log).display()
        );
        return ExitCode::from(NO_EXIT_CODE);
    }
    ExitCode::from(match booted.outcomes.first() {
        // Exit codes are 8 bits wide, and so are ours.
        Some(Outcome::Exited(code)) => *code as u8,
        Some(Outcome::Killed(signal)) => {
            eprintln!("the program was killed by signal {signal}");
            128_u8.wrapping_add(*signal as u8)
        }
        Some(other) => {
            eprintln!("error: {other}");
            NO_EXIT_CODE
        }
        None => NO_EXIT_CODE,
    })
}

/// The task that a command line describes.
fn task(exec: &str) -> Result<Task> {
    let (file, arguments) = program(exec)?;
    Task::new(&file, arguments, None)
}

/// The program that a command line names, and its arguments.
///
/// # Errors
///
/// [`Usage`](crate::usage::Usage) if there is no such.
pub fn program(exec: &str) -> Result<(PathBuf, Vec<String>)> {
    let words = match shell_words::split(exec) {
        Ok(words) => words,
        Err(error) => refuse!("cannot understand '{exec}': {error}"),
    };
    let Some((program, arguments)) = words.split_first() else {
        refuse!("no program: say EXEC=\"./program arguments\"");
    };
    let file = PathBuf::from(program);
    if !file.is_file() {
        refuse!("no program at {program}: build it first, and give its path");
    }
    Ok((file, arguments.to_vec()))
}

/// Writes a program's output to where it would have gone. A closed pipe on our
/// side is no reason to kill the guest, so errors are dropped.
pub fn pass_on(event: &Event) {
    let Event::Output { stream, bytes, .. } = event else {
        return;
    };
    let _ = match stream {
        Stream::Stdout => write(io::stdout().lock(), bytes),
        Stream::Stderr => write(io::stderr().lock(), bytes),
    };
}

fn write(mut to: impl Write, bytes: &[u8]) -> io::Result<()> {
    to.write_all(bytes)?;
    to.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_command_lines_are_refused_in_one_line() {
        for (exec, reason) in [
            ("", "no program"),
            ("   ", "no program"),
            ("'open", "cannot understand"),
            ("/nonexistent/prog x", "no program at /nonexistent/prog"),
            ("/", "no program at /"),
        ] {
            let message = task(exec).err().unwrap().to_string();
            assert!(message.contains(reason), "{exec:?}: {message}");
            assert_eq!(message.lines().count(), 1);
        }
    }

    #[test]
    fn arguments_are_split_as_a_shell_does() {
        let own = std::env::current_exe().unwrap();
        let task = task(&format!("{} 'a b' \"c\" d", own.display())).unwrap();
        assert_eq!(task.program.arguments, ["a b", "c", "d"]);
        assert!(task.program.path.starts_with("/bin/"));
    }
}
