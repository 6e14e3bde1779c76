// SPDX-License-Identifier: GPL-2.0

//! The command that repeats a test that failed, and as little else as can be.

use clap::ValueEnum;

use crate::{
    kernel::Flavour,
    ktap::{Test, Verdict},
    layout::Layout,
    machine,
    matrix::flows::COST,
    plan::{KUNIT, PROGRAMS},
    report::Area,
};

/// Programs that attack the driver and take names of tests; the others have arguments of their own, which
/// the plan has.
const ATTACKS_BY_NAME: [&str; 2] = ["failures", "users"];

/// Options that choose what is run, or when it ends; each has a value.
const CHOICES: [&str; 5] = ["--only", "--machine", "--flow", "--case", "--until"];

/// What this run of the harness was told.
pub struct Run {
    command: String,
    /// All options but [`CHOICES`].
    options: Vec<String>,
}

impl Run {
    /// From the words of a command line, the first of which is the program.
    pub fn of(words: impl IntoIterator<Item = String>) -> Self {
        let mut words = words.into_iter().skip(1);
        let command = words.next().unwrap_or_default();
        let mut options = Vec::new();
        while let Some(word) = words.next() {
            let (option, value) = word.split_once('=').unwrap_or((&word, ""));
            if !CHOICES.contains(&option) {
                options.push(word);
            } else if value.is_empty() {
                words.next();
            }
        }
        Run { command, options }
    }

    /// The beginning of a command line: with the options of this run if it is a run of that command.
    fn harness(&self, command: &str) -> Vec<String> {
        let mut words = vec!["ci/harness".to_owned(), command.to_owned()];
        if self.command == command {
            words.extend(self.options.iter().cloned());
        } else if command == "mutants" && self.options.iter().any(|word| word == "--attack") {
            words.push("--attack".into());
        }
        words
    }

    /// The command that repeats a test of an area.
    pub fn again(&self, layout: &Layout, area: &Area, test: &Test) -> String {
        let name = test.name();
        let words = match (area.machine.as_str(), area.program.as_str()) {
            ("host", _) => self.unit_test(area, &name),
            ("mutants", "control") => return self.control(layout, area, &name),
            ("mutants", name) => with(self.harness("mutants"), "--only", name),
            ("virtio-gpu", _) => self.screens(&name),
            ("clients", client) => self.client(area, client),
            ("installed", _) => self.harness("installed"),
            (machine, "matrix") => self.flow(machine, test),
            (machine, program) if program.starts_with("bench ") => {
                with(self.harness("bench"), "--machine", machine)
            }
            _ => match self.in_guest(layout, area, test) {
                Some(words) => words,
                None => self.area(area),
            },
        };
        shell_words::join(words)
    }

    /// A whole area, as the plan has it.
    fn area(&self, area: &Area) -> Vec<String> {
        with(self.harness("test"), "--only", &area.name())
    }

    /// A test of a program that takes names of tests, in a guest.
    fn in_guest(&self, layout: &Layout, area: &Area, test: &Test) -> Option<Vec<String>> {
        let mut by_name = PROGRAMS.iter().chain(&ATTACKS_BY_NAME);
        let [name] = test.path.as_slice() else {
            return None;
        };
        if !by_name.any(|program| *program == area.program) || !is_function(name) {
            return None;
        }
        let machine = machine::find(&area.machine).ok()?;
        let flavour = Flavour::from_str(&area.kernel, false).ok()?;
        let programs = layout.programs(machine.board().target, flavour);
        let file = programs.join(&area.program);
        let words = ["ci/harness", "vm"].map(str::to_owned).to_vec();
        let mut words = with(words, "--machine", machine.name());
        words = with(words, "--kernel", &area.kernel);
        words.push(format!("{} {name}", layout.short(&file).display()));
        Some(words)
    }

    /// A test of the programs themselves; without a name of its own it is all of them.
    fn unit_test(&self, area: &Area, name: &str) -> Vec<String> {
        if name == "cargo test" {
            return self.area(area);
        }
        let words = ["ci/cargo", "test", "--locked", "--workspace", name];
        let words = words.into_iter().chain(["--", "--exact"]);
        words.map(str::to_owned).collect()
    }

    /// The tests that a mutant would have to fail, with the module as it is.
    fn control(&self, layout: &Layout, area: &Area, name: &str) -> String {
        let parts = name.split_once(" on ").and_then(|(tests, place)| {
            let (program, filter) = tests.split_once(':')?;
            let (machine, kernel) = place.split_once(' ')?;
            Some((Area::new(machine, kernel, program), filter))
        });
        let Some((of, filter)) = parts else {
            let mutants = self.harness("mutants");
            return with(mutants, "--only", &area.program).join(" ");
        };
        let of = match of.program.as_str() {
            "virtio-gpu" => Area::new("virtio-gpu", "", &of.machine),
            _ => of,
        };
        let path = vec![filter.to_owned()];
        let verdict = Verdict::Failed(Vec::new());
        self.again(layout, &of, &Test { path, verdict })
    }

    /// A step of a guest in the guest; what is no step concerns all of them.
    fn screens(&self, name: &str) -> Vec<String> {
        let mut words = self.harness("virtio-gpu");
        if self.command == "test" {
            words.push("--quick".into());
        }
        match is_function(name) {
            true => with(words, "--only", name),
            false => words,
        }
    }

    /// A program of Debian. All tests have other ones than `clients` has by itself.
    fn client(&self, area: &Area, client: &str) -> Vec<String> {
        if self.command == "test" {
            return self.area(area);
        }
        let words = self.harness("clients");
        match client {
            "boot" => words,
            "qemu-boot" => with(words, "--only", "qemu"),
            client => with(words, "--only", client),
        }
    }

    /// A cell of the matrix; what is none concerns the whole machine.
    fn flow(&self, machine: &str, test: &Test) -> Vec<String> {
        let words = with(self.harness("matrix"), "--machine", machine);
        match test.path.first() {
            Some(flow) if is_function(flow) && flow != "boot" && flow != COST => {
                with(words, "--flow", flow)
            }
            _ => words,
        }
    }
}

/// The words, and an option with its value.
fn with(mut words: Vec<String>, option: &str, value: &str) -> Vec<String> {
    words.extend([option.to_owned(), value.to_owned()]);
    words
}

/// Whether that can be the name of a function, as those of tests are: what a boot says of itself has spaces,
/// and what a program says of its plan has names that no test may have.
fn is_function(name: &str) -> bool {
    !["plan", "end", "program", "run", KUNIT].contains(&name)
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{command::matrix, plan};

    /// What repeats a test of an area after a run with this command line.
    fn again(run: &str, [machine, kernel, program]: [&str; 3], test: &str) -> String {
        let words = ["harness"].into_iter().chain(run.split_whitespace());
        let path = test.split('.').map(str::to_owned).collect();
        let verdict = Verdict::Passed;
        let layout = Layout::for_tests(Path::new("/tree"));
        let area = Area::new(machine, kernel, program);
        Run::of(words.map(str::to_owned)).again(&layout, &area, &Test { path, verdict })
    }

    #[test]
    fn a_test_of_a_program_runs_alone_in_a_guest() {
        assert_eq!(
            again("test", ["x86_64-swiotlb", "check", "data"], "ping_pong"),
            "ci/harness vm --machine x86_64-swiotlb --kernel check \
             'build/target/x86_64-unknown-linux-gnu/release/data ping_pong'"
        );
        assert_eq!(
            again(
                "test --more",
                ["arm64-noncoherent", "debian-16k", "errors"],
                "seals"
            ),
            "ci/harness vm --machine arm64-noncoherent --kernel debian-16k \
             'build/target/aarch64-unknown-linux-gnu/release-16k/errors seals'"
        );
    }

    #[test]
    fn what_is_no_test_of_its_own_is_repeated_with_its_area() {
        for (program, test) in [
            ("data", "plan"),
            ("data", "bail out"),
            ("boot", "kernel log is clean"),
            ("kunit", "udmabuf_extent.merge"),
            ("kernel-selftest", "test 2"),
            ("fuzz", "calls"),
        ] {
            assert_eq!(
                again("test", ["x86_64-direct", "check", program], test),
                format!("ci/harness test --only 'x86_64-direct check {program}'")
            );
        }
        assert_eq!(
            again(
                "test --attack --only x",
                ["x86_64-direct", "kcsan", "pairs"],
                "all"
            ),
            "ci/harness test --attack --only 'x86_64-direct kcsan pairs'"
        );
        // That time is over then, and nothing would be repeated.
        assert_eq!(
            again(
                "test --until 1700000000",
                ["arm64-coherent", "plain", "fuzz"],
                "calls"
            ),
            "ci/harness test --only 'arm64-coherent plain fuzz'"
        );
    }

    #[test]
    fn whatever_the_plan_has_can_be_repeated() {
        let layout = Layout::for_tests(Path::new("/tree"));
        let usual = Flavour::Debian;
        for (run, rows) in [
            ("test", plan::usual(usual)),
            ("test", plan::other(usual)),
            ("test", plan::checking()),
            ("test --more", plan::more()),
            ("test --attack", plan::long(usual)),
        ] {
            for planned in plan::plan(&layout, &rows, &|_| true) {
                for area in planned.programs.iter().map(|program| &program.area) {
                    let place = [&area.machine, &area.kernel, &area.program];
                    let command = again(run, place.map(String::as_str), "plan");
                    let only = format!("{run} --only '{}'", area.name());
                    assert_eq!(command, format!("ci/harness {only}"));
                    let chosen = plan::plan(&layout, &rows, &|other| other.name() == area.name());
                    assert_eq!(chosen.len(), 1, "{command}");
                }
            }
        }
    }

    #[test]
    fn mutants_and_their_control() {
        let mutant = ["mutants", "", "no-begin"];
        assert_eq!(
            again("test", mutant, "data:sync on x86_64-swiotlb debian"),
            "ci/harness mutants --only no-begin"
        );
        assert_eq!(
            again("test --attack", mutant, "mutant"),
            "ci/harness mutants --attack --only no-begin"
        );
        assert_eq!(
            again("mutants --attack --only=no", mutant, "mutant"),
            "ci/harness mutants --attack --only no-begin"
        );
        let control = |test| again("mutants --only x", ["mutants", "", "control"], test);
        assert_eq!(
            control("data:write_sync on x86_64-swiotlb debian"),
            "ci/harness vm --machine x86_64-swiotlb --kernel debian \
             'build/target/x86_64-unknown-linux-gnu/release/data write_sync'"
        );
        assert_eq!(
            control("kunit:udmabuf_attach on x86_64-direct check"),
            "ci/harness test --only 'x86_64-direct check kunit'"
        );
        assert_eq!(
            control("virtio-gpu:picture on x86_64-direct debian"),
            "ci/harness virtio-gpu --only picture"
        );
    }

    #[test]
    fn cells_of_the_matrix() {
        let place = ["x86_64-28bit", "", "matrix"];
        assert_eq!(
            again("test", place, "ping_pong.no-begin"),
            "ci/harness matrix --machine x86_64-28bit --flow ping_pong"
        );
        assert_eq!(
            again(
                "matrix --kernel debian --flow vmap --machine direct",
                place,
                "vmap"
            ),
            "ci/harness matrix --kernel debian --machine x86_64-28bit --flow vmap"
        );
        for test in ["boot", "kernel log is clean", COST] {
            assert_eq!(
                again("test", place, test),
                "ci/harness matrix --machine x86_64-28bit"
            );
        }
        assert_eq!(
            matrix::area("x86_64-28bit"),
            Area::new(place[0], "", place[2])
        );
    }

    #[test]
    fn what_is_not_only_ours() {
        assert_eq!(
            again("test", ["virtio-gpu", "", "memfd"], "picture_640x480"),
            "ci/harness virtio-gpu --quick --only picture_640x480"
        );
        assert_eq!(
            again(
                "virtio-gpu --driver c",
                ["virtio-gpu", "", "boot"],
                "guest finishes"
            ),
            "ci/harness virtio-gpu --driver c"
        );
        assert_eq!(
            again("test", ["clients", "", "lavapipe"], "renders"),
            "ci/harness test --only 'clients lavapipe'"
        );
        assert_eq!(
            again(
                "clients --driver c",
                ["clients", "", "qemu-boot"],
                "guest finishes"
            ),
            "ci/harness clients --driver c --only qemu"
        );
        assert_eq!(
            again("installed", ["installed", "switched", "errors"], "seals"),
            "ci/harness installed"
        );
        assert_eq!(
            again(
                "bench --case create",
                ["x86_64-direct", "debian", "bench all"],
                "program"
            ),
            "ci/harness bench --machine x86_64-direct"
        );
    }

    #[test]
    fn unit_tests_by_their_names() {
        let place = ["host", "", "unit-tests"];
        assert_eq!(
            again("test", place, "report::tests::x"),
            "ci/cargo test --locked --workspace report::tests::x -- --exact"
        );
        assert_eq!(
            again("test", place, "cargo test"),
            "ci/harness test --only 'host unit-tests'"
        );
    }
}
