// SPDX-License-Identifier: GPL-2.0

//! A boot that is a test: KTAP programs, KUnit suites, and the boot's own health.

use std::{
    io::Write,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use protocol::{Event, Outcome, Stream};

use crate::{
    boot::{Boot, Booted},
    ktap::{self, Parser, Test, Verdict},
    log::{self, Complaint},
    race,
    report::{Area, Report},
};

/// Complaints that are shown; all are in the log.
const SHOWN_COMPLAINTS: usize = 10;

/// What every kernel says first. A log without it was not written, and shows no complaint either.
const FIRST_LINE: &str = "Linux version ";

/// A test of one name.
fn test(name: &str, verdict: Verdict) -> Test {
    Test {
        path: vec![name.to_owned()],
        verdict,
    }
}

/// A test that failed for this reason.
pub fn failed(name: &str, why: String) -> Test {
    test(name, Verdict::Failed(vec![why]))
}

/// A test that passes if nothing is wrong.
pub fn unless(name: &str, wrong: Vec<String>) -> Test {
    test(
        name,
        if wrong.is_empty() {
            Verdict::Passed
        } else {
            Verdict::Failed(wrong)
        },
    )
}

/// The output of one KTAP program while it runs.
#[derive(Default)]
pub struct Listener {
    parser: Parser,
    line: Vec<u8>,
    stderr: Vec<u8>,
}

impl Listener {
    /// Takes in output of the program.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            self.stderr.extend_from_slice(bytes);
            return;
        }
        for &byte in bytes {
            if byte == b'\n' {
                let line = std::mem::take(&mut self.line);
                self.parser.line(&String::from_utf8_lossy(&line));
            } else {
                self.line.push(byte);
            }
        }
    }

    /// The number of results so far.
    pub fn seen(&self) -> usize {
        self.parser.seen()
    }

    /// All tests of the program. What it did as a whole is one more test if it
    /// does not fit its results.
    pub fn finish(mut self, outcome: &Outcome) -> Vec<Test> {
        self.output(Stream::Stdout, b"\n");
        let mut tests = if self.parser.seen() > 0 {
            self.parser.finish()
        } else {
            Vec::new()
        };
        let failed = tests
            .iter()
            .any(|test| matches!(test.verdict, Verdict::Failed(_)));
        let fits = match outcome {
            Outcome::Exited(0) => !tests.is_empty(),
            Outcome::Exited(1) => failed,
            _ => false,
        };
        if !fits {
            let stderr = String::from_utf8_lossy(&self.stderr);
            let mut notes: Vec<_> = stderr.lines().map(str::to_owned).collect();
            notes.push(format!("{} results, then {outcome}", tests.len()));
            tests.push(test("program", Verdict::Failed(notes)));
        }
        tests
    }
}

/// What a boot says about itself once it is over.
pub fn health(boot: &Boot<'_>, booted: &Booted) -> Vec<Test> {
    let mut wrong = shown(&booted.complaints);
    if !booted.log_text.contains(FIRST_LINE) {
        wrong.push("it is not whole: its first line is missing".into());
    }
    // The test importer says it, which no installed system has.
    let evidence = match boot.disk {
        Some(_) => Vec::new(),
        None => boot.machine.evidence(),
    };
    let missing = evidence.into_iter();
    let missing = missing.filter(|line| !booted.log_text.contains(line));
    let missing = missing.map(|line| format!("the kernel log does not say '{line}'"));
    let mut tests = vec![
        unless("guest finishes", booted.broken().into_iter().collect()),
        unless("kernel log is clean", wrong),
        unless("machine is what it should be", missing.collect()),
    ];
    for (module, error) in &booted.unloaded {
        tests.push(unless(
            &format!("{module} unloads"),
            error.iter().cloned().collect(),
        ));
    }
    if boot.unload && booted.unloaded.is_empty() {
        tests.push(unless(
            "modules unload",
            vec!["it did not come to that".into()],
        ));
    }
    if boot.find_leaks {
        let wrong = match &booted.leaks {
            Some(found) => found.lines().map(str::to_owned).collect(),
            None => vec!["the leak detector did not answer".into()],
        };
        tests.push(unless("nothing leaks", wrong));
    }
    tests
}

/// What a boot says besides, which is nobody's failure.
fn notes(booted: &Booted) -> Vec<String> {
    race::not_the_drivers(&race::races(&booted.log_text))
}

fn shown(complaints: &[Complaint]) -> Vec<String> {
    let mut lines: Vec<_> = complaints
        .iter()
        .take(SHOWN_COMPLAINTS)
        .map(|complaint| format!("line {}: {}", complaint.line, complaint.text))
        .collect();
    if complaints.len() > SHOWN_COMPLAINTS {
        lines.push(format!("and {} more", complaints.len() - SHOWN_COMPLAINTS));
    }
    lines
}

/// The tests of an area, once it is over.
pub struct Part {
    /// Which area.
    pub area: Area,
    /// Its tests.
    pub tests: Vec<Test>,
    /// The kernel log, where it may say more.
    pub log: Option<PathBuf>,
    /// What is said below its row, and decides nothing.
    pub notes: Vec<String>,
    /// How long it took.
    pub time: Duration,
}

impl Part {
    /// Puts it into a report.
    pub fn tell(self, report: &mut Report) -> Result<()> {
        report.took(self.time);
        report.end(&self.area, self.tests, self.log.as_deref())?;
        self.notes.iter().for_each(|note| report.note(note));
        Ok(())
    }
}

/// Whoever wants to know how a boot goes on.
pub trait Audience {
    /// An area is that far.
    fn progress(&self, area: &Area, text: &str);

    /// An area is over.
    fn part(&self, part: Part);
}

/// Boots. Every program is an area of its own, the boot's health another.
pub fn run_programs(
    audience: &dyn Audience,
    boot: &Boot<'_>,
    areas: &[Area],
    own: &Area,
) -> Result<()> {
    let mut listeners: Vec<Option<Listener>> = areas.iter().map(|_| None).collect();
    let mut finished = vec![false; areas.len()];
    let mut trouble: Option<anyhow::Error> = None;
    let mut started = Instant::now();
    let mut part = |area: &Area, tests, log, notes| {
        let time = started.elapsed();
        started = Instant::now();
        audience.part(Part {
            area: area.clone(),
            tests,
            log,
            notes,
            time,
        });
    };
    // What the programs wrote, as they wrote it, for whoever has to find out why one failed.
    let (_, mut output) = boot.layout.claim("logs", &boot.name, "out")?;
    let booted = boot.run(|event| {
        let index = |program: &u32| *program as usize;
        match event {
            Event::Started { program } => {
                audience.progress(&areas[index(program)], "");
                listeners[index(program)] = Some(Listener::default());
            }
            Event::Output {
                program,
                stream,
                bytes,
            } => {
                trouble = trouble
                    .take()
                    .or(output.write_all(bytes).err().map(Into::into));
                if let Some(listener) = &mut listeners[index(program)] {
                    listener.output(*stream, bytes);
                    let seen = format!("{} tests", listener.seen());
                    audience.progress(&areas[index(program)], &seen);
                }
            }
            Event::Ended { program, outcome } => {
                let program = index(program);
                if let Some(listener) = listeners[program].take() {
                    finished[program] = true;
                    let tests = demand_all(&areas[program], listener.finish(outcome));
                    part(&areas[program], tests, None, Vec::new());
                }
            }
            _ => {}
        }
    })?;
    if let Some(trouble) = trouble {
        return Err(trouble);
    }
    let Some(booted) = booted else {
        bail!("a boot that only shows its command is no test")
    };
    // What the guest did not live to run has failed.
    for (program, area) in areas
        .iter()
        .enumerate()
        .filter(|(program, _)| !finished[*program])
    {
        let mut tests = match listeners[program].take() {
            Some(listener) => listener.parser.finish(),
            None => Vec::new(),
        };
        tests.push(unless(
            "program",
            vec!["the guest was gone before it ended".into()],
        ));
        part(area, tests, Some(booted.log.clone()), Vec::new());
    }
    let notes = notes(&booted);
    part(own, health(boot, &booted), Some(booted.log), notes);
    Ok(())
}

/// The kernel's own selftest has to run in full: there, a skip is a failure.
fn demand_all(area: &Area, mut tests: Vec<Test>) -> Vec<Test> {
    if area.program == KERNEL_SELFTEST {
        for test in &mut tests {
            if let Verdict::Skipped(reason) = &test.verdict {
                test.verdict = Verdict::Failed(vec![format!("skipped: {reason}")]);
            }
        }
    }
    tests
}

/// The name of the area of the kernel's own selftest.
pub const KERNEL_SELFTEST: &str = "kernel-selftest";

/// How the names of the KUnit suites begin, for each of the two modules.
const SUITES: &[&str] = &["udmabuf_", "edu_importer_"];

/// The modules' KUnit tests in a kernel log, and whatever else failed there: suites of
/// the kernel itself run as well.
pub fn kunit_tests(log_text: &str) -> Vec<Test> {
    let tests = ktap::parse(log_text.lines().map(log::message));
    let ours = |test: &Test| SUITES.iter().any(|suite| test.path[0].starts_with(suite));
    let failed = |test: &Test| matches!(test.verdict, Verdict::Failed(_));
    tests
        .into_iter()
        .filter(|test| ours(test) || failed(test))
        .collect()
}

/// A failure for each module of which no suite ran.
fn missing_suites(tests: &[Test]) -> Vec<Test> {
    let absent = |suite: &&&str| !tests.iter().any(|test| test.path[0].starts_with(**suite));
    let report = |suite| failed("suites", format!("no suite named {suite}* ran"));
    SUITES.iter().filter(absent).map(report).collect()
}

/// Boots for the KUnit suites, which are an area together with the boot's health.
pub fn run_kunit(audience: &dyn Audience, boot: &Boot<'_>, area: &Area) -> Result<()> {
    let started = Instant::now();
    audience.progress(area, "");
    let Some(booted) = boot.run(|_| {})? else {
        bail!("a boot that only shows its command is no test")
    };
    let mut tests = kunit_tests(&booted.log_text);
    tests.extend(missing_suites(&tests));
    tests.extend(health(boot, &booted));
    audience.part(Part {
        area: area.clone(),
        tests,
        notes: notes(&booted),
        log: Some(booted.log),
        time: started.elapsed(),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finish(output: &[u8], outcome: Outcome) -> (usize, usize) {
        let mut listener = Listener::default();
        // However the output is cut, it means the same.
        for piece in output.chunks(3) {
            listener.output(Stream::Stdout, piece);
        }
        let tests = listener.finish(&outcome);
        let failed = tests
            .iter()
            .filter(|t| matches!(t.verdict, Verdict::Failed(_)))
            .count();
        (tests.len(), failed)
    }

    #[test]
    fn exit_code_and_results_have_to_agree() {
        let good = b"KTAP version 1\n1..1\nok 1 a\n";
        let bad = b"KTAP version 1\n1..1\nnot ok 1 a\n";
        assert_eq!(finish(good, Outcome::Exited(0)), (1, 0));
        assert_eq!(finish(bad, Outcome::Exited(1)), (1, 1));
        assert_eq!(finish(good, Outcome::Exited(1)), (2, 1));
        assert_eq!(finish(bad, Outcome::Exited(0)), (1, 1));
    }

    #[test]
    fn a_program_that_dies_or_says_nothing_has_failed() {
        let good = b"KTAP version 1\n1..1\nok 1 a\n";
        assert_eq!(finish(good, Outcome::Killed(11)), (2, 1));
        assert_eq!(finish(good, Outcome::TimedOut), (2, 1));
        assert_eq!(finish(b"", Outcome::Exited(0)), (1, 1));
        assert_eq!(finish(b"hello\n", Outcome::NotStarted("no".into())), (1, 1));
    }

    #[test]
    fn output_that_stops_early_has_failed() {
        assert_eq!(
            finish(b"KTAP version 1\n1..2\nok 1 a", Outcome::Exited(0)),
            (2, 1)
        );
    }

    #[test]
    fn our_suites_count_and_failures_of_others_do() {
        let log = "\
[    1.0] KTAP version 1
[    1.0] 1..2
[    1.0]     KTAP version 1
[    1.0]     # Subtest: udmabuf_abi
[    1.0]     1..1
[    1.0]     ok 1 numbers
[    1.0] ok 1 udmabuf_abi
[    1.0]     KTAP version 1
[    1.0]     # Subtest: other
[    1.0]     1..1
[    1.0]     ok 1 thing
[    1.0] ok 2 other
";
        let tests = kunit_tests(log);
        let names: Vec<_> = tests.iter().map(Test::name).collect();
        assert_eq!(names, ["udmabuf_abi.numbers"]);
        // The other module's suites are not there.
        assert_eq!(missing_suites(&tests).len(), 1);
        let failed = log.replace("    ok 1 thing", "    not ok 1 thing");
        let names: Vec<_> = kunit_tests(&failed).iter().map(Test::name).collect();
        assert_eq!(names, ["udmabuf_abi.numbers", "other.thing"]);
        let cut: String = log
            .lines()
            .take(5)
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(
            kunit_tests(&cut)
                .iter()
                .any(|t| matches!(t.verdict, Verdict::Failed(_)))
        );
        assert_eq!(kunit_tests("[    1.0] nothing\n"), []);
    }
}
