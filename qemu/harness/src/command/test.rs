// SPDX-License-Identifier: GPL-2.0

//! `test`: every test there is.

use std::{collections::BTreeMap, process::ExitCode, sync::mpsc, time::Duration};

use anyhow::{Result, bail};

use crate::{
    boot::{Boot, Task},
    command::{clients, host, installed, matrix, mutants, mutants::Which, virtio_gpu},
    guest,
    kernel::{Flavour, Further, Kernel},
    layout::{Layout, missing},
    machine,
    parallel::{self, News},
    plan::{self, KUNIT, Planned, Row},
    report::{Area, Report},
    suite::{self, Audience, Part},
    usage::refuse,
};

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
        Arguments { attack: true, .. } => run_attacks(&layout, &mut report, usual, &chosen)?,
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
    ran |= run_rows(layout, report, &plan::usual(usual), chosen)?;
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
        mutants::run_all(layout, report, Which::Usual, None)?;
    }
    Ok(ran)
}

/// Runs the others, as far as they were chosen; returns whether there were any.
fn run_more(layout: &Layout, report: &mut Report, chosen: &dyn Fn(&Area) -> bool) -> Result<bool> {
    let mut ran = run_rows(layout, report, &plan::more(), chosen)?;
    if installed::is_chosen(chosen) {
        ran = true;
        installed::run_all(layout, report, None)?;
    }
    Ok(ran)
}

/// Runs what attacks the driver, as far as it was chosen, and shows that races would be seen; returns
/// whether there was anything.
fn run_attacks(
    layout: &Layout,
    report: &mut Report,
    usual: Flavour,
    chosen: &dyn Fn(&Area) -> bool,
) -> Result<bool> {
    let mut ran = run_rows(layout, report, &plan::long(usual), chosen)?;
    if chosen(&mutants::area("")) {
        ran = true;
        mutants::run_all(layout, report, Which::Attacks, None)?;
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
    let boots = plan::plan(layout, rows, chosen);
    run_all(layout, report, &boots)?;
    Ok(!boots.is_empty())
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
            notes: Vec::new(),
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn what_cannot_start_has_failed() {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let (sender, parts) = mpsc::channel();
        let caller = Caller {
            sender: &sender,
            progress: &|_| {},
        };
        let boots = plan::plan(&layout, &plan::usual(Flavour::Debian), &|area| {
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
