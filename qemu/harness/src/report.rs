// SPDX-License-Identifier: GPL-2.0

//! Results as they come: rows for a reader, JSON lines for a program, totals at the end.

use std::{
    env,
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::{
    again::Run,
    ktap::{self, Test, Verdict},
    layout::Layout,
};

/// Lines of a failed test's notes that are shown; all are in the JSON file.
const SHOWN_NOTES: usize = 12;

/// Where a group of tests ran: the first three columns of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Area {
    /// The machine, or "host".
    pub machine: String,
    /// The kernel, or nothing.
    pub kernel: String,
    /// What was run.
    pub program: String,
}

impl Area {
    /// An area from anything that has the right names.
    pub fn new(machine: &str, kernel: impl ToString, program: &str) -> Self {
        Area {
            machine: machine.into(),
            kernel: kernel.to_string(),
            program: program.into(),
        }
    }

    /// The columns as one text, which filters look into.
    pub fn name(&self) -> String {
        let words = [&self.machine, &self.kernel, &self.program];
        let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
        words
            .iter()
            .map(|word| word.as_str())
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// How many there were of each verdict.
#[derive(Clone, Copy, Default)]
struct Totals {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Totals {
    fn count(&mut self, verdict: &Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Failed(_) => self.failed += 1,
            Verdict::Skipped(_) => self.skipped += 1,
        }
    }
}

impl std::fmt::Display for Totals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

/// A line of the JSON file.
#[derive(Serialize)]
struct Record<'a> {
    #[serde(flatten)]
    area: &'a Area,
    test: String,
    verdict: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<&'a Path>,
}

/// The report of one run of the harness.
pub struct Report {
    totals: Totals,
    /// Areas with the names of their tests, and whether they passed.
    seen: Vec<(Area, String, bool)>,
    /// What each failure was, which stand together at the end, and how to repeat it.
    failures: Vec<[String; 2]>,
    results: File,
    /// Colour, and a line that moves: on a terminal only.
    terminal: bool,
    running: Option<ProgressBar>,
    started: Instant,
    layout: Layout,
    run: Run,
}

impl Report {
    /// A report with its JSON lines in `build/results/<name>.jsonl`.
    pub fn open(layout: &Layout, name: &str) -> Result<Self> {
        let (_, results) = layout.claim("results", name, "jsonl")?;
        Ok(Report {
            totals: Totals::default(),
            seen: Vec::new(),
            failures: Vec::new(),
            results,
            terminal: io::stdout().is_terminal(),
            running: None,
            started: Instant::now(),
            layout: layout.clone(),
            run: Run::of(env::args()),
        })
    }

    /// Says what runs now.
    pub fn begin(&mut self, area: &Area) {
        self.started = Instant::now();
        if !self.terminal {
            return;
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
        if let Ok(style) = ProgressStyle::with_template("  ...  {prefix} {msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_prefix(columns(area));
        bar.enable_steady_tick(Duration::from_millis(200));
        self.running = Some(bar);
    }

    /// Says that nothing runs now.
    pub fn pause(&mut self) {
        if let Some(bar) = self.running.take() {
            bar.finish_and_clear();
        }
    }

    /// Says how long it took, where that is not the time since [`begin`](Self::begin).
    pub fn took(&mut self, time: Duration) {
        self.started = Instant::now().checked_sub(time).unwrap_or(self.started);
    }

    /// Says how far it is.
    pub fn progress(&self, message: String) {
        if let Some(bar) = &self.running {
            bar.set_message(message);
        }
    }

    /// Prints a line that is no result, above the one that moves.
    pub fn line(&self, line: &str) {
        match &self.running {
            Some(bar) => bar.suspend(|| println!("{line}")),
            None => println!("{line}"),
        }
        // Whoever reads through a pipe wants to see it now.
        let _ = io::stdout().flush();
    }

    /// Prints how a part of a test went; what counts comes with [`end`](Self::end).
    pub fn step(&self, passed: bool, text: &str) {
        let mark = match (passed, self.terminal) {
            (true, true) => "  ok  ".green().to_string(),
            (true, false) => "  ok  ".to_owned(),
            (false, true) => " FAIL ".red().bold().to_string(),
            (false, false) => " FAIL ".to_owned(),
        };
        self.line(&format!("{mark} {text}"));
    }

    /// Takes in the tests of an area and prints its row, and why tests failed.
    /// An area without tests has failed: nothing passes because something was absent.
    pub fn end(&mut self, area: &Area, mut tests: Vec<Test>, log: Option<&Path>) -> Result<()> {
        self.pause();
        if tests.is_empty() {
            let verdict = Verdict::Failed(vec!["not a single test ran".into()]);
            tests.push(Test {
                path: vec!["run".into()],
                verdict,
            });
        }
        let log = log.map(|path| self.layout.short(path).to_owned());
        let log = log.as_deref();
        let mut here = Totals::default();
        for test in &tests {
            here.count(&test.verdict);
            self.totals.count(&test.verdict);
            if !matches!(test.verdict, Verdict::Skipped(_)) {
                let passed = test.verdict == Verdict::Passed;
                self.seen.push((area.clone(), test.name(), passed));
            }
            let failed = failure(area, test).map(|line| [line, self.again(area, test)]);
            self.failures.extend(failed);
            self.write(area, test, log)?;
        }
        let seconds = self.started.elapsed().as_secs_f32();
        let row = format!("{} {here:<34} {seconds:>6.1} s", columns(area));
        self.started = Instant::now();
        match (here.failed, here.skipped) {
            (0, 0) => self.row("  ok  ", &row, |mark| mark.green().to_string()),
            (0, _) => self.row(" skip ", &row, |mark| mark.yellow().to_string()),
            _ => self.row(" FAIL ", &row, |mark| mark.red().bold().to_string()),
        }
        for test in &tests {
            match &test.verdict {
                Verdict::Passed => {}
                Verdict::Skipped(reason) => println!("         skipped {}: {reason}", test.name()),
                Verdict::Failed(notes) => {
                    println!("         failed {}", test.name());
                    let hidden = notes.len().saturating_sub(SHOWN_NOTES);
                    if hidden > 0 {
                        println!("           ({hidden} lines before these)");
                    }
                    for note in &notes[hidden..] {
                        println!("           {note}");
                    }
                    println!("           {}", self.again(area, test));
                }
            }
        }
        if let Some(log) = log
            && here.failed > 0
        {
            println!("         log: {}", log.display());
        }
        io::stdout().flush().context("cannot write")
    }

    /// How many tests with this text in their names have passed in an area, in this run; none if one failed.
    pub fn passed(&self, area: &Area, text: &str) -> usize {
        passed(&self.seen, area, text)
    }

    /// Adds a line below the last row.
    pub fn note(&self, note: &str) {
        println!("         {note}");
    }

    /// How to repeat a test.
    fn again(&self, area: &Area, test: &Test) -> String {
        format!("again: {}", self.run.again(&self.layout, area, test))
    }

    fn row(&self, mark: &str, row: &str, paint: impl Fn(&str) -> String) {
        let mark = if self.terminal {
            paint(mark)
        } else {
            mark.to_owned()
        };
        println!("{mark} {row}");
    }

    fn write(&mut self, area: &Area, test: &Test, log: Option<&Path>) -> Result<()> {
        let skipped;
        let (verdict, notes) = match &test.verdict {
            Verdict::Passed => ("passed", &[][..]),
            Verdict::Failed(notes) => ("failed", notes.as_slice()),
            Verdict::Skipped(reason) => {
                skipped = [reason.clone()];
                ("skipped", &skipped[..])
            }
        };
        let record = Record {
            area,
            test: test.name(),
            verdict,
            notes,
            log,
        };
        let mut line = serde_json::to_vec(&record).context("cannot write results")?;
        line.push(b'\n');
        self.results
            .write_all(&line)
            .context("cannot write results")
    }

    /// Prints what failed once more and how to repeat it, for hundreds of rows may have followed, and the
    /// totals, alone on the last line. Success needs a test that passed and none that failed.
    pub fn finish(self) -> ExitCode {
        if !self.failures.is_empty() {
            print!("{}", recap(&self.failures));
        }
        println!("{}", self.totals);
        if self.totals.failed == 0 && self.totals.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// All that failed, with how to repeat it below each.
fn recap(failures: &[[String; 2]]) -> String {
    let lines = failures.iter();
    let lines = lines.map(|[what, again]| format!("  {what}\n    {again}\n"));
    format!("Failed:\n{}", lines.collect::<String>())
}

/// A failed test on one line.
fn failure(area: &Area, test: &Test) -> Option<String> {
    let Verdict::Failed(notes) = &test.verdict else {
        return None;
    };
    Some(format!(
        "{}: {}: {}",
        area.name(),
        test.name(),
        ktap::brief(notes)
    ))
}

fn passed(seen: &[(Area, String, bool)], area: &Area, text: &str) -> usize {
    let own = seen.iter();
    let own = own.filter(|(of, name, _)| of == area && name.contains(text));
    let results: Vec<_> = own.map(|(.., passed)| *passed).collect();
    match results.contains(&false) {
        true => 0,
        false => results.len(),
    }
}

fn columns(area: &Area) -> String {
    format!(
        "{:<17} {:<10} {:<16}",
        area.machine, area.kernel, area.program
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(passed: usize, failed: usize, skipped: usize) -> String {
        Totals {
            passed,
            failed,
            skipped,
        }
        .to_string()
    }

    #[test]
    fn only_what_passed_in_full_has_passed() {
        let here = Area::new("direct", "plain", "data");
        let there = Area::new("direct", "check", "data");
        let row = |area: &Area, name: &str, passed| (area.clone(), name.to_owned(), passed);
        let seen = [
            row(&here, "merge_one", true),
            row(&here, "merge_two", true),
            row(&here, "sync_one", false),
            row(&here, "sync_two", true),
            row(&there, "other", true),
        ];
        let passed = |text| passed(&seen, &here, text);
        assert_eq!(
            (passed("merge"), passed("two"), passed("merge_two")),
            (2, 2, 1)
        );
        assert_eq!((passed("sync"), passed("other"), passed("")), (0, 0, 0));
    }

    #[test]
    fn a_failure_is_one_line() {
        let area = Area::new("direct", "", "data");
        let test = |verdict| Test {
            path: vec!["sync".into()],
            verdict,
        };
        let notes = ["with --seed 3", "much more", "0x0 instead of 0x1"].map(str::to_owned);
        assert_eq!(
            failure(&area, &test(Verdict::Failed(notes.into()))).unwrap(),
            "direct data: sync: with --seed 3; 0x0 instead of 0x1"
        );
        assert_eq!(failure(&area, &test(Verdict::Passed)), None);
    }

    #[test]
    fn the_recap_says_how_to_repeat_each() {
        let failures = [["direct data: sync: no", "again: ci/harness vm 'data sync'"]];
        let failures = failures.map(|failure| failure.map(str::to_owned));
        assert_eq!(
            recap(&failures),
            "Failed:\n  direct data: sync: no\n    again: ci/harness vm 'data sync'\n"
        );
    }

    #[test]
    fn totals_name_skips_only_if_there_are_some() {
        assert_eq!(totals(3, 0, 0), "3 passed, 0 failed");
        assert_eq!(totals(3, 1, 2), "3 passed, 1 failed, 2 skipped");
    }
}
