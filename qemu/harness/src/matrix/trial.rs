// SPDX-License-Identifier: GPL-2.0

//! One boot of one machine, in which all its cells are filled.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use protocol::{DRIVER_MODULE, Driver, EXPORTER_MARK, Event, Exporter, Module, Outcome};

use super::{
    cell::Cell,
    column::{Column, Ran},
    flows::{COST, Flow, Listener, PROGRAM},
    model,
    plan::{self, Control, RUST, Run, Selection, Subject},
};
use crate::{
    boot::{Backing, Boot, Booted, Task, Watcher},
    kernel::{Flavour, Further, Kernel},
    ktap::{Test, Verdict},
    layout::{Layout, missing},
    log::{self, Complaint},
    machine::Machine,
    qemu::Pace,
    suite,
};

/// The option of the kernel that has the system heap.
const SYSTEM_HEAP: &str = "CONFIG_DMABUF_HEAPS_SYSTEM";

/// Complaints of other drivers than ours that are shown.
const SHOWN_COMPLAINTS: usize = 3;

/// The variants of the module for one kernel, by name, or why there is none.
pub type Variants = BTreeMap<String, Result<PathBuf, String>>;

/// What is to be tried on a machine.
pub struct Trial<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// The machine.
    pub machine: &'static dyn Machine,
    /// Which kernel it boots.
    pub flavour: Flavour,
    /// The flows.
    pub flows: &'a [Flow],
    /// The controls that they name.
    pub controls: &'a [Control],
    /// The controls as built for this machine's kernel.
    pub variants: &'a Variants,
    /// What is wanted.
    pub selection: Selection,
    /// Measures the cost of syncing as well, where it can be.
    pub cost: bool,
}

/// A run with what the program said in it.
struct Heard {
    run: Run,
    listener: Listener,
    outcome: Option<Outcome>,
    started: Instant,
    time: Duration,
}

impl Trial<'_> {
    /// Boots and runs everything. A guest that fails is no error: it leaves cells missing.
    pub fn run(&self, progress: &dyn Fn(String)) -> Result<Column> {
        let started = Instant::now();
        let kernel = Kernel::find(self.layout, self.machine, self.flavour)?;
        let target = self.machine.board().target;
        let program = self.layout.programs(target, self.flavour);
        let program = program.join(PROGRAM);
        missing(&program)?;
        let (runs, unbuilt) = self.runs(kernel.has(SYSTEM_HEAP)?);
        let tasks = runs.iter().map(|run| self.task(&program, run));
        let boot = Boot {
            name: format!("matrix-{}", self.machine.name()),
            tasks: tasks.collect::<Result<_>>()?,
            unload: true,
            pace: Pace::Slow,
            further: vec![Further::Camera, Further::Fences],
            watcher: plan::has_model(self.machine).then_some(Watcher::CacheModel),
            ..Boot::new(self.layout, self.machine, &kernel)
        };
        let mut heard: Vec<Heard> = runs
            .into_iter()
            .map(|run| Heard {
                run,
                listener: Listener::default(),
                outcome: None,
                started,
                time: Duration::ZERO,
            })
            .collect();
        let mut release = None;
        progress("boots".into());
        let booted = boot.run(|event| match event {
            Event::Ready { kernel } => release = Some(kernel.clone()),
            Event::Started { program } => {
                let heard = &mut heard[*program as usize];
                heard.started = Instant::now();
                progress(heard.doing());
            }
            Event::Output {
                program,
                stream,
                bytes,
            } => {
                let heard = &mut heard[*program as usize];
                heard.listener.output(*stream, bytes);
                progress(heard.doing());
            }
            Event::Ended { program, outcome } => {
                let heard = &mut heard[*program as usize];
                heard.outcome = Some(outcome.clone());
                heard.time = heard.started.elapsed();
            }
            _ => {}
        })?;
        let mut booted = booted.context("a boot that only shows its command is no trial")?;
        heard.iter_mut().for_each(|heard| heard.listener.finish());

        let model = booted.model.as_deref().map(model::Report::parse);
        let gone = booted.broken().unwrap_or_else(|| "it was not run".into());
        let gone = format!("{gone}; log: {}", self.layout.short(&booted.log).display());
        let mut runs: Vec<Ran> = heard
            .iter()
            .map(|heard| heard.cells(model.as_ref(), &gone))
            .collect();
        runs.extend(unbuilt);
        let notes = set_aside(&mut booted);
        let mut health = suite::health(&boot, &booted);
        for (heard, ran) in heard.iter().zip(&runs) {
            health.extend(heard.test(ran));
        }
        if let Some(model) = &model {
            health.push(suite::unless("cache model", model.problems()));
        }
        Ok(Column {
            machine: self.machine,
            kernel: release,
            runs,
            model,
            health,
            notes,
            log: booted.log,
            time: started.elapsed(),
        })
    }

    /// The runs that can be made, and the empty results of those that cannot. Not every kernel has
    /// the system heap.
    fn runs(&self, has_heap: bool) -> (Vec<Run>, Vec<Ran>) {
        let selection = Selection {
            heap: self.selection.heap && has_heap,
            ..self.selection
        };
        let mut runs = plan::runs(self.machine, self.flows, self.controls, selection);
        if self.cost && plan::has_model(self.machine) {
            plan::add_cost(&mut runs);
        }
        let mut unbuilt = Vec::new();
        runs.retain(|run| {
            let Some(why) = self.unbuilt(run) else {
                return true;
            };
            let cell = Cell::Missing { detail: why };
            let cells = run.flows.iter().map(|flow| (flow.clone(), cell.clone()));
            unbuilt.push(Ran {
                label: run.label.clone(),
                cells: cells.collect(),
                time: Duration::ZERO,
            });
            false
        });
        (runs, unbuilt)
    }

    /// Why the module for a run is not there, if it is not.
    fn unbuilt(&self, run: &Run) -> Option<String> {
        let Subject::Control(name) = &run.subject else {
            return None;
        };
        match self.variants.get(name) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.clone()),
            None => Some("it was not built".into()),
        }
    }

    fn task(&self, program: &std::path::Path, run: &Run) -> Result<Task> {
        let mut arguments = vec!["--label".into(), run.label.clone(), "--json".into()];
        if run.subject == Subject::Heap {
            arguments.push("--heap".into());
        }
        arguments.extend(run.flows.iter().cloned());
        let backing = match &run.subject {
            Subject::Driver(driver) => Backing::Driver(*driver),
            // Nothing of ours is in place while the heap is looked at.
            Subject::Heap => Backing::Driver(Driver::C),
            Subject::Control(name) => {
                let built = self
                    .variants
                    .get(name)
                    .and_then(|built| built.as_ref().ok());
                Backing::Variant {
                    name: name.clone(),
                    file: built.context("a variant that was not built")?.clone(),
                }
            }
        };
        Ok(Task {
            backing: Some(backing),
            ..Task::new(program, arguments, Some(run.limit()))?
        })
    }
}

impl Heard {
    /// What runs now, for a reader who waits.
    fn doing(&self) -> String {
        let done = self.listener.outcomes.len();
        let next = self.run.flows.get(done).map_or("", String::as_str);
        format!("{} {next}", self.run.label)
    }

    /// The cells of the run; `gone` is why the guest did not come to some of them.
    fn cells(&self, model: Option<&model::Report>, gone: &str) -> Ran {
        let cell = |flow: &String| {
            let said = self.listener.outcomes.iter().find(|o| o.flow == *flow);
            let cell = match (said, &self.outcome) {
                // It has many scopes and no verdict of its own.
                (Some(said), _) if flow == COST => Cell::join(&self.run.label, said, None),
                (Some(said), _) => Cell::join(&self.run.label, said, model),
                (None, None) => Cell::Missing {
                    detail: gone.to_owned(),
                },
                (None, Some(outcome)) => Cell::Missing {
                    detail: format!("the program was gone: {outcome}{}", self.last_words()),
                },
            };
            (flow.clone(), cell)
        };
        Ran {
            label: self.run.label.clone(),
            cells: self.run.flows.iter().map(cell).collect(),
            time: self.time,
        }
    }

    fn last_words(&self) -> String {
        let last = self.listener.stderr().pop();
        last.map_or_else(String::new, |line| format!(" ({line})"))
    }

    /// A test that failed, if the program did not behave as it should, whatever its flows came
    /// to. How others than our driver make it end is not our concern, as long as it speaks clearly.
    fn test(&self, ran: &Ran) -> Option<Test> {
        let mut wrong = Vec::new();
        for line in &self.listener.noise {
            wrong.push(format!("it said: {line}"));
        }
        let outcomes = self.listener.outcomes.iter();
        for outcome in outcomes.filter(|outcome| !self.run.flows.contains(&outcome.flow)) {
            wrong.push(format!(
                "it ran {}, which it was not asked for",
                outcome.flow
            ));
        }
        let right = |(_, cell): &(String, Cell)| cell.is_right();
        if self.run.label == RUST
            && ran.cells.iter().all(right)
            && let Some(outcome) = &self.outcome
            && *outcome != Outcome::Exited(0)
        {
            wrong.extend(self.listener.stderr());
            wrong.push(format!("{outcome}, although every flow was right"));
        }
        let name = format!("{PROGRAM} --label {}", self.run.label);
        let verdict = Verdict::Failed(wrong);
        match &verdict {
            Verdict::Failed(wrong) if wrong.is_empty() => None,
            _ => Some(Test {
                path: vec![name],
                verdict,
            }),
        }
    }
}

/// Removes what the kernel complained about while others than our driver were in place: that
/// counts for nothing, but is noted.
fn set_aside(booted: &mut Booted) -> Vec<String> {
    let marks = marks(&booted.log_text);
    let owner = |complaint: &Complaint| {
        let before = marks.iter().rev().find(|(line, _)| *line < complaint.line);
        before.map(|(_, exporter)| exporter.as_str())
    };
    let ours = ours().to_string();
    let (kept, others): (Vec<_>, Vec<_>) = booted
        .complaints
        .drain(..)
        .partition(|complaint| owner(complaint).is_none_or(|exporter| exporter == ours));
    booted.complaints = kept;
    let note = |complaint: &Complaint| {
        let exporter = owner(complaint).unwrap_or_default();
        format!(
            "kernel log line {}, with {exporter}: {}",
            complaint.line, complaint.text
        )
    };
    let mut notes: Vec<_> = others.iter().take(SHOWN_COMPLAINTS).map(note).collect();
    if others.len() > SHOWN_COMPLAINTS {
        notes.push(format!(
            "and {} more of the kind",
            others.len() - SHOWN_COMPLAINTS
        ));
    }
    notes
}

/// The unbroken module.
fn ours() -> Exporter {
    Exporter::Module(Module {
        name: DRIVER_MODULE.into(),
        file: DRIVER_MODULE.into(),
        parameters: String::new(),
    })
}

/// The lines with which init says what is in place from there on.
fn marks(log_text: &str) -> Vec<(usize, String)> {
    let lines = log_text.lines().enumerate();
    lines
        .filter_map(|(number, line)| {
            let mark = log::message(line).strip_prefix("guest: ")?;
            let exporter = mark.strip_prefix(EXPORTER_MARK)?;
            Some((number + 1, exporter.trim_end().to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use protocol::Stream;

    use super::*;
    use crate::guest::Ending;

    fn heard(label: &str, output: &str, outcome: Option<Outcome>) -> Heard {
        let mut listener = Listener::default();
        listener.output(Stream::Stdout, output.as_bytes());
        listener.output(Stream::Stderr, b"last words\n");
        listener.finish();
        Heard {
            run: Run {
                label: label.into(),
                subject: Subject::Driver(Driver::Rust),
                flows: vec!["a".into(), "b".into()],
            },
            listener,
            outcome,
            started: Instant::now(),
            time: Duration::ZERO,
        }
    }

    const A: &str = "{\"flow\":\"a\",\"outcome\":\"ok\"}\n";
    const B: &str = "{\"flow\":\"b\",\"outcome\":\"ok\",\"detail\":\"\"}\n";

    #[test]
    fn what_the_program_did_not_come_to_is_missing() {
        let details = |outcome| {
            let ran = heard("rust", A, outcome).cells(None, "the guest died: panic");
            assert_eq!(ran.cells[0], ("a".into(), Cell::Ok));
            ran.cells[1].1.to_string()
        };
        assert_eq!(details(None), "missing: the guest died: panic");
        let killed = details(Some(Outcome::TimedOut));
        assert_eq!(
            killed,
            "missing: the program was gone: killed, its time was over (last words)"
        );
    }

    #[test]
    fn a_program_that_fails_though_its_flows_are_right_has_failed() {
        let both = format!("{A}{B}");
        let fails = |label, output: &str, code| {
            let heard = heard(label, output, Some(Outcome::Exited(code)));
            heard.test(&heard.cells(None, "")).is_some()
        };
        assert!(!fails("rust", &both, 0));
        assert!(fails("rust", &both, 1));
        assert!(!fails("c", &both, 1));
        assert!(!fails("rust", &both.replace("\"ok\"", "\"wrong\""), 1));
        assert!(fails("c", &format!("{both}hello\n"), 0));
        assert!(fails("c", &both.replace("\"a\"", "\"z\""), 0));
    }

    #[test]
    fn only_complaints_about_our_driver_count() {
        let log_text = "\
[    0.1] Linux version 7.3.4
[    0.2] WARNING: in the boot
[    1.0] guest: exporter: module udmabuf_rs
[    1.1] WARNING: ours
[    2.0] guest: exporter: the driver in the kernel
[    2.1] WARNING: not ours
[    3.0] guest: exporter: module no-sync-at-end
[    3.1] WARNING: nor this
";
        let mut booted = Booted {
            ending: Ending::Done,
            log: "/nonexistent".into(),
            log_text: log_text.into(),
            complaints: log::complaints(log_text),
            ready: true,
            failure: None,
            outcomes: Vec::new(),
            unloaded: Vec::new(),
            leaks: None,
            model: None,
        };
        let notes = set_aside(&mut booted);
        let kept: Vec<_> = booted.complaints.iter().map(|c| c.line).collect();
        assert_eq!(kept, [2, 4]);
        assert_eq!(
            notes,
            [
                "kernel log line 6, with the driver in the kernel: WARNING: not ours",
                "kernel log line 8, with module no-sync-at-end: WARNING: nor this"
            ]
        );
    }
}
