// SPDX-License-Identifier: GPL-2.0

//! What is tested where: programs and suites by kernel and machine.

use std::{path::PathBuf, time::Duration};

use crate::{
    kernel::Flavour,
    layout::Layout,
    machine::{
        Arm64Coherent, Arm64Mixed, Arm64Noncoherent, Arm64Smmu, Machine, X86Direct, X86Iommu,
        X86OneNarrow, X86Swiotlb,
    },
    report::Area,
    suite::KERNEL_SELFTEST,
};

/// The programs of selftests/ that test the driver.
pub const PROGRAMS: &[&str] = &["errors", "clients", "data", "lifetime"];

/// Those that attack it: allocations fail, calls come by chance, two do something at once, one user is
/// in the way of another.
pub const ATTACKS: &[&str] = &[FAILURES, FUZZ, PAIRS, USERS];

const FAILURES: &str = "failures";
const FLOWS: &str = "flows";
const FUZZ: &str = "fuzz";
const PAIRS: &str = "pairs";
const USERS: &str = "users";

/// The seed of all tests: what acts by chance does the same each time, so that a change is judged by what
/// it changed, and a broken module by what is broken. Long attacks have another one each time.
const SEED: &str = "1";

/// What gives a program its seed, if it takes one.
pub fn seed(program: &str) -> &'static [&'static str] {
    match program {
        FUZZ | PAIRS => &["--seed", SEED],
        _ => &[],
    }
}

/// The program whose results depend on what the machine does to data.
const DATA: &str = "data";

/// The name of the area of the suites inside the module.
pub const KUNIT: &str = "kunit";

/// How long a program may take, but in a kernel that is slow.
pub const TIME_LIMIT: Duration = Duration::from_secs(240);

/// All programs, and the kernel's own selftest.
const ALL: What = What::Programs(&["errors", "clients", DATA, "lifetime", KERNEL_SELFTEST]);

/// Machines on which all programs run. The others are the matrix's.
const X86_64: &[&dyn Machine] = &[&X86Direct, &X86Swiotlb];
const ARM64: &[&dyn Machine] = &[&Arm64Coherent, &Arm64Noncoherent];

/// What runs on a machine with a kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// These programs.
    Programs(&'static [&'static str]),
    /// The suites inside the module.
    Suites,
    /// Only these, which attack the driver, most of them.
    Attacks(&'static [Attack]),
}

/// A program that attacks the driver.
#[derive(Debug, PartialEq, Eq)]
struct Attack {
    program: &'static str,
    words: &'static [&'static str],
    /// How long it may take, but in a kernel that is slow.
    limit: Duration,
}

impl Attack {
    /// What a program does by itself.
    const fn usual(program: &'static str) -> Self {
        Attack {
            program,
            words: &[],
            limit: TIME_LIMIT,
        }
    }

    /// What a program does for so long, as the words say. Seconds are the guest's.
    const fn lasting(program: &'static str, words: &'static [&'static str], hours: u64) -> Self {
        Attack {
            program,
            words,
            limit: Duration::from_secs(3600 * hours),
        }
    }
}

/// A kernel with its machines.
pub struct Row {
    flavour: Flavour,
    machines: &'static [&'static dyn Machine],
    what: What,
}

const fn row(flavour: Flavour, machines: &'static [&'static dyn Machine], what: What) -> Row {
    Row {
        flavour,
        machines,
        what,
    }
}

/// What is run whatever time there is: all programs in the usual kernel for x86-64.
pub fn usual(usual: Flavour) -> Vec<Row> {
    vec![row(usual, X86_64, ALL)]
}

/// The others, but for the checking kernel's: attacks on that one, and all of them on arm64, in a kernel of
/// our own, which has KUnit.
pub fn other(usual: Flavour) -> Vec<Row> {
    use What::{Attacks, Suites};
    vec![
        row(
            usual,
            &[&X86Direct],
            Attacks(
                const {
                    &[
                        Attack::usual(USERS),
                        Attack::lasting(FUZZ, &["--seed", SEED, "--seconds", "120"], 1),
                    ]
                },
            ),
        ),
        row(
            usual,
            &[&X86Swiotlb],
            Attacks(
                const {
                    &[Attack::lasting(
                        PAIRS,
                        &["--seed", SEED, "--seconds", "30"],
                        1,
                    )]
                },
            ),
        ),
        row(Flavour::Plain, ARM64, ALL),
        row(Flavour::Plain, ARM64, Suites),
        // All failures on the machine that takes seconds for it.
        row(
            Flavour::Plain,
            &[&Arm64Noncoherent],
            Attacks(
                const {
                    &[
                        Attack::usual(FAILURES),
                        Attack::lasting(FUZZ, &["--seed", SEED, "--seconds", "120"], 1),
                    ]
                },
            ),
        ),
    ]
}

/// The checking kernel, which is slow: each program once, on the machine where it has more to do, and
/// the suites.
pub fn checking() -> Vec<Row> {
    use What::{Attacks, Programs, Suites};
    vec![
        row(
            Flavour::Check,
            &[&X86Direct],
            Programs(&["errors", "clients", "lifetime", KERNEL_SELFTEST]),
        ),
        row(
            Flavour::Check,
            &[&X86Swiotlb],
            Attacks(
                const {
                    &[
                        Attack::usual(DATA),
                        Attack::lasting(FUZZ, &["--seed", SEED, "--seconds", "40"], 1),
                    ]
                },
            ),
        ),
        row(Flavour::Check, &[&X86Swiotlb], Suites),
    ]
}

/// The other kernels that Debian builds.
pub fn more() -> Vec<Row> {
    vec![
        row(Flavour::Debian, ARM64, ALL),
        row(Flavour::DebianRt, &[&X86Direct], ALL),
        row(Flavour::Debian16k, &[&Arm64Noncoherent], ALL),
        row(Flavour::DebianOlder, &[&X86Direct], ALL),
    ]
}

/// Attacks that take longer than all other tests: failures under the eyes of the checking kernel, where
/// each way to map has allocations of its own; calls by chance by the million; pairs for longer; users
/// on each machine; and all programs, each on the machine where it has more to do, and pairs on both,
/// where each access is watched for races. What takes longest comes first.
pub fn long(usual: Flavour) -> Vec<Row> {
    use What::Attacks;
    const USERS_ONLY: What = Attacks(&[Attack::usual(USERS)]);
    const FAILING: Attack = Attack::usual(FAILURES);
    const CHANCE: Attack = Attack::lasting(FUZZ, &["--seconds", "240"], 1);
    const AT_ONCE: Attack = Attack::lasting(PAIRS, &["--seconds", "240"], 1);
    vec![
        row(
            Flavour::Kcsan,
            &[&X86Direct],
            Attacks(
                const {
                    &[
                        Attack::usual("errors"),
                        Attack::usual("clients"),
                        // Some of it copies a lot, and each word is an access that is watched.
                        Attack::lasting("lifetime", &[], 1),
                        AT_ONCE,
                    ]
                },
            ),
        ),
        row(
            Flavour::Kcsan,
            &[&X86Swiotlb],
            Attacks(
                const {
                    &[
                        Attack::usual(DATA),
                        Attack::lasting(FLOWS, &["--ktap", "--seed", SEED], 1),
                        AT_ONCE,
                    ]
                },
            ),
        ),
        row(
            usual,
            &[&X86Direct],
            Attacks(const { &[Attack::lasting(FUZZ, &["--calls", "10000000"], 12)] }),
        ),
        row(
            Flavour::Check,
            &[&X86Direct],
            Attacks(const { &[FAILING, AT_ONCE] }),
        ),
        row(
            Flavour::Check,
            &[&X86Swiotlb],
            Attacks(const { &[FAILING, CHANCE] }),
        ),
        row(
            Flavour::Check,
            &[&X86OneNarrow],
            Attacks(const { &[FAILING, AT_ONCE] }),
        ),
        row(usual, &[&X86Swiotlb, &X86Iommu, &X86OneNarrow], USERS_ONLY),
        row(
            Flavour::Plain,
            &[&Arm64Coherent, &Arm64Noncoherent, &Arm64Smmu, &Arm64Mixed],
            USERS_ONLY,
        ),
    ]
}

/// One boot: for the KUnit suites, or for programs.
pub struct Planned {
    pub machine: &'static dyn Machine,
    pub flavour: Flavour,
    /// The area of the boot itself.
    pub own: Area,
    /// The programs, none for the KUnit suites.
    pub programs: Vec<Program>,
}

/// A program of a boot.
pub struct Program {
    pub area: Area,
    pub file: PathBuf,
    pub words: &'static [&'static str],
    /// How long it may take, but in a kernel that is slow.
    pub limit: Duration,
}

/// The boots that it takes to run what was chosen.
pub fn plan(layout: &Layout, rows: &[Row], chosen: &dyn Fn(&Area) -> bool) -> Vec<Planned> {
    let mut boots = Vec::new();
    for &Row {
        flavour,
        machines,
        what,
    } in rows
    {
        for machine in machines {
            let area = |program: &str| Area::new(machine.name(), flavour, program);
            let planned = |own, programs| Planned {
                machine: *machine,
                flavour,
                own,
                programs,
            };
            let own = area(match what {
                What::Programs(_) => "boot",
                What::Suites => KUNIT,
                What::Attacks(_) => "attack",
            });
            let programs = match what {
                What::Programs(names) => programs(layout, *machine, flavour, names),
                What::Attacks(attacks) => attacks_of(layout, *machine, flavour, attacks),
                What::Suites => {
                    boots.extend(chosen(&own).then(|| planned(own, Vec::new())));
                    continue;
                }
            };
            let programs: Vec<_> = programs
                .into_iter()
                .filter(|program| chosen(&program.area) || chosen(&own))
                .collect();
            if !programs.is_empty() {
                boots.push(planned(own, programs));
            }
        }
    }
    boots
}

/// Programs in a guest. The kernel's own selftest wants 8 GiB of huge pages, as much as the guest has,
/// where pages are of 16 KiB.
fn programs(
    layout: &Layout,
    machine: &dyn Machine,
    flavour: Flavour,
    names: &[&str],
) -> Vec<Program> {
    let target = machine.board().target;
    let built = layout.programs(target, flavour);
    let names = names
        .iter()
        .filter(|name| flavour != Flavour::Debian16k || **name != KERNEL_SELFTEST);
    let programs = names.map(|name| Program {
        area: Area::new(machine.name(), flavour, name),
        file: match *name {
            KERNEL_SELFTEST => layout.kernel_selftest(target),
            name => built.join(name),
        },
        words: &[],
        limit: TIME_LIMIT,
    });
    programs.collect()
}

/// The programs that attack the driver in a guest.
fn attacks_of(
    layout: &Layout,
    machine: &dyn Machine,
    flavour: Flavour,
    attacks: &[Attack],
) -> Vec<Program> {
    let built = layout.programs(machine.board().target, flavour);
    let attacks = attacks.iter().map(|attack| Program {
        area: Area::new(machine.name(), flavour, attack.program),
        file: built.join(attack.program),
        words: attack.words,
        limit: attack.limit,
    });
    attacks.collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn areas(only: &str) -> Vec<String> {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let chosen = |area: &Area| area.name().contains(only);
        let mut boots = plan(&layout, &usual(Flavour::Debian), &chosen);
        boots.extend(plan(&layout, &other(Flavour::Debian), &chosen));
        boots.extend(plan(&layout, &checking(), &chosen));
        boots.extend(plan(&layout, &more(), &chosen));
        let areas = boots.iter().flat_map(|planned| {
            let programs = planned.programs.iter().map(|program| program.area.name());
            programs.chain([planned.own.name()])
        });
        areas.collect()
    }

    #[test]
    fn a_boot_is_planned_for_what_was_chosen_only() {
        assert_eq!(
            areas("swiotlb check"),
            [
                "x86_64-swiotlb check data",
                "x86_64-swiotlb check fuzz",
                "x86_64-swiotlb check attack",
                "x86_64-swiotlb check kunit"
            ]
        );
        assert_eq!(
            areas("arm64-coherent debian errors"),
            ["arm64-coherent debian errors", "arm64-coherent debian boot"]
        );
        assert!(areas("no such thing").is_empty());
    }

    #[test]
    fn every_program_runs_on_every_planned_machine_with_one_kernel() {
        let areas = areas("");
        let x86_64 = X86_64.iter().map(|machine| (machine, "debian"));
        let arm64 = ARM64.iter().map(|machine| (machine, "plain"));
        for (machine, kernel) in x86_64.chain(arm64) {
            for program in PROGRAMS.iter().chain([&KERNEL_SELFTEST]) {
                let name = format!("{} {kernel} {program}", machine.name());
                assert!(areas.contains(&name), "{name}");
            }
        }
    }

    #[test]
    fn every_program_runs_in_the_checking_kernel() {
        let areas = areas(" check ");
        for program in PROGRAMS {
            let name = format!(" check {program}");
            assert!(areas.iter().any(|area| area.ends_with(&name)), "{name}");
        }
    }

    #[test]
    fn suites_run_on_every_architecture_and_programs_in_every_kernel() {
        let areas = areas("");
        for name in [
            "x86_64-swiotlb check kunit",
            "x86_64-direct check kernel-selftest",
            "arm64-noncoherent plain kunit",
            "x86_64-direct debian-rt lifetime",
            "x86_64-direct debian-7.2 clients",
            "arm64-noncoherent debian-16k data",
        ] {
            assert!(areas.iter().any(|area| area == name), "{name}");
        }
    }

    #[test]
    fn failures_are_tried_on_one_machine_always_and_on_the_others_as_an_attack() {
        let layout = Layout::for_tests(Path::new("/nonexistent"));
        let machines = |rows: &[Row]| {
            let boots = plan(&layout, rows, &|area| area.program == FAILURES);
            let names = boots.iter().map(|planned| planned.machine.name());
            names.collect::<Vec<_>>()
        };
        assert_eq!(machines(&other(Flavour::Debian)), ["arm64-noncoherent"]);
        assert_eq!(
            machines(&long(Flavour::Debian)),
            ["x86_64-direct", "x86_64-swiotlb", "x86_64-28bit"]
        );
    }
}
