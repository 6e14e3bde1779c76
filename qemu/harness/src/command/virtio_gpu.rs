// SPDX-License-Identifier: GPL-2.0

//! `virtio-gpu`: a guest in the guest, whose screen goes through the driver.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use protocol::{Driver, Event, Outcome, Stream};

use crate::{
    boot::{Boot, Booted},
    guest,
    ktap::{Test, Verdict},
    layout::Layout,
    nested::Nested,
    report::{Area, Report},
    suite::{self, Listener},
};

/// What the inner guest's memory is made of, one run each.
const RAMS: &[&str] = &["memfd", "hugetlb"];

/// The areas of the run that is a part of all tests.
pub const QUICK: &[&str] = &["memfd", BOOT];

/// What the area of the boot is called.
const BOOT: &str = "boot";

/// The arguments of `virtio-gpu`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The driver behind /dev/udmabuf, in both guests: rust or c.
    #[arg(long, default_value_t = Driver::Rust)]
    driver: Driver,
    /// Leaves out what takes long.
    #[arg(long)]
    quick: bool,
    /// Runs only steps with this text in their names, and those that every run needs.
    #[arg(long)]
    only: Option<String>,
    /// Prints the outer QEMU's command line and stops.
    #[arg(long)]
    show_command: bool,
}

/// The area of a run, or of everything about them.
pub fn area(ram: &str) -> Area {
    Area::new("virtio-gpu", "", ram)
}

/// Runs every step with every kind of memory, and tells about each.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let nested = nested(&layout, &arguments.driver.to_string())?;
    let mut words = Vec::new();
    if arguments.quick {
        words.push("--quick");
    }
    words.extend(arguments.only.as_deref());
    let boot = boot(&nested, arguments.driver, RAMS, &words)?;
    if arguments.show_command {
        let boot = Boot {
            show_command: true,
            ..boot
        };
        boot.run(|_| {})?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut report = Report::open(&layout, "virtio-gpu")?;
    println!("level 1   booting: {}", boot.machine.about());
    watch(&mut report, &nested, &boot, RAMS, Some(arguments.driver))?;
    let screens = layout.short(nested.results());
    println!("screens and the inner guests' logs: {}", screens.display());
    Ok(report.finish())
}

/// Runs what does not take long, as a part of all tests.
pub fn run_quick(layout: &Layout, report: &mut Report) -> Result<()> {
    let rams = &RAMS[..1];
    // Not in the place of what a full run has left.
    let nested = nested(layout, "quick")?;
    let boot = boot(&nested, Driver::Rust, rams, &["--quick"])?;
    watch(report, &nested, &boot, rams, None)
}

fn nested<'a>(layout: &'a Layout, name: &str) -> Result<Nested<'a>> {
    Nested::prepare(layout, name, Nested::kernel(layout)?)
}

/// The boot of the outer guest for these runs.
fn boot<'a>(
    nested: &'a Nested<'_>,
    driver: Driver,
    rams: &[&str],
    words: &[&str],
) -> Result<Boot<'a>> {
    let task = |ram: &&str| nested.task(&[&["--ram", ram], words].concat());
    let tasks = rams.iter().map(task).collect::<Result<_>>()?;
    Ok(Boot {
        driver,
        ..nested.boot(format!("virtio-gpu-{driver}"), tasks)
    })
}

/// Boots, and reports every run and the boot itself. With a driver to name, it tells about every
/// step as well.
fn watch(
    report: &mut Report,
    nested: &Nested<'_>,
    boot: &Boot<'_>,
    rams: &[&str],
    tell: Option<Driver>,
) -> Result<()> {
    let mut runs: Vec<Run> = Vec::new();
    nested.clear_results()?;
    report.begin(&area(BOOT));
    let booted = boot.run(|event| match event {
        Event::Ready { kernel } => {
            if let Some(driver) = tell {
                report.line(&format!("level 1   Linux {kernel}, driver {driver}"));
            }
        }
        Event::Started { program } => {
            let ram = rams[*program as usize];
            report.begin(&area(ram));
            runs.push(Run::new(ram));
        }
        Event::Output { stream, bytes, .. } => {
            if let Some(run) = runs.last_mut() {
                run.output(*stream, bytes, report, tell.is_some());
            }
        }
        Event::Ended { outcome, .. } => {
            if let Some(run) = runs.last_mut() {
                run.outcome = Some(outcome.clone());
                run.time = run.since.elapsed();
                report.begin(&area(BOOT));
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
    finish(report, nested, boot, &booted, runs, rams)
}

/// Every run is an area, and the boot is one.
fn finish(
    report: &mut Report,
    nested: &Nested<'_>,
    boot: &Boot<'_>,
    booted: &Booted,
    runs: Vec<Run>,
    rams: &[&str],
) -> Result<()> {
    let mut runs = runs.into_iter();
    for ram in rams {
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
        report.end(&area(ram), tests, Some(&booted.log))?;
        let inner = nested.results().join(format!("{ram}-level2.log"));
        if failed && inner.exists() {
            report.note(&format!(
                "log of the inner guest: {}; what its QEMU says is beside it",
                boot.layout.short(&inner).display()
            ));
        }
    }
    report.took(Duration::ZERO);
    report.end(&area(BOOT), suite::health(boot, booted), Some(&booted.log))
}

/// A run of the outer program while it goes on.
struct Run {
    ram: String,
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
    fn new(ram: &str) -> Self {
        Run {
            ram: ram.to_owned(),
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
        if let Some(step) = line.strip_prefix("# level 2: ") {
            report.progress(format!("level 2: {step}"));
            if tell && step.starts_with("booting") {
                report.line(&format!("level 2   {step}"));
            }
        } else if let Some(found) = line.strip_prefix("# ") {
            self.found = found.to_owned();
        } else if let Some((passed, name)) = result(line) {
            let seconds = self.step_since.elapsed().as_secs_f32();
            self.step_since = Instant::now();
            let found = std::mem::take(&mut self.found);
            let found = found.strip_prefix(&format!("{name}: ")).unwrap_or("");
            if tell {
                let ram = &self.ram;
                report.step(
                    passed,
                    &format!("{ram:<8} {name:<28} {seconds:>6.1} s  {found}"),
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
