// SPDX-License-Identifier: GPL-2.0

//! What is measured on one machine, in one boot.

use std::{
    cell::Cell,
    io::{self, IsTerminal},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use protocol::{
    Driver, Event, Outcome,
    bench::{Contender, Record},
};

use super::{listener::Listener, profile::Profile, row::CACHE_LINE};
use crate::{
    boot::{Boot, Task, Watcher},
    kernel::{Flavour, Kernel},
    ktap::Test,
    layout::{Layout, missing},
    machine::Machine,
    matrix::model::{self, Counts},
    qemu::Pace,
    report::{Area, Report},
    suite,
};

/// The guest program, by the name of its file.
const PROGRAM: &str = "bench";

/// Far more than all of it takes, on any host.
const LIMIT: Duration = Duration::from_secs(4 * 60 * 60);

/// How often somebody without a terminal hears how far it is.
const NEWS: Duration = Duration::from_secs(60);

/// What is measured on one machine.
pub struct Part {
    /// The machine.
    pub machine: &'static dyn Machine,
    /// Which cases, in the guest program's words.
    pub what: &'static str,
    /// Memory, in GiB.
    pub memory: u32,
    /// What is set aside for hugetlb, in MiB.
    pub huge_memory: u32,
    /// Whether cache maintenance is counted.
    pub cache_model: bool,
    /// Whether it is counted which functions execute the instructions.
    pub profile: bool,
}

/// What came out.
pub struct Measured {
    /// The figures.
    pub records: Vec<Record>,
    /// The kernel's release, if it came up.
    pub kernel: Option<String>,
    /// Whether boot and program did what they should; figures are not judged.
    pub tests: Vec<Test>,
    /// Where the instructions were executed, if that was counted.
    pub profile: Option<Profile>,
    /// What else a reader should know.
    pub notes: Vec<String>,
    /// The kernel log.
    pub log: PathBuf,
}

impl Part {
    /// The area of the report.
    ///
    /// # Errors
    ///
    /// As of [`Flavour::measured`].
    pub fn area(&self) -> Result<Area> {
        let program = format!("{PROGRAM} {}", self.what);
        let flavour = Flavour::measured(self.machine.board())?;
        Ok(Area::new(self.machine.name(), flavour, &program))
    }

    /// Boots and measures; `words` are further arguments of the guest program. A guest that fails
    /// is no error: it leaves its tests red.
    pub fn run(&self, layout: &Layout, words: &[String], report: &Report) -> Result<Measured> {
        let flavour = Flavour::measured(self.machine.board())?;
        let kernel = Kernel::find(layout, self.machine, flavour)?;
        let program = layout.programs(self.machine.board().target, flavour);
        let program = program.join(PROGRAM);
        missing(&program)?;
        let arguments = [&[self.what.to_owned()], words].concat();
        let boot = Boot {
            name: format!("bench-{}", self.machine.name()),
            driver: Driver::Rust,
            tasks: vec![Task::new(&program, arguments, Some(LIMIT))?],
            pace: Pace::Instructions,
            // With a second one, the time of both would count.
            cpus: 1,
            memory: self.memory,
            huge_memory: self.huge_memory,
            watcher: match (self.profile, self.cache_model) {
                (true, _) => Some(Watcher::Profile),
                (false, true) => Some(Watcher::CacheModel),
                (false, false) => None,
            },
            floor: true,
            ..Boot::new(layout, self.machine, &kernel)
        };
        let mut listener = Listener::default();
        let mut outcome = None;
        let mut release = None;
        let teller = Teller::new(report, self.machine.name());
        let booted = boot.run(|event| match event {
            Event::Ready { kernel } => {
                release = Some(kernel.clone());
                teller.line(&format!("Linux {kernel} is up"));
            }
            Event::Output { stream, bytes, .. } => {
                listener.output(*stream, bytes);
                for note in listener.news() {
                    teller.line(note);
                }
                teller.progress(listener.progress());
            }
            Event::Ended { outcome: how, .. } => outcome = Some(how.clone()),
            _ => {}
        })?;
        let booted = booted.context("a boot that only shows its command measures nothing")?;
        listener.finish();
        for note in listener.news() {
            teller.line(note);
        }

        let mut tests = suite::health(&boot, &booted);
        tests.push(program_test(&listener, outcome.as_ref()));
        let mut notes = Vec::new();
        let symbols = listener.take_symbols();
        let mut records = listener.into_records();
        for record in &mut records {
            record.machine = self.machine.name().into();
        }
        let mut profile = None;
        if let Some(text) = booted.model.as_ref().filter(|_| self.profile) {
            profile = Some(Profile::new(text, symbols));
        } else if let Some(text) = &booted.model {
            let model = model::Report::parse(text);
            let problems = model.problems().into_iter();
            notes.extend(problems.map(|problem| format!("cache model: {problem}")));
            tests.push(suite::unless("cache model", count(&mut records, &model)));
        }
        Ok(Measured {
            records,
            kernel: release,
            tests,
            profile,
            notes,
            log: booted.log,
        })
    }
}

fn program_test(listener: &Listener, outcome: Option<&Outcome>) -> Test {
    suite::unless(PROGRAM, listener.problems(outcome))
}

/// Fills in the cache maintenance in the scopes of the records. What happens to lines that the
/// model does not watch it does not count, so that is not known where it has not watched a whole
/// buffer. Says which drivers it knows nothing about.
fn count(records: &mut [Record], model: &model::Report) -> Vec<String> {
    for record in &mut *records {
        let whole = |counts: &&Counts| counts.lines_watched >= record.bytes / CACHE_LINE;
        let counts = model.scope(&record.name()).filter(whole);
        record.maintenance =
            counts.map(|counts| counts.clean + counts.invalidate + counts.clean_invalidate);
    }
    let unknown = |driver: &Contender| {
        let mut those = records.iter().filter(|record| record.contender == *driver);
        those.clone().count() > 0 && those.all(|record| record.maintenance.is_none())
    };
    let drivers = [Contender::Rust, Contender::C].into_iter();
    drivers
        .filter(unknown)
        .map(|driver| format!("it watched no whole buffer of {driver} in any scope"))
        .collect()
}

/// Tells a reader how far it is: at once on a terminal, else now and then.
struct Teller<'a> {
    report: &'a Report,
    machine: &'a str,
    terminal: bool,
    last: Cell<Instant>,
}

impl<'a> Teller<'a> {
    fn new(report: &'a Report, machine: &'a str) -> Self {
        Teller {
            report,
            machine,
            terminal: io::stdout().is_terminal(),
            last: Cell::new(Instant::now()),
        }
    }

    fn line(&self, text: &str) {
        self.report
            .line(&format!("  ...  {:<16} {text}", self.machine));
    }

    fn progress(&self, text: String) {
        if self.terminal {
            self.report.progress(text);
        } else if self.last.get().elapsed() >= NEWS {
            self.last.set(Instant::now());
            self.line(&text);
        }
    }
}

#[cfg(test)]
mod tests {
    use protocol::bench::Case;

    use super::{super::tests::record, *};

    #[test]
    fn maintenance_is_that_of_the_scope_of_the_same_name() {
        let mut records = vec![
            record(Case::BeginEnd, Contender::Rust, 4096, 1),
            record(Case::BeginEnd, Contender::Rust, 8192, 1),
            record(Case::BeginEnd, Contender::C, 4096, 1),
            record(Case::BeginEnd, Contender::Floor, 4096, 1),
        ];
        let scope = |record: &Record| {
            format!(
                "{{\"type\":\"scope\",\"name\":\"{}\",\"clean\":5,\"clean_invalidate\":7,\
                 \"invalidate\":11,\"bytes\":1472,\"lines_watched\":64}}\n",
                record.name()
            )
        };
        let text = scope(&records[0]) + &scope(&records[1]);
        let wrong = count(&mut records, &model::Report::parse(&text));
        let found: Vec<_> = records.iter().map(|record| record.maintenance).collect();
        // Of the second buffer only a half was watched.
        assert_eq!(found, [Some(23), None, None, None]);
        assert_eq!(wrong, ["it watched no whole buffer of c in any scope"]);
        assert_eq!(count(&mut [], &model::Report::default()), [] as [&str; 0]);
        let text = text + &scope(&records[2]);
        let wrong = count(&mut records, &model::Report::parse(&text));
        assert_eq!(wrong, [] as [&str; 0]);
    }
}
