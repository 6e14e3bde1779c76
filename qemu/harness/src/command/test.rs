// SPDX-License-Identifier: GPL-2.0

//! `test`: every test there is.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};

use crate::{
    boot::{Boot, Task},
    command::{host, mutants},
    guest,
    kernel::{Flavour, Kernel},
    layout::Layout,
    machine::{Arm64Coherent, Arm64Noncoherent, Machine, X86Direct, X86Swiotlb},
    report::{Area, Report},
    suite::{self, KERNEL_SELFTEST},
    usage::refuse,
};

/// The programs of selftests/ that speak KTAP.
pub const PROGRAMS: &[&str] = &["errors", "clients", "data", "lifetime"];

/// How long one of them may take in the plain kernel.
pub const TIME_LIMIT: Duration = Duration::from_secs(240);

/// The machines on which all programs run, for each kernel. The others are the matrix's.
const PLAN: &[(Flavour, &[&dyn Machine])] = &[
    (
        Flavour::Plain,
        &[&X86Direct, &X86Swiotlb, &Arm64Coherent, &Arm64Noncoherent],
    ),
    (Flavour::Check, &[&X86Direct, &X86Swiotlb]),
];

/// The arguments of `test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Runs only areas with this text in "MACHINE KERNEL PROGRAM", such as "check data".
    #[arg(long)]
    only: Option<String>,
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
    let mut ran = false;

    let area = Area::new("host", "", "unit-tests");
    if chosen(&area) {
        ran = true;
        report.begin(&area);
        let tests = host::unit_tests(&layout)?;
        report.end(&area, tests, None)?;
    }
    for (flavour, machines) in PLAN {
        for machine in *machines {
            for kunit in [true, false] {
                ran |= boot(&layout, &mut report, *machine, *flavour, kunit, &chosen)?;
                if guest::interrupted() {
                    bail!("interrupted");
                }
            }
        }
    }
    if chosen(&mutants::area("")) {
        ran = true;
        mutants::run_all(&layout, &mut report, None)?;
    }
    if !ran {
        refuse!(
            "nothing has '{}' in its name",
            arguments.only.as_deref().unwrap_or_default()
        );
    }
    Ok(report.finish())
}

/// One boot of the plan, for the KUnit suites or for the programs; false if nothing of it was chosen.
fn boot(
    layout: &Layout,
    report: &mut Report,
    machine: &dyn Machine,
    flavour: Flavour,
    kunit: bool,
    chosen: &dyn Fn(&Area) -> bool,
) -> Result<bool> {
    let area = |program: &str| Area::new(machine.name(), flavour, program);
    let mut tasks = Vec::new();
    let mut areas = Vec::new();
    let mut ran = false;
    let own = area(if kunit { "kunit" } else { "boot" });
    if !kunit {
        for (name, file) in programs(layout, machine, flavour) {
            let area = area(&name);
            if !chosen(&area) && !chosen(&own) {
                continue;
            }
            if let Err(error) = missing(&file) {
                report.begin(&area);
                report.end(
                    &area,
                    vec![suite::failed("program", error.to_string())],
                    None,
                )?;
                ran = true;
                continue;
            }
            let limit = TIME_LIMIT * flavour.slowness();
            tasks.push(Task::new(&file, Vec::new(), Some(limit))?);
            areas.push(area);
        }
    }
    if areas.is_empty() && !chosen(&own) {
        return Ok(ran);
    }
    let kernel = Kernel::find(layout, machine, flavour)?;
    let boot = Boot {
        name: format!("test-{}-{flavour}-{}", machine.name(), own.program),
        tasks,
        kunit,
        unload: true,
        find_leaks: flavour.finds_leaks(),
        ..Boot::new(layout, machine, &kernel)
    };
    if kunit {
        suite::run_kunit(report, &boot, &own)?;
    } else {
        suite::run_programs(report, &boot, &areas, &own)?;
    }
    Ok(true)
}

/// The program whose results depend on what the machine does to data.
const DATA: &str = "data";

/// Names and files of the programs that run in a guest: all of them, but with
/// the slow kernel only on the first machine. On the others it runs what they
/// are there for.
fn programs(layout: &Layout, machine: &dyn Machine, flavour: Flavour) -> Vec<(String, PathBuf)> {
    let built = layout.programs(machine.board().target);
    let own = PROGRAMS
        .iter()
        .map(|name| ((*name).to_owned(), built.join(name)));
    let kernels = layout.kernel_selftest(machine.board().target);
    let mut all: Vec<_> = own.chain([(KERNEL_SELFTEST.to_owned(), kernels)]).collect();
    if flavour == Flavour::Check && machine.name() != X86Direct.name() {
        all.retain(|(name, _)| name == DATA);
    }
    all
}

/// An error if a program was not built.
pub fn missing(file: &Path) -> Result<()> {
    if !file.is_file() {
        bail!("no program at {}: run ci/prepare", file.display());
    }
    Ok(())
}
