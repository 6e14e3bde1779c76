// SPDX-License-Identifier: GPL-2.0

//! One boot: what goes into the guest, what is asked of it, what it left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use protocol::{DRIVER_MODULE, Driver, Event, IMPORTER_MODULE, Job, Module, Outcome, Program};

use crate::{
    guest::{self, Ending, Limits},
    initramfs::Initramfs,
    kernel::Kernel,
    layout::Layout,
    log::{self, Complaint},
    machine::Machine,
    qemu::{Console, Qemu, shown},
};

/// Enough for 2 GiB in huge pages, which the kernel's own selftest wants, and some to spare.
const HUGE_PAGES: u32 = 1100;

/// What a boot may take beside its programs, in the plain kernel.
const OVERHEAD: Duration = Duration::from_secs(120);

/// A program of the host to be run in the guest.
#[derive(Clone)]
pub struct Task {
    /// Where it is on the host.
    pub file: PathBuf,
    /// How it is run.
    pub program: Program,
}

impl Task {
    /// The program in `file`, as `/bin/<its name>`.
    pub fn new(file: &Path, arguments: Vec<String>, time_limit: Option<Duration>) -> Result<Self> {
        let name = file
            .file_name()
            .with_context(|| format!("no file name: {}", file.display()))?;
        let path = format!("/bin/{}", name.to_string_lossy());
        let program = Program {
            path,
            arguments,
            time_limit,
            on_console: false,
        };
        Ok(Task {
            file: file.to_owned(),
            program,
        })
    }
}

/// A boot to be made.
pub struct Boot<'a> {
    /// Names the log.
    pub name: String,
    /// Where things are.
    pub layout: &'a Layout,
    /// The machine.
    pub machine: &'a dyn Machine,
    /// The kernel, and with it the modules.
    pub kernel: &'a Kernel,
    /// The driver behind `/dev/udmabuf`.
    pub driver: Driver,
    /// What to run.
    pub tasks: Vec<Task>,
    /// Runs the module's KUnit suites.
    pub kunit: bool,
    /// Unloads the modules at the end.
    pub unload: bool,
    /// Lets the kernel look for leaks at the end.
    pub find_leaks: bool,
    /// The interactive console.
    pub console: Console,
    /// Prints QEMU's command line instead of running it.
    pub show_command: bool,
}

/// What a boot left behind.
pub struct Booted {
    /// How it ended.
    pub ending: Ending,
    /// Where the kernel log is.
    pub log: PathBuf,
    /// The kernel log.
    pub log_text: String,
    /// What in it no healthy kernel says.
    pub complaints: Vec<Complaint>,
    /// Whether the guest was set up: modules loaded, the device there.
    pub ready: bool,
    /// Why init gave up, if it did.
    pub failure: Option<String>,
    /// The outcomes of the tasks that ended, in order.
    pub outcomes: Vec<Outcome>,
    /// Modules that were to be unloaded, and why it did not work.
    pub unloaded: Vec<(String, Option<String>)>,
    /// What the leak detector said, if it was asked and could answer.
    pub leaks: Option<String>,
}

impl Booted {
    /// Why the guest did not do its whole job, if it did not.
    pub fn broken(&self) -> Option<String> {
        match (&self.failure, &self.ending) {
            (Some(failure), Ending::Done) => Some(failure.clone()),
            (_, Ending::Done) => None,
            (Some(failure), ending) => Some(format!("{failure}; {ending}")),
            (None, ending @ Ending::Died(_)) => match self.complaints.first() {
                Some(first) => Some(format!("{ending}; first: {}", first.text)),
                None => Some(ending.to_string()),
            },
            (None, ending) => Some(ending.to_string()),
        }
    }
}

impl<'a> Boot<'a> {
    /// A boot of `machine` that runs nothing yet.
    pub fn new(layout: &'a Layout, machine: &'a dyn Machine, kernel: &'a Kernel) -> Self {
        Boot {
            name: format!("{}-{}", machine.name(), kernel.flavour),
            layout,
            machine,
            kernel,
            driver: Driver::Rust,
            tasks: Vec::new(),
            kunit: false,
            unload: false,
            find_leaks: false,
            console: Console::None,
            show_command: false,
        }
    }

    /// Boots and passes on every event. `None` if only the command line was wanted.
    ///
    /// # Errors
    ///
    /// When something that the boot needs is missing, or QEMU does not start.
    pub fn run(&self, mut on_event: impl FnMut(&Event)) -> Result<Option<Booted>> {
        let (job, archive) = self.prepare()?;
        // Held until the log was read.
        let (log, _claim) = self.layout.claim("logs", &self.name, "log")?;
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let qemu = Qemu {
            machine: self.machine,
            kernel: self.kernel,
            kunit: self.kunit,
            initramfs: scratch.path().join("initramfs"),
            events: scratch.path().join("events"),
            log,
            console: self.console,
        };
        if self.show_command {
            println!("{}", shown(&qemu.command()));
            return Ok(None);
        }
        archive.write(&qemu.initramfs)?;

        let mut ready = false;
        let mut failure = None;
        let mut outcomes = Vec::new();
        let mut unloaded = Vec::new();
        let mut leaks = None;
        let ending = guest::run(&qemu, &job, self.limits(&job), |event| {
            on_event(&event);
            match event {
                Event::Failed(reason) => failure = Some(reason),
                Event::Ended { outcome, .. } => outcomes.push(outcome),
                Event::Unloaded { module, error } => unloaded.push((module, error)),
                Event::Leaks(found) => leaks = Some(found),
                Event::Ready { .. } => ready = true,
                Event::Started { .. } | Event::Output { .. } | Event::Done => {}
            }
        })?;
        let log_text = fs::read(&qemu.log).context("cannot read the kernel log")?;
        let log_text = String::from_utf8_lossy(&log_text).into_owned();
        Ok(Some(Booted {
            ending,
            complaints: log::complaints(&log_text),
            log: qemu.log,
            log_text,
            ready,
            failure,
            outcomes,
            unloaded,
            leaks,
        }))
    }

    /// The job, and the archive with all that it needs.
    fn prepare(&self) -> Result<(Job, Initramfs)> {
        let init = self
            .layout
            .programs(self.machine.board().target)
            .join("init");
        if !init.is_file() {
            bail!("no guest init at {}: run ci/programs", init.display());
        }
        let mut archive = Initramfs::new(&init);
        let mut modules = Vec::new();
        let mut module = |name: &str, parameters: String| -> Result<()> {
            let file = self.kernel.module(name)?;
            archive.add(&format!("/modules/{name}.ko"), &file);
            modules.push(Module {
                name: name.to_owned(),
                parameters,
            });
            Ok(())
        };
        if self.driver == Driver::Rust {
            module(DRIVER_MODULE, String::new())?;
        }
        module(IMPORTER_MODULE, self.machine.importer_parameters())?;
        for task in &self.tasks {
            archive.add(&task.program.path, &task.file);
        }
        let job = Job {
            driver: self.driver,
            // Suites inside the module need none, and with KASAN reserving them takes its time.
            huge_pages: if self.tasks.is_empty() { 0 } else { HUGE_PAGES },
            modules,
            programs: self.tasks.iter().map(|task| task.program.clone()).collect(),
            unload: self.unload,
            find_leaks: self.find_leaks,
        };
        Ok((job, archive))
    }

    /// The bounds on the run; only that of the boot if one of the programs has none.
    fn limits(&self, job: &Job) -> Limits {
        let boot = OVERHEAD * self.kernel.flavour.slowness();
        let programs: Option<Duration> = job.programs.iter().map(|p| p.time_limit).sum();
        Limits {
            boot,
            whole: programs.map(|programs| boot + programs),
        }
    }
}
