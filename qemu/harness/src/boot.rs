// SPDX-License-Identifier: GPL-2.0

//! One boot: what goes into the guest, what is asked of it, what it left behind.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use protocol::{
    DRIVER_MODULE, Driver, Event, Exporter, FLOOR_MODULE, IMPORTER_MODULE, Job, Module, Outcome,
    Program,
};

use crate::{
    coverage::Coverage,
    device_tree,
    guest::{self, Ending, Limits},
    initramfs::Initramfs,
    kernel::{Further, Kernel},
    layout::Layout,
    log::{self, Complaint},
    machine::{DeviceTree, Machine},
    qemu::{Console, Disk, Pace, Plugin, Qemu, Share, shown},
};

/// What is set aside in huge pages, in MiB: 2 GiB, which the kernel's own selftest wants, and some
/// to spare.
const HUGE_MEMORY: u32 = 2200;

/// Memory of a guest that runs programs, in GiB: the huge pages, buffers of 1 GiB beside them, and
/// what the checking kernel takes for itself.
const MEMORY: u32 = 8;

/// CPUs of a guest: two, so that there are races.
const CPUS: u32 = 2;

/// Memory of a guest that runs none. The checking kernel looks through all there is for leaks.
const LITTLE_MEMORY: u32 = 1;

/// What a boot may take for anything that is no program, in the plain kernel.
const OVERHEAD: Duration = Duration::from_secs(120);

/// The same for a system that starts dozens of services and ends them.
const SYSTEM_OVERHEAD: Duration = Duration::from_secs(400);

/// The share with the programs for an installed system, and where that mounts it.
const PROGRAMS_TAG: &str = "programs";
const PROGRAMS: &str = "/run/udmabuf-tests";

/// What a task finds behind `/dev/udmabuf`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backing {
    /// One of the two drivers.
    Driver(Driver),
    /// A variant of our module.
    Variant {
        /// The variant's name.
        name: String,
        /// The module on the host.
        file: PathBuf,
    },
}

/// A program of the host to be run in the guest.
#[derive(Clone)]
pub struct Task {
    /// Where it is on the host.
    pub file: PathBuf,
    /// How it is run.
    pub program: Program,
    /// What it finds behind `/dev/udmabuf`; `None` is what the task before it found.
    pub backing: Option<Backing>,
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
            // Known once it is known which files go into the guest.
            exporter: None,
        };
        Ok(Task {
            file: file.to_owned(),
            program,
            backing: None,
        })
    }
}

/// A plugin for QEMU that watches the guest.
#[derive(Clone, Copy)]
pub enum Watcher<'a> {
    /// The cache model.
    CacheModel,
    /// The profiler, between marks of the guest's program.
    Profile,
    /// The profiler from the beginning: what it saw is added here once the guest is over.
    Coverage(&'a Coverage),
}

impl Watcher<'_> {
    fn object(self, layout: &Layout) -> PathBuf {
        match self {
            Watcher::CacheModel => layout.cache_model(),
            Watcher::Profile | Watcher::Coverage(_) => layout.profiler(),
        }
    }

    /// What it is told besides where its report goes.
    fn options(self) -> &'static str {
        match self {
            Watcher::CacheModel | Watcher::Profile => "",
            Watcher::Coverage(_) => ",whole=on",
        }
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
    /// The driver behind `/dev/udmabuf` at first.
    pub driver: Driver,
    /// What to run.
    pub tasks: Vec<Task>,
    /// Runs the module's KUnit suites.
    pub kunit: bool,
    /// Unloads the modules at the end.
    pub unload: bool,
    /// Lets the kernel look for leaks at the end.
    pub find_leaks: bool,
    /// How the guest's time passes.
    pub pace: Pace,
    /// CPUs of the guest.
    pub cpus: u32,
    /// Memory of a guest that runs programs, in GiB.
    pub memory: u32,
    /// What is set aside in huge pages in a guest that runs programs, in MiB.
    pub huge_memory: u32,
    /// Further files of the host, with their places in the guest.
    pub files: Vec<(String, PathBuf)>,
    /// What the kernel needs besides.
    pub further: Vec<Further>,
    /// Directories of the host that the guest can mount.
    pub shares: Vec<Share>,
    /// A system that starts from a disk, and has the driver installed. It mounts a share with the
    /// programs, and its own init ends the machine.
    pub disk: Option<Disk>,
    /// Loads the module that measures the kernel without a driver; only there for bench kernels.
    pub floor: bool,
    /// What watches the guest.
    pub watcher: Option<Watcher<'a>>,
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
    /// What the plugin reported, if there was one.
    pub model: Option<String>,
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
            pace: kernel.flavour.pace(),
            cpus: CPUS,
            memory: MEMORY,
            huge_memory: HUGE_MEMORY,
            files: Vec::new(),
            further: Vec::new(),
            shares: Vec::new(),
            disk: None,
            floor: false,
            watcher: None,
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
        let (plugin, _report_claim) = self.plugin()?.unzip();
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let mut qemu = Qemu {
            machine: self.machine,
            kernel: self.kernel,
            memory: if self.tasks.is_empty() {
                LITTLE_MEMORY
            } else {
                self.memory
            },
            cpus: self.cpus,
            pace: self.pace,
            shares: self.shares.clone(),
            kunit: self.kunit,
            initramfs: scratch.path().join("initramfs"),
            disk: self.disk.clone(),
            events: scratch.path().join("events"),
            device_tree: match self.machine.device_tree() {
                DeviceTree::Stock => None,
                DeviceTree::Noncoherent => Some(scratch.path().join("dtb")),
            },
            plugin,
            log,
            console: self.console,
        };
        let programs = scratch.path().join(PROGRAMS_TAG);
        if self.disk.is_some() {
            qemu.initramfs = self.kernel.initramfs();
            qemu.shares.push(Share {
                tag: PROGRAMS_TAG,
                directory: programs.clone(),
                writable: false,
            });
        }
        if self.show_command {
            println!("{}", shown(&qemu.command()));
            return Ok(None);
        }
        match self.disk {
            Some(_) => archive.copy(&programs)?,
            None => archive.write(&qemu.initramfs)?,
        }
        if let Some(file) = &qemu.device_tree {
            device_tree::make_noncoherent(qemu.dump_device_tree(file), file)?;
        }

        let mut ready = false;
        let mut failure = None;
        let mut outcomes = Vec::new();
        let mut unloaded = Vec::new();
        let mut leaks = None;
        let ending = guest::run(&qemu, &job, &self.limits(&job), |event| {
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
        // A guest that was killed leaves no report, or a part of one.
        let read = |plugin: &Plugin| fs::read(&plugin.report).unwrap_or_default();
        let report = qemu.plugin.as_ref().map(read);
        let report = report.map(|report| String::from_utf8_lossy(&report).into_owned());
        // A guest that died has a failure of its own, and perhaps never came to the module.
        if let (Some(Watcher::Coverage(coverage)), Some(report), Ending::Done) =
            (self.watcher, &report, &ending)
        {
            let module = self.kernel.module(DRIVER_MODULE)?;
            coverage.add(&module, &log_text, report)?;
        }
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
            model: report,
        }))
    }

    /// The plugin that is wanted, if any, and the claim to its report, which is beside the log.
    fn plugin(&self) -> Result<Option<(Plugin, File)>> {
        let Some(watcher) = self.watcher else {
            return Ok(None);
        };
        let object = watcher.object(self.layout);
        if !object.is_file() {
            bail!("no plugin at {}: run ci/programs", object.display());
        }
        let (report, claim) = self.layout.claim("logs", &self.name, "model")?;
        let plugin = Plugin {
            object,
            report,
            options: watcher.options(),
        };
        Ok(Some((plugin, claim)))
    }

    /// The job, and the archive with all that it needs.
    fn prepare(&self) -> Result<(Job, Initramfs)> {
        let target = self.machine.board().target;
        let programs = self.layout.programs(target, self.kernel.flavour);
        let init = programs.join("init");
        if !init.is_file() {
            bail!("no guest init at {}: run ci/programs", init.display());
        }
        let mut archive = Initramfs::new(&init);
        let exporter = self.exporter(&Backing::Driver(self.driver), &mut archive)?;
        let importer = Module {
            name: IMPORTER_MODULE.to_owned(),
            file: IMPORTER_MODULE.to_owned(),
            parameters: self.machine.importer_parameters(),
        };
        // An installed system has what its kernel needs.
        let further = match self.disk {
            Some(_) => &[],
            None => self.further.as_slice(),
        };
        for (place, file) in self.kernel.further_modules(further)? {
            archive.add(&place, &file);
        }
        let mut modules = match self.disk {
            Some(_) => Vec::new(),
            None => vec![importer],
        };
        if self.floor {
            modules.push(Module {
                name: FLOOR_MODULE.to_owned(),
                file: FLOOR_MODULE.to_owned(),
                parameters: String::new(),
            });
        }
        for module in &modules {
            archive.add(&guest_path(module), &self.kernel.module(&module.name)?);
        }
        for (place, file) in &self.files {
            archive.add(place, file);
        }
        let mut programs = Vec::new();
        for task in &self.tasks {
            archive.add(&task.program.path, &task.file);
            let backing = task.backing.as_ref();
            let path = match self.disk {
                Some(_) => format!("{PROGRAMS}{}", task.program.path),
                None => task.program.path.clone(),
            };
            programs.push(Program {
                path,
                exporter: backing
                    .map(|backing| self.exporter(backing, &mut archive))
                    .transpose()?,
                ..task.program.clone()
            });
        }
        let job = Job {
            // Suites inside the module need none, and with KASAN reserving them takes its time.
            huge_memory: if self.tasks.is_empty() {
                0
            } else {
                self.huge_memory
            },
            exporter,
            modules,
            programs,
            unload: self.unload,
            find_leaks: self.find_leaks,
        };
        Ok((job, archive))
    }

    /// What init has to put behind `/dev/udmabuf`; the archive gets the module that it needs.
    fn exporter(&self, backing: &Backing, archive: &mut Initramfs) -> Result<Exporter> {
        let (name, file) = match backing {
            Backing::Driver(Driver::C) => return Ok(Exporter::C),
            Backing::Driver(Driver::Rust) if self.has_the_driver()? => {
                return Ok(Exporter::Installed);
            }
            Backing::Driver(Driver::Rust) => (DRIVER_MODULE, self.kernel.module(DRIVER_MODULE)?),
            Backing::Variant { name, file } => (name.as_str(), file.clone()),
        };
        let module = Module {
            name: DRIVER_MODULE.to_owned(),
            file: name.to_owned(),
            parameters: String::new(),
        };
        archive.add(&guest_path(&module), &file);
        Ok(Exporter::Module(module))
    }

    /// Whether the driver needs no loading: on a disk the system does it, and the series has it built in.
    fn has_the_driver(&self) -> Result<bool> {
        Ok(self.disk.is_some() || self.kernel.has("CONFIG_UDMABUF_RUST")?)
    }

    /// The bounds on the run.
    fn limits(&self, job: &Job) -> Limits {
        Limits {
            step: match self.disk {
                Some(_) => SYSTEM_OVERHEAD,
                None => OVERHEAD * self.kernel.flavour.slowness(),
            },
            programs: job.programs.iter().map(|p| p.time_limit).collect(),
        }
    }
}

/// Where init looks for a module.
fn guest_path(module: &Module) -> String {
    format!("/modules/{}.ko", module.file)
}
