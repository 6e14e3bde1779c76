// SPDX-License-Identifier: GPL-2.0

//! Runs a program, and prints what the driver's tracepoints say meanwhile.
//!
//! Standard output is the trace as the kernel writes it, and nothing else: what the program prints goes
//! to standard error. The exit code is the program's, or 128 + n if signal n has killed it. Where there
//! are no tracepoints, the program runs all the same, and nothing is printed. With `--check`, accesses to
//! the buffers that it makes are checked.

use std::env;
use std::io;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use selftests::driver::Driver;
use selftests::tracefs::Trace;

/// The system that the driver's tracepoints belong to.
const SYSTEM: &str = "udmabuf";

/// The exit code if the program could not be run or traced.
const FAILED: u8 = 255;

/// What is added to a signal, as a shell does.
const KILLED: i32 = 128;

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1).peekable();
    let check = words.next_if(|word| word == "--check").is_some();
    let Some(program) = words.next() else {
        eprintln!("usage: trace [--check] PROGRAM [argument...]");
        return ExitCode::from(FAILED);
    };
    let mut command = Command::new(&program);
    command.args(words).stdout(Stdio::from(io::stderr()));
    run(&mut command, check).unwrap_or_else(|error| {
        eprintln!("cannot trace {}: {error}", program.display());
        ExitCode::from(FAILED)
    })
}

fn run(command: &mut Command, check: bool) -> io::Result<ExitCode> {
    let parameter = Driver::Rust.parameter("check");
    let _changed = check.then(|| parameter.set("1")).transpose()?;
    let trace = Trace::of(SYSTEM)?;
    if let Some(trace) = &trace {
        trace.enlarge()?;
    }
    let status = command.status();
    // Also of a program that could not be run: its absence would tell of a kernel without tracepoints.
    if let Some(trace) = &trace {
        let mut out = io::stdout().lock();
        out.write_all(trace.text()?.as_bytes())?;
        out.flush()?;
    }
    let status = status?;
    let killed = status.signal().map(|signal| KILLED + signal);
    let code = status.code().or(killed).unwrap_or(FAILED.into());
    // Exit codes are 8 bits wide, and so are ours.
    Ok(ExitCode::from(code as u8))
}
