// SPDX-License-Identifier: GPL-2.0

//! A boot whose programs do one thing after another: each is an area, and a watcher is told about
//! every step.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use protocol::{Driver, Event, Outcome, Stream};

use crate::{
    boot::{Boot, Booted},
    guest,
    ktap::{Test, Verdict},
    report::{Area, Report},
    suite::{self, Listener},
};

/// What a boot of that kind is reported as.
pub struct Plan<'a> {
    /// The boot.
    pub boot: &'a Boot<'a>,
    /// The area of each of its tasks.
    pub areas: Vec<Area>,
    /// The area of the boot itself.
    pub own: Area,
    /// The driver to name to a watcher, if there is one.
    pub tell: Option<Driver>,
    /// What a reader of a failure in that area wants to know beside it.
    pub hint: &'a dyn Fn(&Area) -> Option<String>,
}

/// Boots, and reports every program and the boot itself.
pub fn watch(report: &mut Report, plan: &Plan<'_>) -> Result<()> {
    let boot = plan.boot;
    let mut runs: Vec<Run> = Vec::new();
    report.begin(&plan.own);
    let booted = boot.run(|event| match event {
        Event::Ready { kernel } => {
            if let Some(driver) = plan.tell {
                report.line(&format!("level 1   Linux {kernel}, driver {driver}"));
            }
        }
        Event::Started { program } => {
            let area = &plan.areas[*program as usize];
            report.begin(area);
            runs.push(Run::new(&area.program));
        }
        Event::Output { stream, bytes, .. } => {
            if let Some(run) = runs.last_mut() {
                run.output(*stream, bytes, report, plan.tell.is_some());
            }
        }
        Event::Ended { outcome, .. } => {
            if let Some(run) = runs.last_mut() {
                run.outcome = Some(outcome.clone());
                run.time = run.since.elapsed();
                report.begin(&plan.own);
            }
        }
        _ => {}
    })?;
    report.pause();
    if guest::interrupted() {
        bail!("interrupted");
    }
    let Some(booted) = booted else {
        bail!("a boot that only shows its command is no test")
    };
    if !booted.ready {
        let why = booted.broken().unwrap_or_default();
        let log = boot.layout.short(&booted.log);
        bail!("level 1 did not come up: {why}; see {}", log.display());
    }
    finish(report, plan, &booted, runs)
}

/// Every program is an area, and the boot is one.
fn finish(report: &mut Report, plan: &Plan<'_>, booted: &Booted, runs: Vec<Run>) -> Result<()> {
    let mut runs = runs.into_iter();
    for area in &plan.areas {
        let gone = || Outcome::NotStarted("the guest was gone".into());
        let (tests, time) = match runs.next() {
            Some(run) => (
                run.listener.finish(&run.outcome.unwrap_or_else(gone)),
                run.time,
            ),
            None => (Listener::default().finish(&gone()), Duration::ZERO),
        };
        let failed = |test: &Test| matches!(test.verdict, Verdict::Failed(_));
        let failed = tests.iter().any(failed);
        report.took(time);
        report.end(area, tests, Some(&booted.log))?;
        if failed && let Some(hint) = (plan.hint)(area) {
            report.note(&hint);
        }
    }
    report.took(Duration::ZERO);
    report.end(
        &plan.own,
        suite::health(plan.boot, booted),
        Some(&booted.log),
    )
}

/// A program while it runs.
struct Run {
    name: String,
    listener: Listener,
    outcome: Option<Outcome>,
    since: Instant,
    time: Duration,
    line: Vec<u8>,
    /// What it last said about the step that it is at.
    found: String,
    step_since: Instant,
}

impl Run {
    fn new(name: &str) -> Self {
        Run {
            name: name.to_owned(),
            listener: Listener::default(),
            outcome: None,
            since: Instant::now(),
            time: Duration::ZERO,
            line: Vec::new(),
            found: String::new(),
            step_since: Instant::now(),
        }
    }

    /// Takes in output, and tells about what it means.
    fn output(&mut self, stream: Stream, bytes: &[u8], report: &Report, tell: bool) {
        self.listener.output(stream, bytes);
        if stream == Stream::Stderr {
            return;
        }
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.tell(&String::from_utf8_lossy(&line), report, tell);
            } else {
                self.line.push(byte);
            }
        }
    }

    fn tell(&mut self, line: &str, report: &Report, tell: bool) {
        if let Some(next) = line.strip_prefix("# next: ") {
            report.progress(next.to_owned());
            if tell && next.contains("booting") {
                report.line(next);
            }
        } else if let Some(found) = line.strip_prefix("# ") {
            self.found = found.to_owned();
        } else if let Some((passed, name)) = result(line) {
            let seconds = self.step_since.elapsed().as_secs_f32();
            self.step_since = Instant::now();
            let found = std::mem::take(&mut self.found);
            let found = found.strip_prefix(&format!("{name}: ")).unwrap_or("");
            if tell {
                let area = &self.name;
                report.step(
                    passed,
                    &format!("{area:<10} {name:<28} {seconds:>6.1} s  {found}"),
                );
            }
        }
    }
}

/// Whether a step passed, and its name, if the line is a result.
fn result(line: &str) -> Option<(bool, &str)> {
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    Some((passed, rest.split_once(' ')?.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_told_from_the_rest() {
        assert_eq!(result("ok 3 picture"), Some((true, "picture")));
        assert_eq!(result("not ok 4 flips"), Some((false, "flips")));
        assert_eq!(result("# picture: ok 3 pixels"), None);
        assert_eq!(result("1..4"), None);
    }
}
