// SPDX-License-Identifier: GPL-2.0

//! One run of QEMU, from its start to its certain end.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    net::Shutdown,
    os::unix::{
        net::{UnixListener, UnixStream},
        process::CommandExt,
    },
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use protocol::{Event, Job, Program};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::qemu::{Console, Qemu};

/// How often the clock, the process and the interrupt flag are looked at.
const TICK: Duration = Duration::from_millis(50);

/// How long QEMU may take to go after the guest said that it was done.
const GRACE: Duration = Duration::from_secs(30);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The guest reported the end of its job and powered off.
    Done,
    /// The guest went away before its job was over.
    Died(String),
    /// It was killed, something took longer than it may.
    OutOfTime {
        /// What it did not finish.
        what: String,
        /// How long that may take.
        limit: Duration,
    },
    /// It was killed, the user interrupted us.
    Interrupted,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Ending::Done => f.write_str("the guest finished"),
            Ending::Died(how) => write!(f, "the guest died: {how}"),
            Ending::OutOfTime { what, limit } => {
                let limit = limit.as_secs();
                write!(f, "the guest did not finish {what} within {limit} s")
            }
            Ending::Interrupted => f.write_str("interrupted"),
        }
    }
}

/// Set by SIGINT and SIGTERM.
static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // Fails for signals that cannot be caught only, and these two can.
        let _ = signal_hook::flag::register(signal, Arc::clone(&flag));
    }
    flag
});

/// Whether the user asked us to stop.
pub fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// How long a guest may take for each of its steps, so that one that hangs is found out soon.
pub struct Limits {
    /// For what init does: the boot, what is between two programs, and the end.
    pub step: Duration,
    /// For each program, if that is bounded.
    pub programs: Vec<Option<Duration>>,
}

/// The step that a guest is in, and until when.
struct Step {
    what: String,
    limit: Option<Duration>,
    since: Instant,
}

impl Step {
    fn new(what: impl Into<String>, limit: Option<Duration>) -> Self {
        Step {
            what: what.into(),
            limit,
            since: Instant::now(),
        }
    }

    /// The step that an event begins, if it begins one.
    fn after(event: &Event, job: &Job, limits: &Limits) -> Option<Self> {
        match event {
            Event::Started { program } => {
                let number = *program as usize;
                let line = job.programs.get(number).map(Program::command_line);
                let own = limits.programs.get(number).copied().flatten();
                // Init ends a program in time: only when it cannot do that is it for us.
                let limit = own.map(|own| own + limits.step);
                Some(Step::new(line.unwrap_or_default(), limit))
            }
            Event::Ready { .. } | Event::Ended { .. } | Event::Unloaded { .. } => {
                Some(Step::new("its job", Some(limits.step)))
            }
            Event::Output { .. } | Event::Leaks(_) | Event::Failed(_) | Event::Done => None,
        }
    }

    /// The ending of a guest that took too long, if it did.
    fn over(&self) -> Option<Ending> {
        let limit = self.limit?;
        (self.since.elapsed() > limit).then(|| Ending::OutOfTime {
            what: self.what.clone(),
            limit,
        })
    }
}

/// Boots the machine, gives it the job, and passes on its events until it is gone.
/// QEMU never outlives this call.
///
/// # Errors
///
/// When QEMU cannot be started. A guest that fails is no error but an [`Ending`].
pub fn run(
    qemu: &Qemu<'_>,
    job: &Job,
    limits: &Limits,
    mut on_event: impl FnMut(Event),
) -> Result<Ending> {
    let mut step = Step::new("its boot", Some(limits.step));
    let interactive = qemu.console == Console::Terminal;
    let listener = UnixListener::bind(&qemu.events)
        .with_context(|| format!("cannot listen on {}", qemu.events.display()))?;
    let messages = qemu.log.with_extension("qemu");
    let mut process = Process::start(qemu.command(), messages, interactive)?;

    let stream = match connect(&listener, &mut process, &step)? {
        Ok(stream) => stream,
        Err(ending) => return Ok(ending),
    };
    protocol::send(&mut &stream, job).context("cannot send the job")?;
    let (sender, receiver) = mpsc::channel();
    // Ends by itself: killing QEMU closes the other side of the stream.
    thread::spawn(move || listen(&stream, &sender));

    let mut done: Option<Instant> = None;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(Ok(Some(Event::Done))) => {
                done = Some(Instant::now());
                on_event(Event::Done);
            }
            Ok(Ok(Some(event))) => {
                step = Step::after(&event, job, limits).unwrap_or(step);
                on_event(event);
            }
            Ok(Ok(None)) | Err(RecvTimeoutError::Disconnected) => break,
            Ok(Err(error)) => {
                // A QEMU that has ended knows better why.
                let why = match process.wait(GRACE)? {
                    Some(status) => process.last_words(status),
                    None => format!("its last words were cut off ({error})"),
                };
                return Ok(Ending::Died(why));
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        if interrupted() && !interactive {
            return Ok(Ending::Interrupted);
        }
        if let Some(ending) = step.over() {
            return Ok(ending);
        }
        // Its port stays open for as long as it hangs.
        if done.is_some_and(|since| since.elapsed() > GRACE) {
            break;
        }
    }
    // Time that it has had already does not count again.
    let patience = done.map_or(GRACE, |since| GRACE.saturating_sub(since.elapsed()));
    Ok(match (process.wait(patience)?, done.is_some()) {
        (Some(status), true) if status.success() => Ending::Done,
        (None, true) => Ending::Died("it did not power off".into()),
        (Some(status), _) => Ending::Died(process.last_words(status)),
        (None, false) => Ending::Died("it closed its port".into()),
    })
}

/// Waits for the guest's machine to connect.
fn connect(
    listener: &UnixListener,
    process: &mut Process,
    step: &Step,
) -> Result<Result<UnixStream, Ending>> {
    listener.set_nonblocking(true)?;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(Ok(stream));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("cannot accept QEMU's connection"),
        }
        if let Some(status) = process.ended()? {
            bail!("QEMU did not start: {}", process.last_words(status));
        }
        if interrupted() {
            return Ok(Err(Ending::Interrupted));
        }
        if let Some(ending) = step.over() {
            return Ok(Err(ending));
        }
        thread::sleep(TICK / 5);
    }
}

/// Passes on what the guest says, until it has said all.
fn listen(stream: &UnixStream, sender: &mpsc::Sender<io::Result<Option<Event>>>) {
    loop {
        let message = protocol::receive::<Event>(&mut &*stream);
        let last = !matches!(&message, Ok(Some(event)) if *event != Event::Done);
        if sender.send(message).is_err() || last {
            // The guest waits for this before it powers off, for what is on its way then is lost.
            let _ = stream.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// A running QEMU, killed when dropped.
struct Process {
    child: Child,
    messages: PathBuf,
}

impl Process {
    fn start(mut command: Command, messages: PathBuf, interactive: bool) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let file = File::create(&messages)
            .with_context(|| format!("cannot make {}", messages.display()))?;
        if interactive {
            // The messages of a terminal session belong on the terminal, with it as stdin.
            drop(file);
        } else {
            // Out of the terminal's foreground: Ctrl-C is for us, and we end QEMU in order.
            command
                .process_group(0)
                .stdin(Stdio::null())
                .stdout(file.try_clone()?)
                .stderr(file);
        }
        let child = command.spawn().map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!("no {program}: run ci/setup"),
            _ => anyhow::Error::new(error).context(format!("cannot start {program}")),
        })?;
        Ok(Process { child, messages })
    }

    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() > deadline {
                return Ok(None);
            }
            thread::sleep(TICK / 5);
        }
    }

    /// Why QEMU ended, in its own words where it had some.
    fn last_words(&self, status: ExitStatus) -> String {
        let said = fs::read_to_string(&self.messages).unwrap_or_default();
        match said.lines().rev().find(|line| !line.trim().is_empty()) {
            Some(line) => line.trim().to_owned(),
            None if status.success() => "the machine stopped before the job was over".into(),
            None => format!("QEMU ended with {status}"),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.ended(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use protocol::{Exporter, Outcome};

    use super::*;

    fn job() -> Job {
        let program = |argument: &str, time_limit| Program {
            path: "/bin/flows".into(),
            arguments: vec![argument.into()],
            time_limit,
            on_console: false,
            exporter: None,
        };
        Job {
            huge_memory: 0,
            exporter: Exporter::C,
            modules: Vec::new(),
            programs: vec![
                program("bounded", Some(Duration::from_secs(7))),
                program("endless", None),
            ],
            unload: false,
            find_leaks: false,
        }
    }

    fn limits() -> Limits {
        let programs = job().programs.iter().map(|p| p.time_limit).collect();
        Limits {
            step: Duration::from_secs(100),
            programs,
        }
    }

    #[test]
    fn every_step_has_its_own_limit() {
        let limit = |event| Step::after(&event, &job(), &limits()).map(|step| step.limit);
        let seconds = |n| Some(Some(Duration::from_secs(n)));
        let outcome = Outcome::Exited(0);
        assert_eq!(limit(Event::Ready { kernel: "7".into() }), seconds(100));
        assert_eq!(limit(Event::Started { program: 0 }), seconds(107));
        assert_eq!(limit(Event::Started { program: 1 }), Some(None));
        assert_eq!(
            limit(Event::Ended {
                program: 1,
                outcome
            }),
            seconds(100)
        );
        // What a program writes does not give it more time.
        assert_eq!(limit(Event::Leaks(String::new())), None);
    }

    #[test]
    fn a_guest_is_told_that_all_was_read() {
        let (mut guest, host) = UnixStream::pair().unwrap();
        let (sender, receiver) = mpsc::channel();
        let leaks = Event::Leaks(String::new());
        for event in [&leaks, &Event::Done] {
            protocol::send(&mut guest, event).unwrap();
        }
        let listener = thread::spawn(move || {
            listen(&host, &sender);
            // Open for longer than the listener needs it.
            host
        });
        guest
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        assert_eq!(guest.read(&mut [0]).unwrap(), 0);
        let heard: Vec<_> = receiver.iter().map(|event| event.unwrap()).collect();
        assert_eq!(heard, [Some(leaks), Some(Event::Done)]);
        drop(listener.join());
    }

    #[test]
    fn a_step_that_takes_too_long_is_named() {
        let mut step = Step::after(&Event::Started { program: 0 }, &job(), &limits()).unwrap();
        assert_eq!(step.over(), None);
        step.limit = Some(Duration::ZERO);
        let ending = step.over().unwrap().to_string();
        assert_eq!(
            ending,
            "the guest did not finish /bin/flows bounded within 0 s"
        );
    }
}
