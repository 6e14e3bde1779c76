// SPDX-License-Identifier: GPL-2.0

//! `test`: every test there is.

use std::{collections::BTreeMap, path::PathBuf, process::ExitCode, sync::mpsc, time::Duration};

use anyhow::{Result, bail};

use crate::{
    boot::{Boot, Task},
    command::{clients, host, installed, matrix, mutants, virtio_gpu},
    guest,
    kernel::{Flavour, Further, Kernel},
    layout::{Layout, missing},
    machine::{
        self, Arm64Coherent, Arm64Noncoherent, Machine, X86Direct, X86OneNarrow, X86Swiotlb,
    },
    parallel::{self, News},
    report::{Area, Report},
    suite::{self, Audience, KERNEL_SELFTEST, Part},
    usage::refuse,
};

/// The programs of selftests/ that speak KTAP.
pub const PROGRAMS: &[&str] = &["errors", "clients", "data", "lifetime"];

/// Those that attack the driver: allocations fail, two do something at once, one user hinders another.
pub const ATTACKS: &[&str] = &[FAILURES, PAIRS, USERS];

/// How long one of them may take, but in a kernel that is slow.
pub const TIME_LIMIT: Duration = Duration::from_secs(240);

/// Machines on which all programs run. The others are the matrix's.
const X86_64: &[&dyn Machine] = &[&X86Direct, &X86Swiotlb];
const ARM64: &[&dyn Machine] = &[&Arm64Coherent, &Arm64Noncoherent];

/// What runs on a machine with a kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// The programs.
    Programs,
    /// The suites inside the module.
    Suites,
    /// Programs that attack the driver.
    Attacks(&'static [Attack]),
}

/// A program that attacks the driver.
#[derive(Debug, PartialEq, Eq)]
struct Attack {
    program: &'static str,
    words: &'static [&'static str],
    /// How long it may take, in seconds, in a kernel that is not slow.
    limit: u64,
}

impl Attack {
    /// All that a program does by itself, in the time that others have.
    const fn all_of(program: &'static str) -> Self {
        Attack {
            program,
            words: &[],
            limit: TIME_LIMIT.as_secs(),
        }
    }
}

/// A kernel with its machines.
type Row = (Flavour, &'static [&'static dyn Machine], What);

/// The kernels of all tests, those that take longest first: for x86-64 the usual one and the checking
/// one, which has KUnit, and for arm64 our own, which has it too.
fn kernels(usual: Flavour) -> [Row; 6] {
    use What::{Attacks, Programs, Suites};
    [
        (Flavour::Check, X86_64, Programs),
        (Flavour::Check, X86_64, Suites),
        (usual, X86_64, Programs),
        (Flavour::Plain, ARM64, Programs),
        (Flavour::Plain, ARM64, Suites),
        // All failures on the machine that takes seconds for it.
        (Flavour::Plain, &[&Arm64Noncoherent], Attacks(QUICK)),
    ]
}

/// Attacks that are a part of all tests.
const QUICK: &[Attack] = &[Attack::all_of(FAILURES)];

/// Attacks that take longer than all other tests. Failures are under the eyes of the checking kernel,
/// where each way to map has allocations of its own.
const LONG: &[Row] = &[(
    Flavour::Check,
    &[&X86Direct, &X86Swiotlb, &X86OneNarrow],
    What::Attacks(&[Attack::all_of(FAILURES)]),
)];

/// The other kernels that Debian builds.
const MORE: &[Row] = &[
    (Flavour::Debian, ARM64, What::Programs),
    (Flavour::DebianRt, &[&X86Direct], What::Programs),
    (Flavour::Debian16k, &[&Arm64Noncoherent], What::Programs),
    (Flavour::DebianOlder, &[&X86Direct], What::Programs),
];

/// The arguments of `test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Runs only areas with this text in "MACHINE KERNEL PROGRAM", such as "check data".
    #[arg(long)]
    only: Option<String>,
    /// Runs what takes a longer set-up instead: all programs in the other kernels that Debian
    /// builds, and Debian with the package installed.
    #[arg(long)]
    more: bool,
    /// Attacks the driver for longer instead.
    #[arg(long, conflicts_with = "more")]
    attack: bool,
}

/// Runs everything, or what was asked for. Every area is reported when it is
/// over; what cannot even start ends the run as a failure.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let chosen = |area: &Area| match &arguments.only {
        Some(only) => area.name().contains(only.as_str()),
        None => true,
    };
    let mut report = Report::open(&layout, "test")?;
    let usual = Flavour::usual()?;
    let ran = match arguments {
        Arguments { more: true, .. } => run_more(&layout, &mut report, &chosen)?,
        Arguments { attack: true, .. } => run_rows(&layout, &mut report, LONG, &chosen)?,
        _ => run_usual(&layout, &mut report, usual, &chosen)?,
    };
    if !ran {
        refuse!(
            "nothing has '{}' in its name",
            arguments.only.as_deref().unwrap_or_default()
        );
    }
    Ok(report.finish())
}

/// Runs those tests that need only what is set up for all of them, as far as they were chosen;
/// returns whether there were any.
fn run_usual(
    layout: &Layout,
    report: &mut Report,
    usual: Flavour,
    chosen: &dyn Fn(&Area) -> bool,
) -> Result<bool> {
    let mut ran = false;
    let area = Area::new("host", "", "unit-tests");
    if chosen(&area) {
        ran = true;
        report.begin(&area);
        let tests = host::unit_tests(layout)?;
        report.end(&area, tests, None)?;
    }
    ran |= run_rows(layout, report, &kernels(usual), chosen)?;
    let machines = machine::ALL.iter().copied();
    let machines: Vec<_> = machines
        .filter(|machine| chosen(&matrix::area(machine.name())))
        .collect();
    if !machines.is_empty() {
        ran = true;
        matrix::run_on(layout, report, machines)?;
    }
    let mut screens = virtio_gpu::QUICK.iter();
    if screens.any(|part| chosen(&virtio_gpu::area(part))) {
        ran = true;
        virtio_gpu::run_quick(layout, report)?;
    }
    let mut clients = clients::QUICK.iter();
    if clients.any(|part| chosen(&clients::area(part))) {
        ran = true;
        clients::run_quick(layout, report)?;
    }
    if chosen(&mutants::area("")) {
        ran = true;
        mutants::run_all(layout, report, None)?;
    }
    Ok(ran)
}

/// Runs the others, as far as they were chosen; returns whether there were any.
fn run_more(layout: &Layout, report: &mut Report, chosen: &dyn Fn(&Area) -> bool) -> Result<bool> {
    let mut ran = run_rows(layout, report, MORE, chosen)?;
    if installed::is_chosen(chosen) {
        ran = true;
        installed::run_all(layout, report, None)?;
    }
    Ok(ran)
}

/// Boots what is in these rows, as far as it was chosen; returns whether there was anything.
fn run_rows(
    layout: &Layout,
    report: &mut Report,
    rows: &[Row],
    chosen: &dyn Fn(&Area) -> bool,
) -> Result<bool> {
    let boots = plan(layout, rows, chosen);
    run_all(layout, report, &boots)?;
    Ok(!boots.is_empty())
}

/// One boot: for the KUnit suites, or for programs.
struct Planned {
    machine: &'static dyn Machine,
    flavour: Flavour,
    /// The area of the boot itself.
    own: Area,
    /// The programs, none for the KUnit suites.
    programs: Vec<Program>,
}

/// A program of a boot.
struct Program {
    area: Area,
    file: PathBuf,
    words: &'static [&'static str],
    limit: Duration,
}

/// The boots that it takes to run what was chosen.
fn plan(layout: &Layout, kernels: &[Row], chosen: &dyn Fn(&Area) -> bool) -> Vec<Planned> {
    let mut boots = Vec::new();
    for &(flavour, machines, what) in kernels {
        for machine in machines {
            let area = |program: &str| Area::new(machine.name(), flavour, program);
            let planned = |own, programs| Planned {
                machine: *machine,
                flavour,
                own,
                programs,
            };
            let own = area(match what {
                What::Programs => "boot",
                What::Suites => KUNIT,
                What::Attacks(_) => "attack",
            });
            let programs = match what {
                What::Programs => programs(layout, *machine, flavour),
                What::Attacks(attacks) => attacks_of(layout, *machine, flavour, attacks),
                What::Suites => {
                    boots.extend(chosen(&own).then(|| planned(own, Vec::new())));
                    continue;
                }
            };
            let programs: Vec<_> = programs
                .into_iter()
                .filter(|program| chosen(&program.area) || chosen(&own))
                .collect();
            if !programs.is_empty() {
                boots.push(planned(own, programs));
            }
        }
    }
    boots
}

/// Runs the boots, some at a time; areas are reported as they are over.
fn run_all(layout: &Layout, report: &mut Report, boots: &[Planned]) -> Result<()> {
    let (sender, parts) = mpsc::channel();
    let guests = Area::new("guests", "", "");
    let mut doing: BTreeMap<usize, String> = BTreeMap::new();
    let mut trouble = None;
    report.begin(&guests);
    parallel::each(
        boots,
        |planned, progress| {
            let caller = Caller {
                sender: &sender,
                progress,
            };
            if guest::interrupted() {
                return;
            }
            if let Err(error) = boot(layout, &caller, planned) {
                caller.failed(&planned.own, format!("{error:#}"));
            }
        },
        |index, news| {
            match news {
                News::Progress(text) => doing.insert(index, text),
                News::Done(()) => doing.remove(&index),
            };
            for part in parts.try_iter().filter(|_| !guest::interrupted()) {
                trouble = trouble.take().or(Part::tell(part, report).err());
                report.begin(&guests);
            }
            let doing: Vec<_> = doing.values().map(String::as_str).collect();
            report.progress(doing.join(", "));
        },
    );
    report.pause();
    if guest::interrupted() {
        bail!("interrupted");
    }
    trouble.map_or(Ok(()), Err)
}

/// Calls what happens in a worker to whoever listens to all of them.
struct Caller<'a> {
    sender: &'a mpsc::Sender<Part>,
    progress: &'a dyn Fn(String),
}

impl Caller<'_> {
    /// An area that did not come to its tests.
    fn failed(&self, area: &Area, why: String) {
        self.part(Part {
            area: area.clone(),
            tests: vec![suite::failed("run", why)],
            log: None,
            time: Duration::ZERO,
        });
    }
}

impl Audience for Caller<'_> {
    fn progress(&self, area: &Area, text: &str) {
        (self.progress)(format!("{} {text}", area.name()));
    }

    fn part(&self, part: Part) {
        let name = part.area.name();
        // The listener lives as long as the workers do, and looks here when it hears of progress.
        let _ = self.sender.send(part);
        (self.progress)(name);
    }
}

/// Runs one boot of the plan.
fn boot(layout: &Layout, caller: &Caller<'_>, planned: &Planned) -> Result<()> {
    let Planned {
        machine,
        flavour,
        own,
        ..
    } = planned;
    let mut tasks = Vec::new();
    let mut areas = Vec::new();
    for program in &planned.programs {
        if let Err(error) = missing(&program.file) {
            caller.failed(&program.area, error.to_string());
            continue;
        }
        let limit = program.limit * flavour.slowness();
        let words = program.words.iter().map(|word| (*word).to_owned());
        tasks.push(Task::new(&program.file, words.collect(), Some(limit))?);
        areas.push(program.area.clone());
    }
    let kernel = Kernel::find(layout, *machine, *flavour)?;
    let kunit = own.program == KUNIT;
    let boot = Boot {
        name: format!("test-{}-{flavour}-{}", machine.name(), own.program),
        tasks,
        kunit,
        further: vec![Further::Fences],
        unload: true,
        find_leaks: flavour.finds_leaks(),
        ..Boot::new(layout, *machine, &kernel)
    };
    if kunit {
        suite::run_kunit(caller, &boot, own)
    } else {
        suite::run_programs(caller, &boot, &areas, own)
    }
}

/// The name of the area of the KUnit suites.
const KUNIT: &str = "kunit";

/// The program that has allocations fail.
const FAILURES: &str = "failures";

/// The program in which two do something at once.
const PAIRS: &str = "pairs";

/// The program in which one user is in the way of another.
const USERS: &str = "users";

/// The program whose results depend on what the machine does to data.
const DATA: &str = "data";

/// The programs that run in a guest: all of them, but with the slow kernel only on the first machine. On
/// the others it runs what they are there for. The kernel's own selftest wants 8 GiB of huge pages, as
/// much as the guest has, where pages are of 16 KiB.
fn programs(layout: &Layout, machine: &dyn Machine, flavour: Flavour) -> Vec<Program> {
    let built = layout.programs(machine.board().target, flavour);
    let own = PROGRAMS.iter().map(|name| (*name, built.join(name)));
    let kernels = layout.kernel_selftest(machine.board().target);
    let all = own.chain([(KERNEL_SELFTEST, kernels)]);
    let only_data = flavour == Flavour::Check && machine.name() != X86Direct.name();
    all.filter(|(name, _)| !only_data || *name == DATA)
        .filter(|(name, _)| flavour != Flavour::Debian16k || *name != KERNEL_SELFTEST)
        .map(|(name, file)| Program {
            area: Area::new(machine.name(), flavour, name),
            file,
            words: &[],
            limit: TIME_LIMIT,
        })
        .collect()
}

/// The programs that attack the driver in a guest.
fn attacks_of(
    layout: &Layout,
    machine: &dyn Machine,
    flavour: Flavour,
    attacks: &[Attack],
) -> Vec<Program> {
    let built = layout.programs(machine.board().target, flavour);
    let attacks = attacks.iter().map(|attack| Program {
        area: Area::new(machine.name(), flavour, attack.program),
        file: built.join(attack.program),
        words: attack.words,
        limit: Duration::from_secs(attack.limit),
    });
    attacks.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn areas(only: &str) -> Vec<String> {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let chosen = |area: &Area| area.name().contains(only);
        let mut boots = plan(&layout, &kernels(Flavour::Debian), &chosen);
        boots.extend(plan(&layout, MORE, &chosen));
        let areas = boots.iter().flat_map(|planned| {
            let programs = planned.programs.iter().map(|program| program.area.name());
            programs.chain([planned.own.name()])
        });
        areas.collect()
    }

    #[test]
    fn a_boot_is_planned_for_what_was_chosen_only() {
        assert_eq!(
            areas("swiotlb check"),
            [
                "x86_64-swiotlb check data",
                "x86_64-swiotlb check boot",
                "x86_64-swiotlb check kunit"
            ]
        );
        assert_eq!(
            areas("arm64-coherent debian errors"),
            ["arm64-coherent debian errors", "arm64-coherent debian boot"]
        );
        assert!(areas("no such thing").is_empty());
    }

    #[test]
    fn every_program_runs_on_every_planned_machine_with_one_kernel() {
        let areas = areas("");
        let x86_64 = X86_64.iter().map(|machine| (machine, "debian"));
        let arm64 = ARM64.iter().map(|machine| (machine, "plain"));
        for (machine, kernel) in x86_64.chain(arm64) {
            for program in PROGRAMS.iter().chain([&KERNEL_SELFTEST]) {
                let name = format!("{} {kernel} {program}", machine.name());
                assert!(areas.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn suites_run_on_every_architecture_and_programs_in_every_kernel() {
        let areas = areas("");
        for name in [
            "x86_64-direct check kunit",
            "arm64-noncoherent plain kunit",
            "x86_64-direct debian-rt lifetime",
            "x86_64-direct debian-7.2 clients",
            "arm64-noncoherent debian-16k data",
        ] {
            assert!(areas.iter().any(|area| area == name), "{name}");
        }
    }

    #[test]
    fn failures_are_tried_on_one_machine_always_and_on_the_others_as_an_attack() {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let machines = |rows: &[Row]| {
            let boots = plan(&layout, rows, &|area| area.program == FAILURES);
            let names = boots.iter().map(|planned| planned.machine.name());
            names.collect::<Vec<_>>()
        };
        assert_eq!(machines(&kernels(Flavour::Debian)), ["arm64-noncoherent"]);
        assert_eq!(
            machines(LONG),
            ["x86_64-direct", "x86_64-swiotlb", "x86_64-28bit"]
        );
    }

    #[test]
    fn what_cannot_start_has_failed() {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let (sender, parts) = mpsc::channel();
        let caller = Caller {
            sender: &sender,
            progress: &|_| {},
        };
        let boots = plan(&layout, &kernels(Flavour::Debian), &|area| {
            area.name() == "x86_64-direct debian errors"
        });
        let error = boot(&layout, &caller, &boots[0]).unwrap_err();
        assert!(error.to_string().contains("no debian kernel"), "{error}");
        let part = parts.try_recv().unwrap();
        assert_eq!(part.area.program, "errors");
        let why = format!("{:?}", part.tests);
        assert!(why.contains("no program at"), "{why}");
    }
}
