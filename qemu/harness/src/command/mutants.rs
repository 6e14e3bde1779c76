// SPDX-License-Identifier: GPL-2.0

//! `mutants`: broken variants of the module, which the tests have to notice.
//!
//! Every file in selftests/mutants/ is a patch against the tree, with lines
//!
//!     # expect: PROGRAM:FILTER on MACHINE [KERNEL]
//!
//! before the diff: these tests have to fail there, in the kernel that is booted again and again, or
//! for suites in the plain one, unless another is named. PROGRAM is one of the selftests, or `kunit`
//! for the suites inside the module, or `virtio-gpu` for the steps with a guest in the guest; FILTER
//! is a part of the tests' names.
//! The same tests run with the unchanged module first and have to pass, for a
//! test that fails anyway has noticed nothing; those that have passed in the same run of the harness need
//! not run again. A patch that has a line `# control:` instead is for the matrix only.

use std::{collections::BTreeMap, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use protocol::{DRIVER_MODULE, Event};

use crate::{
    boot::{Boot, Booted, Task},
    command::virtio_gpu,
    deadline::{self, Deadline},
    guest,
    kernel::{Flavour, Further, Kernel},
    ktap::{self, Test, Verdict},
    layout::{Layout, missing},
    machine::{self, Machine},
    nested::{self, Nested},
    parallel::{self, News},
    plan::{self, ATTACKS, KUNIT, PROGRAMS, TIME_LIMIT},
    report::{Area, Report},
    suite::{self, Listener},
    usage::refuse,
    variant::{self, CONTROL, Patch},
};

/// The program name that stands for a guest in the guest.
const VIRTIO_GPU: &str = "virtio-gpu";

/// The arguments of `mutants`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Runs only mutants with this text in their names.
    #[arg(long)]
    only: Option<String>,
    /// Runs those instead that it takes a kernel of attacks for.
    #[arg(long)]
    attack: bool,
}

/// Tests that a mutant has to fail.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Expectation {
    program: String,
    filter: String,
    machine: String,
    flavour: Flavour,
}

impl std::fmt::Display for Expectation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            program,
            filter,
            machine,
            flavour,
        } = self;
        write!(f, "{program}:{filter} on {machine} {flavour}")
    }
}

/// Which kind of boot shows whether an expectation is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Selftests, which share a boot.
    Selftests,
    /// The suites inside the module.
    Suites,
    /// A guest in the guest.
    Screens,
}

impl Expectation {
    fn kind(&self) -> Kind {
        match self.program.as_str() {
            KUNIT => Kind::Suites,
            VIRTIO_GPU => Kind::Screens,
            _ => Kind::Selftests,
        }
    }

    /// How many of its tests have passed with the unchanged module in the run that is reported.
    fn passed_before(&self, report: &Report) -> usize {
        match self.kind() {
            Kind::Selftests | Kind::Suites => {
                let area = Area::new(&self.machine, self.flavour, &self.program);
                report.passed(&area, &self.filter)
            }
            Kind::Screens => {
                let areas = virtio_gpu::QUICK.iter().map(|part| virtio_gpu::area(part));
                areas.map(|area| report.passed(&area, &self.filter)).sum()
            }
        }
    }

    /// The filter as an argument, if there is one.
    fn filter(&self) -> impl Iterator<Item = &str> {
        let filter = self.filter.as_str();
        [filter].into_iter().filter(|filter| !filter.is_empty())
    }
}

/// A broken variant.
struct Mutant {
    patch: Patch,
    expectations: Vec<Expectation>,
}

/// Which mutants: a kernel that only attacks have is not there for all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Those for the kernels of all tests.
    Usual,
    /// Those for the kernels of attacks.
    Attacks,
}

impl Which {
    /// Keeps what is expected in kernels of these.
    fn keep(self, expectations: &mut Vec<Expectation>) {
        let attacks = self == Which::Attacks;
        expectations.retain(|expectation| expectation.flavour.only_attacks() == attacks);
    }
}

/// The area of a mutant, or of everything about mutants.
pub fn area(name: &str) -> Area {
    Area::new("mutants", "", name)
}

/// Runs the mutants alone.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let mut report = Report::open(&layout, "mutants")?;
    let which = match arguments.attack {
        true => Which::Attacks,
        false => Which::Usual,
    };
    let only = arguments.only.as_deref();
    run_all(&layout, &mut report, which, only, Deadline::default())?;
    Ok(report.finish())
}

/// Runs the control and then every mutant, or those with `only` in their names, as far as there is time:
/// another one is the first then.
pub fn run_all(
    layout: &Layout,
    report: &mut Report,
    which: Which,
    only: Option<&str>,
    deadline: Deadline,
) -> Result<()> {
    let mut mutants = read_all(layout)?;
    for mutant in &mut mutants {
        which.keep(&mut mutant.expectations);
    }
    mutants.retain(|mutant| !mutant.expectations.is_empty());
    if let Some(only) = only {
        mutants.retain(|mutant| mutant.patch.name.contains(only));
        if mutants.is_empty() {
            refuse!("no mutant has '{only}' in its name");
        }
    }
    let mut left_out = Vec::new();
    if deadline.is_set() {
        for mutant in &mut mutants {
            drop_left_out(layout, &mut mutant.expectations)?;
        }
        mutants.retain(|mutant| {
            let has_any = !mutant.expectations.is_empty();
            if !has_any {
                left_out.push(deadline::not_built(&mutant.patch.name));
            }
            has_any
        });
    }
    deadline.rotate(&mut mutants);
    let mut wanted: Vec<Expectation> = Vec::new();
    for expectation in mutants.iter().flat_map(|mutant| &mutant.expectations) {
        if !wanted.contains(expectation) {
            wanted.push(expectation.clone());
        }
    }

    let control = area("control");
    report.begin(&control);
    let (mut before, mut unknown) = (Vec::new(), Vec::new());
    for expectation in wanted {
        match expectation.passed_before(report) {
            0 => unknown.push(expectation),
            passed => before.push(Seen {
                expectation,
                passed,
                red: None,
            }),
        }
    }
    let mut seen = vec![Ok(before)];
    parallel::each(
        &groups(&unknown)?,
        |group, _| match guest::interrupted() {
            true => Ok(Vec::new()),
            false => observe(layout, None, group),
        },
        |_, news| {
            if let News::Done(of_group) = news {
                seen.push(of_group);
            }
        },
    );
    let seen: Vec<Vec<Seen>> = seen.into_iter().collect::<Result<_>>()?;
    let tests = seen.iter().flatten().map(|seen| Test {
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

    let mut doing: BTreeMap<usize, &str> = BTreeMap::new();
    let mut trouble = None;
    let all = area("");
    report.begin(&all);
    parallel::each(
        &mutants,
        |mutant, progress| {
            if guest::interrupted() || deadline.is_over() {
                return None;
            }
            progress(String::new());
            let started = Instant::now();
            let (tests, notes) = try_mutant(layout, mutant);
            Some((tests, notes, started.elapsed()))
        },
        |index, news| {
            let name = &mutants[index].patch.name;
            match news {
                News::Progress(_) => {
                    doing.insert(index, name);
                }
                News::Done(result) => {
                    doing.remove(&index);
                    // A guest that the user ended has not noticed anything.
                    if guest::interrupted() {
                        return;
                    }
                    if let Some((tests, notes, time)) = result {
                        report.took(time);
                        let told = report.end(&area(name), tests, None);
                        trouble = trouble.take().or(told.err());
                        for note in notes {
                            report.note(&note);
                        }
                        report.begin(&all);
                    } else {
                        left_out.push(deadline::left_out(name));
                    }
                }
            }
            let doing: Vec<_> = doing.values().copied().collect();
            report.progress(doing.join(", "));
        },
    );
    report.pause();
    if guest::interrupted() {
        bail!("interrupted");
    }
    if !left_out.is_empty() {
        report.end(&all, left_out, None)?;
    }
    trouble.map_or(Ok(()), Err)
}

/// Drops what is expected in a kernel that a run with a time limit does without.
fn drop_left_out(layout: &Layout, expectations: &mut Vec<Expectation>) -> Result<()> {
    let mut kept = Vec::new();
    for expectation in expectations.drain(..) {
        let machine = machine::find(&expectation.machine)?;
        if !expectation.flavour.is_left_out(layout, machine) {
            kept.push(expectation);
        }
    }
    *expectations = kept;
    Ok(())
}

/// Builds a mutant and looks for what it has to fail. The tests are one for
/// every expectation, the notes what each of them was noticed by.
fn try_mutant(layout: &Layout, mutant: &Mutant) -> (Vec<Test>, Vec<String>) {
    let observed = groups(&mutant.expectations).and_then(|groups| {
        let groups = groups.iter();
        let seen = groups.map(|group| observe(layout, Some(&mutant.patch), group));
        seen.collect::<Result<Vec<_>>>()
    });
    let seen = match observed {
        Ok(seen) => seen.into_iter().flatten(),
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
    let tests = seen.map(|seen| {
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

/// What came of an expectation.
struct Seen {
    expectation: Expectation,
    /// Tests that passed.
    passed: usize,
    /// The first sign that something is wrong.
    red: Option<String>,
}

/// Expectations that one boot can be judged by.
struct Group {
    machine: &'static dyn Machine,
    flavour: Flavour,
    kind: Kind,
    expectations: Vec<Expectation>,
}

/// One group for each machine, kernel and kind.
fn groups(expectations: &[Expectation]) -> Result<Vec<Group>> {
    let mut groups: Vec<Group> = Vec::new();
    for expectation in expectations {
        let machine = machine::find(&expectation.machine)?;
        let (flavour, kind) = (expectation.flavour, expectation.kind());
        let same = |group: &&mut Group| {
            (group.machine.name(), group.flavour, group.kind) == (machine.name(), flavour, kind)
        };
        match groups.iter_mut().find(same) {
            Some(group) => group.expectations.push(expectation.clone()),
            None => groups.push(Group {
                machine,
                flavour,
                kind,
                expectations: vec![expectation.clone()],
            }),
        }
    }
    Ok(groups)
}

/// Boots what a group needs, with the usual module or with a variant.
fn observe(layout: &Layout, patch: Option<&Patch>, group: &Group) -> Result<Vec<Seen>> {
    let &Group {
        machine,
        flavour,
        kind,
        ..
    } = group;
    let expectations = group.expectations.clone();
    let mut kernel = Kernel::find(layout, machine, flavour)?;
    if let Some(patch) = patch {
        let module = variant::build(layout, &flavour.of(machine.board().kernel), patch)?;
        kernel.replace_module(DRIVER_MODULE, &module);
    }
    let patch = patch.map_or("control", |patch| &patch.name);
    let name = format!("mutant-{patch}-{}-{flavour}", machine.name());
    match kind {
        Kind::Screens => {
            observe_screens(layout, kernel, format!("{name}-{VIRTIO_GPU}"), expectations)
        }
        Kind::Suites => {
            let boot = Boot {
                name: format!("{name}-{KUNIT}"),
                unload: true,
                kunit: true,
                ..Boot::new(layout, machine, &kernel)
            };
            observe_suites(&boot, expectations)
        }
        Kind::Selftests => {
            let boot = Boot {
                name,
                unload: true,
                further: vec![Further::Fences],
                ..Boot::new(layout, machine, &kernel)
            };
            observe_programs(boot, expectations)
        }
    }
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
    let programs = boot
        .layout
        .programs(boot.machine.board().target, boot.kernel.flavour);
    for expectation in &expectations {
        let file = programs.join(&expectation.program);
        missing(&file)?;
        let seed = plan::seed(&expectation.program).iter().copied();
        let words = seed.chain(expectation.filter()).map(str::to_owned);
        let limit = TIME_LIMIT * expectation.flavour.slowness();
        let task = Task::new(&file, words.collect(), Some(limit))?;
        boot.tasks.push(task);
    }
    let (booted, mut results) = run_tasks(&boot)?;
    // A guest that died early leaves fewer results than expectations; judge() knows why.
    results.resize(expectations.len(), Vec::new());
    let pairs = expectations.into_iter().zip(results);
    Ok(pairs
        .map(|(expected, tests)| judge(&boot, &booted, expected, &tests))
        .collect())
}

/// Boots, and returns the tests of each task that ended.
fn run_tasks(boot: &Boot<'_>) -> Result<(Booted, Vec<Vec<Test>>)> {
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
    Ok((booted, results))
}

/// Boots a guest in the guest, and judges each expectation by the steps of its name: a flaw in
/// another one, or a slow host's, has noticed nothing.
fn observe_screens(
    layout: &Layout,
    kernel: Kernel,
    name: String,
    expectations: Vec<Expectation>,
) -> Result<Vec<Seen>> {
    let nested = Nested::prepare(layout, &name, kernel)?;
    nested.clear_results()?;
    let filters: Vec<_> = expectations.iter().flat_map(Expectation::filter).collect();
    let boot = nested.boot(name, vec![nested.task(&filters)?]);
    let (booted, results) = run_tasks(&boot)?;
    let tests = results.into_iter().next().unwrap_or_default();
    judge_steps(expectations, &tests).with_context(|| booted.log.display().to_string())
}

/// Judges each expectation by the steps of its name.
fn judge_steps(expectations: Vec<Expectation>, tests: &[Test]) -> Result<Vec<Seen>> {
    let boot = tests.iter().filter(|test| test.name() == BOOT_STEP);
    let boot: Vec<_> = boot.cloned().collect();
    if let Some(why) = first_failed(&boot) {
        bail!("no test ran: {why}");
    }
    Ok(expectations
        .into_iter()
        .map(|expectation| {
            let own = |test: &&Test| test.name().contains(&expectation.filter);
            let own: Vec<_> = tests.iter().filter(own).cloned().collect();
            Seen {
                passed: passed(&own),
                red: first_failed(&own),
                expectation,
            }
        })
        .collect())
}

/// The step that comes before all others.
const BOOT_STEP: &str = "boots";

/// The first sign that something is wrong: a failed test, else the boot itself.
fn judge(boot: &Boot<'_>, booted: &Booted, expectation: Expectation, tests: &[Test]) -> Seen {
    Seen {
        expectation,
        passed: passed(tests),
        red: first_failed(tests).or_else(|| first_failed(&suite::health(boot, booted))),
    }
}

fn passed(tests: &[Test]) -> usize {
    let passed = tests.iter().filter(|test| test.verdict == Verdict::Passed);
    passed.count()
}

/// The name of the first test that failed, and what it said.
fn first_failed(tests: &[Test]) -> Option<String> {
    tests.iter().find_map(|test| match &test.verdict {
        Verdict::Failed(notes) if notes.is_empty() => Some(test.name()),
        Verdict::Failed(notes) => Some(format!("{} ({})", test.name(), ktap::brief(notes))),
        _ => None,
    })
}

/// Every mutant, sorted by name. A patch that is only a control of the matrix is none.
fn read_all(layout: &Layout) -> Result<Vec<Mutant>> {
    let mut mutants = Vec::new();
    for patch in variant::patches(layout)? {
        let expectations =
            expectations(&patch).with_context(|| patch.file.display().to_string())?;
        if !expectations.is_empty() {
            mutants.push(Mutant {
                patch,
                expectations,
            });
        }
    }
    Ok(mutants)
}

/// The expectations in a patch's header; none if it is there as a control only.
fn expectations(patch: &Patch) -> Result<Vec<Expectation>> {
    let all: Vec<_> = patch
        .header("expect")
        .map(expectation)
        .collect::<Result<_>>()?;
    if all.is_empty() && patch.header(CONTROL).next().is_none() {
        bail!("no line '# expect: PROGRAM:FILTER on MACHINE' or '# {CONTROL}:' before the diff");
    }
    Ok(all)
}

fn expectation(line: &str) -> Result<Expectation> {
    let (tests, machine) = line
        .split_once(" on ")
        .with_context(|| format!("no ' on MACHINE' in '{line}'"))?;
    let (program, filter) = tests.trim().split_once(':').unwrap_or((tests.trim(), ""));
    let mut known = [KUNIT, VIRTIO_GPU].iter().chain(ATTACKS).chain(PROGRAMS);
    if !known.any(|name| *name == program) {
        bail!("unknown program '{program}' in '{line}'");
    }
    let (machine, flavour) = match machine.trim().split_once(' ') {
        None => (machine.trim(), None),
        Some((machine, kernel)) => match Flavour::from_str(kernel, false) {
            Ok(flavour) if flavour.runs_suites() && program != VIRTIO_GPU => {
                (machine, Some(flavour))
            }
            _ => bail!("no kernel '{kernel}' for {program} in '{line}'"),
        },
    };
    let machine: &dyn Machine = machine::find(machine)?;
    let flavour = match flavour {
        Some(flavour) => flavour,
        None if program == KUNIT => Flavour::Plain,
        None => Flavour::frequent(machine.board())?,
    };
    if program == VIRTIO_GPU && machine.name() != nested::MACHINE.name() {
        bail!(
            "{VIRTIO_GPU} is on {} only: '{line}'",
            nested::MACHINE.name()
        );
    }
    Ok(Expectation {
        program: program.to_owned(),
        filter: filter.trim().to_owned(),
        machine: machine.name().to_owned(),
        flavour,
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
# expect: errors:seals on arm64-coherent
# expect: kunit:udmabuf_attach on direct
# expect: lifetime:charged on direct check
--- a/src/x.rs
+++ b/src/x.rs
# expect: data:never on direct
";
        let all = expectations(&Patch::for_tests("x", text)).unwrap();
        let shown: Vec<_> = all.iter().map(Expectation::to_string).collect();
        assert_eq!(
            shown,
            [
                "data:write_sync on x86_64-swiotlb debian",
                "errors:seals on arm64-coherent plain",
                "kunit:udmabuf_attach on x86_64-direct plain",
                "lifetime:charged on x86_64-direct check"
            ]
        );
    }

    #[test]
    fn a_run_with_a_time_limit_does_without_the_checking_kernel_alone() {
        let text = "\
# expect: errors:seals on arm64-coherent
# expect: lifetime:charged on x86_64-direct check
--- a/src/x.rs
";
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(root.path());
        let left = || {
            let mut all = expectations(&Patch::for_tests("x", text)).unwrap();
            drop_left_out(&layout, &mut all).unwrap();
            all.len()
        };
        assert_eq!(
            left(),
            1,
            "no kernel is there, and the other one's is missed"
        );

        let image = layout.kernels().join("x86_64-check/arch/x86/boot/bzImage");
        std::fs::create_dir_all(image.parent().unwrap()).unwrap();
        std::fs::write(image, "").unwrap();
        assert_eq!(left(), 2);
    }

    #[test]
    fn what_takes_a_kernel_of_attacks_is_kept_apart() {
        let text = "\
# expect: pairs:sync on swiotlb kcsan
# expect: kunit:udmabuf_attach on direct
--- a/src/x.rs
";
        let kept = |which: Which| {
            let mut all = expectations(&Patch::for_tests("x", text)).unwrap();
            which.keep(&mut all);
            let shown: Vec<_> = all.iter().map(Expectation::to_string).collect();
            shown.join(", ")
        };
        assert_eq!(kept(Which::Attacks), "pairs:sync on x86_64-swiotlb kcsan");
        assert_eq!(
            kept(Which::Usual),
            "kunit:udmabuf_attach on x86_64-direct plain"
        );
    }

    #[test]
    fn a_mutant_without_a_sound_expectation_is_an_error() {
        for wrong in [
            "--- a/x\n",
            "# expect: data:x\n",
            "# expect: data:x on vax\n",
            "# expect: data:x on direct bench\n",
            "# expect: rogue:x on direct\n",
            "# expect: virtio-gpu:x on swiotlb\n",
        ] {
            let patch = Patch::for_tests("x", wrong);
            assert!(expectations(&patch).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_screen_is_judged_by_its_own_step() {
        let test = |name: &str, wrong: bool| match wrong {
            true => suite::failed(name, "wrong".into()),
            false => suite::unless(name, Vec::new()),
        };
        let judge = |boots, picture, kill| {
            let wanted = expectation("virtio-gpu:picture on direct").unwrap();
            let tests = [
                test(BOOT_STEP, boots),
                test("picture_640x480", picture),
                test("kill_in_mid_scanout", kill),
            ];
            judge_steps(vec![wanted], &tests).map(|mut seen| seen.remove(0))
        };
        assert!(judge(false, true, false).unwrap().red.is_some());
        let other = judge(false, false, true).unwrap();
        assert_eq!((other.passed, other.red), (1, None));
        assert!(judge(true, false, false).is_err());
    }

    #[test]
    fn a_control_of_the_matrix_needs_no_expectation() {
        let patch = Patch::for_tests("x", "# control:\n--- a/x\n");
        assert_eq!(expectations(&patch).unwrap(), []);
    }
}
