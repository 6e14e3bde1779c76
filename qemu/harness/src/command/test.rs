// SPDX-License-Identifier: GPL-2.0

//! `test`: the tests that a change has to pass, and others that take longer.

use std::{collections::BTreeMap, fs, process::ExitCode, sync::mpsc, time::Duration};

use anyhow::{Context, Result, bail};
use protocol::DRIVER_MODULE;

use crate::{
    boot::{Boot, Task, Watcher},
    command::{clients, host, installed, matrix, mutants, mutants::Which, virtio_gpu},
    coverage::{Coverage, Summary},
    deadline::{self, Deadline},
    guest,
    kernel::{Flavour, Further, Kernel},
    ktap::Test,
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
    /// Lists the areas that would run, and runs none.
    #[arg(long)]
    list: bool,
    /// Says which lines of src/ the programs executed, on kernels whose modules know their lines
    /// (Debian's). It takes some longer.
    #[arg(long)]
    coverage: bool,
    /// Begins nothing after that time, in seconds since 1970, but the host's tests and all programs in the
    /// usual kernel, does without the checking kernel if it is not there, and says what is left out.
    #[arg(long, conflicts_with_all = ["attack", "more"], value_name = "SECONDS")]
    until: Option<u64>,
}

/// Runs everything, or what was asked for. Every area is reported when it is
/// over; what cannot even start ends the run as a failure.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let chosen = |area: &Area| match &arguments.only {
        Some(only) => area.name().contains(only.as_str()),
        None => true,
    };
    let coverage = arguments.coverage.then(|| Coverage::new(&layout));
    let run = Run {
        layout: &layout,
        chosen: &chosen,
        coverage: coverage.as_ref(),
        deadline: Deadline::new(arguments.until),
    };
    let usual = Flavour::usual()?;
    let areas = run.areas(arguments, usual);
    if areas.is_empty() {
        refuse!(
            "nothing has '{}' in its name: --list shows the names, such as 'x86_64-direct debian errors'",
            arguments.only.as_deref().unwrap_or_default()
        );
    }
    if arguments.list {
        for area in areas {
            println!("{}", area.name());
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::open(&layout, "test")?;
    match arguments {
        Arguments { more: true, .. } => run.more(&mut report)?,
        Arguments { attack: true, .. } => run.attacks(&mut report, usual)?,
        _ => run.usual(&mut report, usual)?,
    }
    if let Some(coverage) = &coverage {
        show(&layout, &coverage.summary())?;
    }
    Ok(report.finish())
}

/// Shows which lines were executed, and writes them into build/results/coverage.info.
///
/// # Errors
///
/// When that fails, or nothing was watched.
fn show(layout: &Layout, summary: &Summary) -> Result<()> {
    if summary.is_empty() {
        bail!("no module here says which lines its code is of: choose programs on Debian's kernel");
    }
    let file = layout.build().join("results/coverage.info");
    fs::write(&file, summary.lcov()).with_context(|| file.display().to_string())?;
    println!(
        "\nOf the driver, by the programs above:\n\n{summary}\nThe same for lcov is {}.\n",
        layout.short(&file).display()
    );
    Ok(())
}

/// How many times as long a program may take when what it executes is watched.
const WATCHED: u32 = 3;

/// What is run, and where.
struct Run<'a> {
    layout: &'a Layout,
    chosen: &'a (dyn Fn(&Area) -> bool + Sync),
    /// Where what was executed is collected, if anybody wants to know.
    coverage: Option<&'a Coverage>,
    /// After that, nothing is begun.
    deadline: Deadline,
}

impl<'a> Run<'a> {
    /// What would run, as far as it was chosen: programs, or the boot itself where it has none.
    fn areas(&self, arguments: &Arguments, usual: Flavour) -> Vec<Area> {
        let (rows, others) = match arguments {
            Arguments { more: true, .. } => (plan::more(), installed::areas()),
            Arguments { attack: true, .. } => (plan::long(usual), vec![mutants::area("")]),
            _ => {
                let machines = machine::ALL.iter();
                let mut others = vec![host_area(), mutants::area("")];
                others.extend(machines.map(|machine| matrix::area(machine.name())));
                others.extend(virtio_gpu::QUICK.iter().map(|part| virtio_gpu::area(part)));
                others.extend(clients::QUICK.iter().map(|part| clients::area(part)));
                let mut rows = plan::usual(usual);
                rows.extend(plan::other(usual));
                rows.extend(plan::checking());
                (rows, others)
            }
        };
        let boots = plan::plan(self.layout, &rows, self.chosen);
        let boots = boots.into_iter().flat_map(|planned| {
            let own = planned.programs.is_empty().then_some(planned.own);
            let programs = planned.programs.into_iter().map(|program| program.area);
            own.into_iter().chain(programs)
        });
        boots
            .chain(others.into_iter().filter(|area| (self.chosen)(area)))
            .collect()
    }

    /// Runs those tests that need only what is set up for all of them, as far as they were chosen.
    fn usual(&self, report: &mut Report, usual: Flavour) -> Result<()> {
        let area = host_area();
        if (self.chosen)(&area) {
            report.begin(&area);
            let tests = host::unit_tests(self.layout)?;
            report.end(&area, tests, None)?;
        }
        let whatever_time_there_is = Deadline::default();
        self.rows(report, &plan::usual(usual), whatever_time_there_is)?;
        self.rows(report, &plan::other(usual), self.deadline)?;
        let machines = machine::ALL.iter().copied();
        let machines: Vec<_> = machines
            .filter(|machine| (self.chosen)(&matrix::area(machine.name())))
            .collect();
        let areas = machines.iter().map(|machine| matrix::area(machine.name()));
        if self.begins(report, areas)? {
            matrix::run_on(self.layout, report, machines, self.deadline)?;
        }
        let screens = virtio_gpu::QUICK.iter().map(|part| virtio_gpu::area(part));
        if self.begins(report, screens)? {
            virtio_gpu::run_quick(self.layout, report)?;
        }
        let clients = clients::QUICK.iter().map(|part| clients::area(part));
        if self.begins(report, clients)? {
            clients::run_quick(self.layout, report)?;
        }
        self.rows(report, &plan::checking(), self.deadline)?;
        if self.begins(report, [mutants::area("")].into_iter())? {
            mutants::run_all(self.layout, report, Which::Usual, None, self.deadline)?;
        }
        Ok(())
    }

    /// Whether one of the areas was chosen, and there is time for it. If there is none, they are reported
    /// as left out.
    fn begins(&self, report: &mut Report, areas: impl Iterator<Item = Area>) -> Result<bool> {
        let areas: Vec<_> = areas.filter(|area| (self.chosen)(area)).collect();
        if !self.deadline.is_over() {
            return Ok(!areas.is_empty());
        }
        for area in areas {
            report.end(&area, vec![deadline::left_out("run")], None)?;
        }
        Ok(false)
    }

    /// Runs the others, as far as they were chosen.
    fn more(&self, report: &mut Report) -> Result<()> {
        self.rows(report, &plan::more(), self.deadline)?;
        if installed::areas().iter().any(self.chosen) {
            installed::run_all(self.layout, report, None)?;
        }
        Ok(())
    }

    /// Runs what attacks the driver, as far as it was chosen, and shows that races would be seen.
    fn attacks(&self, report: &mut Report, usual: Flavour) -> Result<()> {
        self.rows(report, &plan::long(usual), self.deadline)?;
        if (self.chosen)(&mutants::area("")) {
            mutants::run_all(self.layout, report, Which::Attacks, None, self.deadline)?;
        }
        Ok(())
    }

    /// Boots what is in these rows, as far as it was chosen.
    fn rows(&self, report: &mut Report, rows: &[Row], deadline: Deadline) -> Result<()> {
        let boots = plan::plan(self.layout, rows, self.chosen);
        self.boots(report, &boots, deadline)
    }

    /// Runs the boots, some at a time; areas are reported as they are over.
    fn boots(&self, report: &mut Report, boots: &[Planned], deadline: Deadline) -> Result<()> {
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
                let is_left_out =
                    deadline.is_set() && planned.flavour.is_left_out(self.layout, planned.machine);
                if deadline.is_over() || is_left_out {
                    let programs = planned.programs.iter().map(|program| &program.area);
                    let left_out = || match is_left_out {
                        true => deadline::not_built("run"),
                        false => deadline::left_out("run"),
                    };
                    programs
                        .chain([&planned.own])
                        .for_each(|area| caller.instead(area, left_out()));
                    return;
                }
                if let Err(error) = self.boot(&caller, planned) {
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

    /// Runs one boot of the plan.
    fn boot(&self, caller: &Caller<'_>, planned: &Planned) -> Result<()> {
        let Planned {
            machine,
            flavour,
            own,
            ..
        } = planned;
        let watched = self.coverage.map_or(1, |_| WATCHED);
        let mut tasks = Vec::new();
        let mut areas = Vec::new();
        for program in &planned.programs {
            if let Err(error) = missing(&program.file) {
                caller.failed(&program.area, error.to_string());
                continue;
            }
            let limit = program.limit * flavour.slowness() * watched;
            let words = program.words.iter().map(|word| (*word).to_owned());
            tasks.push(Task::new(&program.file, words.collect(), Some(limit))?);
            areas.push(program.area.clone());
        }
        let kernel = Kernel::find(self.layout, *machine, *flavour)?;
        let kunit = own.program == KUNIT;
        let watcher = self.watcher(&kernel, kunit)?;
        let boot = Boot {
            name: format!("test-{}-{flavour}-{}", machine.name(), own.program),
            tasks,
            kunit,
            further: vec![Further::Fences],
            unload: true,
            find_leaks: flavour.finds_leaks(),
            watcher,
            ..Boot::new(self.layout, *machine, &kernel)
        };
        if kunit {
            suite::run_kunit(caller, &boot, own)
        } else {
            suite::run_programs(caller, &boot, &areas, own)
        }
    }

    /// What watches the programs in this kernel. The suites inside the module are not in the one that is
    /// shipped.
    fn watcher(&self, kernel: &Kernel, kunit: bool) -> Result<Option<Watcher<'a>>> {
        Ok(match self.coverage {
            Some(coverage) if !kunit && coverage.can_see(&kernel.module(DRIVER_MODULE)?)? => {
                Some(Watcher::Coverage(coverage))
            }
            _ => None,
        })
    }
}

/// The area of the tests of what runs on the host.
fn host_area() -> Area {
    Area::new("host", "", "unit-tests")
}

/// Calls what happens in a worker to whoever listens to all of them.
struct Caller<'a> {
    sender: &'a mpsc::Sender<Part>,
    progress: &'a dyn Fn(String),
}

impl Caller<'_> {
    /// An area that did not come to its tests.
    fn failed(&self, area: &Area, why: String) {
        self.instead(area, suite::failed("run", why));
    }

    /// The one test that an area has instead of its own.
    fn instead(&self, area: &Area, test: Test) {
        self.part(Part {
            area: area.clone(),
            tests: vec![test],
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_run_has_areas_of_its_own() {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let names = |more, attack, only: &str| -> Vec<_> {
            let chosen = |area: &Area| area.name().contains(only);
            let run = Run {
                layout: &layout,
                chosen: &chosen,
                coverage: None,
                deadline: Deadline::default(),
            };
            let arguments = Arguments {
                only: None,
                more,
                attack,
                list: true,
                coverage: false,
                until: None,
            };
            let areas = run.areas(&arguments, Flavour::Debian);
            areas.iter().map(Area::name).collect()
        };
        assert_eq!(names(false, false, "host"), ["host unit-tests"]);
        assert_eq!(
            names(false, false, "direct matrix"),
            ["x86_64-direct matrix"]
        );
        assert_eq!(
            names(false, true, "direct debian fuzz"),
            ["x86_64-direct debian fuzz"]
        );
        assert!(names(false, false, "kcsan").is_empty());
        assert!(names(false, true, "kcsan").len() > 2);
        assert!(!names(true, false, "installed").is_empty());
        assert_eq!(names(false, true, "mutants"), ["mutants"]);
    }

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
        let run = Run {
            layout: &layout,
            chosen: &|_| true,
            coverage: None,
            deadline: Deadline::default(),
        };
        let error = run.boot(&caller, &boots[0]).unwrap_err();
        assert!(error.to_string().contains("no debian kernel"), "{error}");
        let part = parts.try_recv().unwrap();
        assert_eq!(part.area.program, "errors");
        let why = format!("{:?}", part.tests);
        assert!(why.contains("no program at"), "{why}");
    }
}
