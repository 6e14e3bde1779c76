// SPDX-License-Identifier: GPL-2.0

//! One program: started, listened to, and cleaned up after.

use std::{
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use protocol::{Driver, Event, Outcome, Program, Stream};
use rustix::{
    fs::{Mode, OFlags},
    process::{Pid, Signal, WaitOptions, kill_process_group, wait},
};

use crate::port::Port;

/// The console of an interactive guest.
const CONSOLE: &str = "/dev/hvc0";

/// How long processes may take to die.
const LAST_GASP: Duration = Duration::from_secs(10);

/// The unit of a program in an installed system.
const UNIT: &str = "udmabuf-program";

/// Output is passed on in pieces of at most this many bytes.
const PIECE: usize = 32 << 10;

/// Runs a program to its end and ends whatever it left running.
pub fn run(port: &Port, number: u32, program: &Program, driver: Driver) -> Outcome {
    match start(program, driver) {
        Ok(child) => attend(port, number, program, child),
        Err(error) => Outcome::NotStarted(format!("{error:#}")),
    }
}

fn start(program: &Program, driver: Driver) -> Result<Child> {
    let driver = driver.to_string();
    let environment = [
        ("PATH", "/sbin:/bin"),
        ("HOME", "/tmp"),
        ("TERM", "linux"),
        ("UDMABUF_DRIVER", &driver),
    ];
    let mut command = match crate::is_init() {
        true => Command::new(&program.path),
        false => unit(&program.path, &environment),
    };
    command
        .args(&program.arguments)
        .env_clear()
        .envs(environment)
        .current_dir("/tmp");
    if program.on_console {
        let flags = OFlags::RDWR | OFlags::NOCTTY;
        let console = rustix::fs::open(CONSOLE, flags, Mode::empty()).context(CONSOLE)?;
        command
            .stdin(console.try_clone().context(CONSOLE)?)
            .stdout(console.try_clone().context(CONSOLE)?)
            .stderr(console);
    } else {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }
    command.spawn().with_context(|| program.path.clone())
}

/// What runs a program in a unit of its own, with which all its processes end.
fn unit(path: &str, environment: &[(&str, &str)]) -> Command {
    let mut command = Command::new("systemd-run");
    command
        .args(["--quiet", "--pipe", "--wait", "--collect"])
        .arg(format!("--unit={UNIT}"))
        .arg("--working-directory=/tmp")
        .arg("--property=LimitNOFILE=infinity");
    for (name, value) in environment {
        command.arg(format!("--setenv={name}={value}"));
    }
    command.arg("--").arg(path);
    command
}

fn attend(port: &Port, number: u32, program: &Program, mut child: Child) -> Outcome {
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    thread::scope(|scope| {
        if let Some(pipe) = stdout {
            scope.spawn(move || pass_on(port, number, Stream::Stdout, pipe));
        }
        if let Some(pipe) = stderr {
            scope.spawn(move || pass_on(port, number, Stream::Stderr, pipe));
        }
        let outcome = wait_for(port, program, child);
        // Whatever still runs belongs to this program. It would keep the pipes
        // open, for ever perhaps, and its buffers alive in the next program.
        end_all_others(port);
        outcome
    })
}

fn pass_on(port: &Port, program: u32, stream: Stream, mut pipe: impl Read) {
    let mut piece = vec![0; PIECE];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => return,
            Ok(n) => port.report(&Event::Output {
                program,
                stream,
                bytes: piece[..n].to_vec(),
            }),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                eprintln!("init: cannot read a program's output: {error}");
                return;
            }
        }
    }
}

fn wait_for(port: &Port, program: &Program, mut child: Child) -> Outcome {
    let Some(limit) = program.time_limit else {
        return outcome(child.wait());
    };
    let (sender, receiver) = mpsc::channel();
    let waiter = thread::spawn(move || sender.send(child.wait()));
    let result = match receiver.recv_timeout(limit) {
        Ok(status) => outcome(status),
        Err(_) => {
            end_all_others(port);
            Outcome::TimedOut
        }
    };
    // The child is dead by now, so this does not block; the result is known.
    let _ = waiter.join();
    result
}

fn outcome(status: io::Result<ExitStatus>) -> Outcome {
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => Outcome::Exited(code),
            (None, Some(signal)) => Outcome::Killed(signal),
            (None, None) => Outcome::NotStarted(format!("strange status {status}")),
        },
        Err(error) => Outcome::NotStarted(format!("cannot wait: {error}")),
    }
}

/// Kills every process but this one and collects those that have no parent left. One that does not
/// die hangs in the kernel, and so would whatever comes next: that is the end of the job.
fn end_all_others(port: &Port) {
    if !crate::is_init() {
        // Gone already is fine.
        let _ = Command::new("systemctl")
            .args(["-q", "stop", UNIT])
            .status();
        return;
    }
    // To the group of init means: to every process but init. None left is fine.
    let _ = kill_process_group(Pid::INIT, Signal::KILL);
    let deadline = Instant::now() + LAST_GASP;
    while let Ok(ended) = wait(WaitOptions::NOHANG) {
        if ended.is_none() {
            if Instant::now() > deadline {
                crate::give_up(port, "a process does not die: it hangs in the kernel");
            }
            thread::sleep(LAST_GASP / 1000);
        }
    }
}
