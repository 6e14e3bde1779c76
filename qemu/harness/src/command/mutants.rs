// SPDX-License-Identifier: GPL-2.0

//! `mutants`: broken variants of the module, which the tests have to notice.
//!
//! Every file in selftests/mutants/ is a patch against the tree, with lines
//!
//!     # expect: PROGRAM:FILTER on MACHINE
//!
//! before the diff: these tests have to fail there. PROGRAM is one of the
//! selftests, or `kunit` for the suites inside the module; FILTER is a part of
//! the tests' names. The same tests run with the unchanged module first and
//! have to pass, for a test that fails anyway has noticed nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, anyhow, bail};
use protocol::{DRIVER_MODULE, Event};

use crate::{
    boot::{Boot, Booted, Task},
    command::test::{TIME_LIMIT, missing},
    guest,
    kernel::{Flavour, Kernel},
    ktap::{Test, Verdict},
    layout::Layout,
    machine::{self, Machine},
    report::{Area, Report},
    suite::{self, Listener},
    usage::refuse,
};

/// What the module is built from.
const SOURCES: &[&str] = &["Kbuild", "src", "uapi"];

/// The program name that stands for the module's own suites.
const KUNIT: &str = "kunit";

/// The arguments of `mutants`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Runs only mutants with this text in their names.
    #[arg(long)]
    only: Option<String>,
}

/// Tests that a mutant has to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expectation {
    program: String,
    filter: String,
    machine: String,
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{} on {}", self.program, self.filter, self.machine)
    }
}

/// A broken variant.
struct Mutant {
    name: String,
    patch: PathBuf,
    expectations: Vec<Expectation>,
}

/// The area of a mutant, or of everything about mutants.
pub fn area(name: &str) -> Area {
    Area::new("mutants", Flavour::Plain, name)
}

/// Runs the mutants alone.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let mut report = Report::open(&layout, "mutants")?;
    run_all(&layout, &mut report, arguments.only.as_deref())?;
    Ok(report.finish())
}

/// Runs the control and then every mutant, or those with `only` in their names.
pub fn run_all(layout: &Layout, report: &mut Report, only: Option<&str>) -> Result<()> {
    let mut mutants = read_all(&layout.root().join("selftests/mutants"))?;
    if let Some(only) = only {
        mutants.retain(|mutant| mutant.name.contains(only));
        if mutants.is_empty() {
            refuse!("no mutant has '{only}' in its name");
        }
    }
    let mut wanted: Vec<Expectation> = Vec::new();
    for expectation in mutants.iter().flat_map(|mutant| &mutant.expectations) {
        if !wanted.contains(expectation) {
            wanted.push(expectation.clone());
        }
    }

    let control = area("control");
    report.begin(&control);
    let seen = observe(layout, "control", None, &wanted)?;
    let tests = seen.iter().map(|seen| Test {
        path: vec![seen.expectation.to_string()],
        verdict: match (&seen.red, seen.passed) {
            (Some(why), _) => Verdict::Failed(vec![why.clone()]),
            (None, 0) => Verdict::Failed(vec!["no test of that name passed".into()]),
            (None, _) => Verdict::Passed,
        },
    });
    report.end(&control, tests.collect(), None)?;
    if guest::interrupted() {
        bail!("interrupted");
    }

    for mutant in &mutants {
        let area = area(&mutant.name);
        report.begin(&area);
        let (tests, notes) = try_mutant(layout, mutant);
        // A guest that the user ended has not noticed anything.
        if guest::interrupted() {
            bail!("interrupted");
        }
        report.end(&area, tests, None)?;
        for note in notes {
            report.note(&note);
        }
    }
    Ok(())
}

/// Builds a mutant and looks for what it has to fail. The tests are one for
/// every expectation, the notes what each of them was noticed by.
fn try_mutant(layout: &Layout, mutant: &Mutant) -> (Vec<Test>, Vec<String>) {
    let seen = build(layout, mutant)
        .and_then(|module| observe(layout, &mutant.name, Some(&module), &mutant.expectations));
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => {
            let verdict = Verdict::Failed(vec![format!("{error:#}")]);
            return (
                vec![Test {
                    path: vec!["mutant".into()],
                    verdict,
                }],
                Vec::new(),
            );
        }
    };
    let mut notes = Vec::new();
    let tests = seen.into_iter().map(|seen| {
        let verdict = match seen.red {
            Some(why) => {
                notes.push(format!("noticed on {}: {why}", seen.expectation.machine));
                Verdict::Passed
            }
            None => Verdict::Failed(vec![format!("not noticed: {} tests passed", seen.passed)]),
        };
        Test {
            path: vec![seen.expectation.to_string()],
            verdict,
        }
    });
    (tests.collect(), notes)
}

/// Patches a copy of the module's source and builds it; returns the module.
fn build(layout: &Layout, mutant: &Mutant) -> Result<PathBuf> {
    let directory = layout.build().join("mutants").join(&mutant.name);
    if directory.exists() {
        fs::remove_dir_all(&directory).with_context(|| directory.display().to_string())?;
    }
    let source = directory.join("source");
    fs::create_dir_all(&source).with_context(|| source.display().to_string())?;
    let root = layout.root();
    quietly(
        Command::new("cp")
            .arg("-R")
            .args(SOURCES)
            .arg(&source)
            .current_dir(root),
    )
    .context("cannot copy the module's source")?;
    quietly(
        Command::new("patch")
            .args(["-p1", "--batch", "--silent", "--fuzz=0", "-i"])
            .arg(&mutant.patch)
            .current_dir(&source),
    )
    .context("the patch does not apply any more")?;
    let output = directory.join(DRIVER_MODULE);
    let kernel = machine::ALL[0].board().kernel;
    quietly(
        Command::new(root.join("ci/module"))
            .arg(kernel)
            .arg(&source)
            .arg(&output),
    )
    .context("it does not build")?;
    Ok(output.join(format!("{DRIVER_MODULE}.ko")))
}

/// Runs a command; what it printed last is the error if it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let error = said.lines().find(|line| line.starts_with("error"));
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(anyhow!(
        "{}",
        error.or(last).unwrap_or("it said nothing").trim()
    ))
}

/// What came of an expectation.
struct Seen {
    expectation: Expectation,
    /// Tests that passed.
    passed: usize,
    /// The first sign that something is wrong.
    red: Option<String>,
}

/// Boots whatever the expectations need, with the usual module or with another.
fn observe(
    layout: &Layout,
    name: &str,
    module: Option<&Path>,
    expectations: &[Expectation],
) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for machine in machine::ALL {
        let here = expectations.iter().filter(|e| e.machine == machine.name());
        let (suites, programs): (Vec<_>, Vec<_>) = here
            .cloned()
            .partition(|expectation| expectation.program == KUNIT);
        for group in [suites, programs] {
            if group.is_empty() {
                continue;
            }
            let mut kernel = Kernel::find(layout, *machine, Flavour::Plain)?;
            if let Some(module) = module {
                kernel.replace_module(DRIVER_MODULE, module);
            }
            let kunit = group[0].program == KUNIT;
            let mut boot = Boot::new(layout, *machine, &kernel);
            let kind = if kunit { "-kunit" } else { "" };
            boot.name = format!("mutant-{name}-{}{kind}", machine.name());
            boot.unload = true;
            boot.kunit = kunit;
            all.append(&mut if kunit {
                observe_suites(&boot, group)?
            } else {
                observe_programs(boot, group)?
            });
        }
    }
    Ok(all)
}

fn observe_suites(boot: &Boot<'_>, expectations: Vec<Expectation>) -> Result<Vec<Seen>> {
    let booted = boot.run(|_| {})?.context("the guest was not booted")?;
    let tests = suite::kunit_tests(&booted.log_text);
    Ok(expectations
        .into_iter()
        .map(|expectation| {
            let matching: Vec<_> = tests
                .iter()
                .filter(|test| test.name().contains(&expectation.filter))
                .cloned()
                .collect();
            judge(boot, &booted, expectation, &matching)
        })
        .collect())
}

fn observe_programs(mut boot: Boot<'_>, expectations: Vec<Expectation>) -> Result<Vec<Seen>> {
    let programs = boot.layout.programs(boot.machine.board().target);
    for expectation in &expectations {
        let file = programs.join(&expectation.program);
        missing(&file)?;
        let filters = [&expectation.filter]
            .into_iter()
            .filter(|filter| !filter.is_empty());
        boot.tasks.push(Task::new(
            &file,
            filters.cloned().collect(),
            Some(TIME_LIMIT),
        )?);
    }
    let mut running: Option<Listener> = None;
    let mut results = Vec::new();
    let booted = boot
        .run(|event| match event {
            Event::Started { .. } => running = Some(Listener::default()),
            Event::Output { stream, bytes, .. } => {
                if let Some(listener) = &mut running {
                    listener.output(*stream, bytes);
                }
            }
            Event::Ended { outcome, .. } => {
                results.extend(running.take().map(|listener| listener.finish(outcome)));
            }
            _ => {}
        })?
        .context("the guest was not booted")?;
    // A module that does not even load was noticed by no test.
    if !booted.ready {
        let why = booted.broken().unwrap_or_default();
        bail!("no test ran: {why}");
    }
    // A guest that died early leaves fewer results than expectations; judge() knows why.
    results.resize(expectations.len(), Vec::new());
    let pairs = expectations.into_iter().zip(results);
    Ok(pairs
        .map(|(expected, tests)| judge(&boot, &booted, expected, &tests))
        .collect())
}

/// The first sign that something is wrong: a failed test, else the boot itself.
fn judge(boot: &Boot<'_>, booted: &Booted, expectation: Expectation, tests: &[Test]) -> Seen {
    let first_failed = |tests: &[Test]| {
        tests.iter().find_map(|test| match &test.verdict {
            Verdict::Failed(notes) => Some(match notes.last() {
                Some(note) => format!("{} ({note})", test.name()),
                None => test.name(),
            }),
            _ => None,
        })
    };
    let passed = tests
        .iter()
        .filter(|test| test.verdict == Verdict::Passed)
        .count();
    let red = first_failed(tests).or_else(|| first_failed(&suite::health(boot, booted)));
    Seen {
        expectation,
        passed,
        red,
    }
}

/// Every mutant of a directory, sorted by name.
fn read_all(directory: &Path) -> Result<Vec<Mutant>> {
    let entries = fs::read_dir(directory)
        .with_context(|| format!("no mutants in {}", directory.display()))?;
    let mut mutants = Vec::new();
    for entry in entries {
        let patch = entry
            .with_context(|| directory.display().to_string())?
            .path();
        if patch
            .extension()
            .is_some_and(|extension| extension == "patch")
        {
            mutants.push(read(patch)?);
        }
    }
    if mutants.is_empty() {
        bail!("no mutants in {}", directory.display());
    }
    mutants.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(mutants)
}

fn read(patch: PathBuf) -> Result<Mutant> {
    let text = fs::read_to_string(&patch).with_context(|| patch.display().to_string())?;
    let expectations = expectations(&text).with_context(|| patch.display().to_string())?;
    let name = patch
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    Ok(Mutant {
        name,
        patch,
        expectations,
    })
}

/// The expectations in the lines before a diff.
fn expectations(text: &str) -> Result<Vec<Expectation>> {
    let header = text.lines().take_while(|line| !line.starts_with("--- "));
    let lines = header.filter_map(|line| line.strip_prefix("# expect:"));
    let all: Vec<_> = lines
        .map(|line| expectation(line.trim()))
        .collect::<Result<_>>()?;
    if all.is_empty() {
        bail!("no line '# expect: PROGRAM:FILTER on MACHINE' before the diff");
    }
    Ok(all)
}

fn expectation(line: &str) -> Result<Expectation> {
    let (tests, machine) = line
        .split_once(" on ")
        .with_context(|| format!("no ' on MACHINE' in '{line}'"))?;
    let (program, filter) = tests.trim().split_once(':').unwrap_or((tests.trim(), ""));
    if program != KUNIT && !super::test::PROGRAMS.contains(&program) {
        bail!("unknown program '{program}' in '{line}'");
    }
    let machine: &dyn Machine = machine::find(machine.trim())?;
    Ok(Expectation {
        program: program.to_owned(),
        filter: filter.trim().to_owned(),
        machine: machine.name().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expectations_are_read_from_the_header_only() {
        let text = "\
# SPDX-License-Identifier: GPL-2.0
# No sync at the end of an access.
# expect: data:write_sync on x86_64-swiotlb
# expect: kunit:udmabuf_attach on direct
--- a/src/x.rs
+++ b/src/x.rs
# expect: data:never on direct
";
        let all = expectations(text).unwrap();
        let shown: Vec<_> = all.iter().map(Expectation::to_string).collect();
        assert_eq!(
            shown,
            [
                "data:write_sync on x86_64-swiotlb",
                "kunit:udmabuf_attach on x86_64-direct"
            ]
        );
    }

    #[test]
    fn a_mutant_without_a_sound_expectation_is_an_error() {
        for wrong in [
            "--- a/x\n",
            "# expect: data:x\n",
            "# expect: data:x on vax\n",
            "# expect: rogue:x on direct\n",
        ] {
            assert!(expectations(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo first; echo 'error: the reason' >&2; echo last; exit 1",
        ]);
        assert_eq!(
            quietly(&mut command).unwrap_err().to_string(),
            "error: the reason"
        );
        quietly(&mut Command::new("true")).unwrap();
    }
}
