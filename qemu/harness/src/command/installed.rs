// SPDX-License-Identifier: GPL-2.0

//! `installed`: a Debian system with the package on it starts from its disk, and is looked at.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result};
use protocol::Driver;

use crate::{
    boot::{Boot, Task},
    installed::System,
    layout::Layout,
    machine::{Machine, X86Direct},
    plan::TIME_LIMIT,
    qemu::Share,
    report::{Area, Report},
    steps::{self, Plan},
    usage::refuse,
};

/// The machine that the system was installed for.
const MACHINE: &dyn Machine = &X86Direct;

/// What looks at the system.
const OWN: &str = "installed-system";

/// How long it may take: a phase builds a module twice.
const OWN_TIME_LIMIT: Duration = Duration::from_secs(2400);

/// One start after the other, with what is run between two.
const PHASES: &[Phase] = &[
    Phase {
        name: "as-installed",
        tests: &[],
    },
    Phase {
        name: "switched",
        tests: &["errors", "clients"],
    },
    Phase {
        name: "switched-back",
        tests: &[],
    },
];

/// One start of the system.
struct Phase {
    /// What [`OWN`] knows it by.
    name: &'static str,
    /// Selftests that are run before it.
    tests: &'static [&'static str],
}

/// The arguments of `installed`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Prints the first start's QEMU command line and stops.
    #[arg(long)]
    show_command: bool,
}

impl Phase {
    fn area(&self, program: &str) -> Area {
        Area::new("installed", self.name, program)
    }

    /// The areas of what runs in it, in this order.
    fn areas(&self) -> Vec<Area> {
        let programs = self.tests.iter().copied().chain(["system"]);
        programs.map(|program| self.area(program)).collect()
    }

    /// The area of the boot itself.
    fn own(&self) -> Area {
        self.area("boot")
    }
}

/// Starts the system again and again.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    if arguments.show_command {
        let system = System::prepare(&layout)?;
        let run = Run::new(&layout, &system)?;
        let boot = Boot {
            show_command: true,
            ..run.boot(&PHASES[0])?
        };
        boot.run(|_| {})?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::open(&layout, "installed")?;
    run_all(&layout, &mut report, Some(Driver::Rust))?;
    Ok(report.finish())
}

/// Starts a system again and again; a watcher is told of each step, if there is one.
pub fn run_all(layout: &Layout, report: &mut Report, tell: Option<Driver>) -> Result<()> {
    let system = System::prepare(layout)?;
    let run = Run::new(layout, &system)?;
    for phase in PHASES {
        run.watch(report, phase, tell)?;
    }
    Ok(())
}

/// All starts, and what runs in them.
pub fn areas() -> Vec<Area> {
    let phases = PHASES.iter();
    phases
        .flat_map(|phase| [vec![phase.own()], phase.areas()].concat())
        .collect()
}

/// Starts of one system.
struct Run<'a> {
    layout: &'a Layout,
    system: &'a System,
    results: PathBuf,
    _claim: File,
}

impl<'a> Run<'a> {
    fn new(layout: &'a Layout, system: &'a System) -> Result<Self> {
        let (lock, claim) = layout.claim("logs", "installed", "lock")?;
        let results = lock.with_extension("results");
        // The boot menu of an earlier run is not this one's.
        if results.exists() {
            fs::remove_dir_all(&results)
                .with_context(|| format!("cannot empty {}", results.display()))?;
        }
        fs::create_dir(&results).with_context(|| format!("cannot make {}", results.display()))?;
        Ok(Run {
            layout,
            system,
            results,
            _claim: claim,
        })
    }

    fn boot(&self, phase: &Phase) -> Result<Boot<'_>> {
        let programs = self
            .layout
            .programs(MACHINE.board().target, self.system.kernel.flavour);
        let mut tasks = Vec::new();
        for name in phase.tests {
            tasks.push(Task::new(
                &programs.join(name),
                Vec::new(),
                Some(TIME_LIMIT),
            )?);
        }
        let words = vec![phase.name.to_owned()];
        tasks.push(Task::new(&programs.join(OWN), words, Some(OWN_TIME_LIMIT))?);
        Ok(Boot {
            name: format!("installed-{}", phase.name),
            // Whichever driver has the name is left with it, unless the other one is tested.
            driver: match phase.tests {
                [] => Driver::C,
                _ => Driver::Rust,
            },
            shares: vec![Share {
                tag: "results",
                directory: self.results.clone(),
                writable: true,
            }],
            tasks,
            ..self.system.boot(self.layout, MACHINE, self.menu()?)
        })
    }

    /// What the boot menu that a phase has left says to the kernel.
    fn menu(&self) -> Result<Option<String>> {
        let file = self.results.join("grub.cfg");
        if !file.exists() {
            return Ok(None);
        }
        let menu = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        match parameters(&menu) {
            Some(parameters) => Ok(Some(parameters.to_owned())),
            None => refuse!("no kernel in {}", file.display()),
        }
    }

    fn watch(&self, report: &mut Report, phase: &Phase, tell: Option<Driver>) -> Result<()> {
        steps::watch(
            report,
            &Plan {
                boot: &self.boot(phase)?,
                areas: phase.areas(),
                own: phase.own(),
                tell,
                hint: &|_| None,
            },
        )
    }
}

/// What the first entry of a boot menu says to the kernel.
fn parameters(menu: &str) -> Option<&str> {
    let mut lines = menu.lines().map(str::trim);
    let line = lines.find_map(|line| line.strip_prefix("linux"))?;
    let (_, parameters) = line.trim().split_once(char::is_whitespace)?;
    Some(parameters.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_it_is_found_by_its_name() {
        let is_there = |name| areas().iter().any(|area| area.name().contains(name));
        for name in [
            "switched errors",
            "as-installed boot",
            "switched-back system",
        ] {
            assert!(is_there(name), "{name}");
        }
        assert!(!is_there("debian"));
    }

    #[test]
    fn a_boot_menu_has_the_kernels_parameters() {
        let menu = "menuentry 'Debian' {\n\techo 'Loading Linux'\n\tlinux\t/boot/vmlinuz-7.3 root=UUID=1-2 ro  a=b\n\tlinux /x y\n}\n";
        assert_eq!(parameters(menu), Some("root=UUID=1-2 ro  a=b"));
        assert_eq!(parameters("set default=0\n"), None);
    }
}
