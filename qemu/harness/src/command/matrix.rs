// SPDX-License-Identifier: GPL-2.0

//! `matrix`: every flow on every machine, with both drivers, with the system heap, and with broken
//! variants of ours.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;

use crate::{
    cli::parse_machine,
    deadline::{self, Deadline},
    guest,
    kernel::Flavour,
    layout::Layout,
    machine::{self, Machine},
    matrix::{
        column::Column,
        flows::{self, Flow},
        picture,
        plan::{self, C, Control, HEAP, RUST, Selection},
        record,
        table::Table,
        trial::{Trial, Variants},
        verdict,
    },
    parallel::{self, News},
    report::{Area, Report},
    suite,
    usage::refuse,
    variant::{self, Patch},
    versions::Versions,
};

/// The arguments of `matrix`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only this machine; may be said several times.
    #[arg(long = "machine", value_parser = parse_machine)]
    machines: Vec<&'static dyn Machine>,
    /// Only this flow; may be said several times.
    #[arg(long = "flow")]
    flows: Vec<String>,
    /// Only this of the drivers; may be said several times.
    #[arg(long = "driver", value_enum)]
    subjects: Vec<Subject>,
    /// The kernel of all machines; Debian's otherwise, but ours for arm64, which has the system heap.
    #[arg(long, value_enum)]
    kernel: Option<Flavour>,
    /// Boots nothing, and draws the table of such a file as qemu/matrix.md into a picture beside it.
    #[arg(long, value_name = "FILE", exclusive = true)]
    draw: Option<PathBuf>,
}

/// What is behind /dev/udmabuf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// The driver under test.
    Rust,
    /// The driver in the kernel.
    C,
    /// The system heap, where there is no need of a memfd.
    Heap,
    /// The broken variants of the driver under test.
    Controls,
}

impl Arguments {
    fn selection(&self) -> Selection {
        let has = |subject| self.subjects.is_empty() || self.subjects.contains(&subject);
        Selection {
            rust: has(Subject::Rust),
            c: has(Subject::C),
            heap: has(Subject::Heap),
            controls: has(Subject::Controls),
        }
    }

    /// The machines in their usual order, each once.
    fn machines(&self) -> Vec<&'static dyn Machine> {
        let all = machine::ALL.iter().copied();
        let wanted = |machine: &&dyn Machine| {
            let mut chosen = self.machines.iter().map(|chosen| chosen.name());
            self.machines.is_empty() || chosen.any(|name| name == machine.name())
        };
        all.filter(wanted).collect()
    }

    /// The command that does the same again.
    fn command(&self) -> String {
        let mut words = Vec::new();
        let machines = self
            .machines
            .iter()
            .map(|m| format!("--machine {}", m.name()));
        words.extend(machines);
        words.extend(self.flows.iter().map(|flow| format!("--flow {flow}")));
        for subject in &self.subjects {
            let value = subject.to_possible_value();
            words.extend(value.map(|value| format!("--driver {}", value.get_name())));
        }
        words.extend(self.kernel.map(|kernel| format!("--kernel {kernel}")));
        match words.is_empty() {
            true => "make matrix".into(),
            false => format!("make matrix ARGS='{}'", words.join(" ")),
        }
    }
}

/// Those of the flows that were asked for.
fn choose(flows: Vec<Flow>, names: &[String]) -> Result<Vec<Flow>> {
    let known = |name: &&String| flows.iter().any(|flow| flow.name == **name);
    if let Some(unknown) = names.iter().find(|name| !known(name)) {
        let all: Vec<_> = flows.iter().map(|flow| flow.name.as_str()).collect();
        refuse!("unknown flow '{unknown}': say one of {}", all.join(", "));
    }
    let wanted = |flow: &Flow| names.is_empty() || names.contains(&flow.name);
    Ok(flows.into_iter().filter(wanted).collect())
}

/// The area of a machine, or of everything about the matrix.
pub fn area(machine: &str) -> Area {
    Area::new(machine, "", "matrix")
}

/// Makes the matrix, or the part of it that was asked for.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    if let Some(file) = &arguments.draw {
        draw(file)?;
        return Ok(ExitCode::SUCCESS);
    }
    let layout = Layout::find()?;
    let flows = choose(flows::list(&layout)?, &arguments.flows)?;
    let matrix = Matrix {
        layout: &layout,
        flavour: arguments.kernel,
        machines: arguments.machines(),
        all_flows: arguments.flows.is_empty(),
        flows,
        selection: arguments.selection(),
        command: arguments.command(),
        deadline: Deadline::default(),
    };
    let mut report = Report::open(&layout, "matrix")?;
    matrix.run(&mut report, true)?;
    Ok(report.finish())
}

/// Draws the table of a file into a picture beside it.
fn draw(file: &Path) -> Result<()> {
    let markdown = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let picture = picture::svg(&markdown).with_context(|| file.display().to_string())?;
    let beside = file.with_extension("svg");
    fs::write(&beside, picture).with_context(|| beside.display().to_string())?;
    println!("The picture is {}.", beside.display());
    Ok(())
}

/// Makes the matrix on these machines as part of something larger, of which no more begins after a time.
pub fn run_on(
    layout: &Layout,
    report: &mut Report,
    machines: Vec<&'static dyn Machine>,
    deadline: Deadline,
) -> Result<()> {
    let matrix = Matrix {
        layout,
        flavour: None,
        machines,
        all_flows: true,
        flows: flows::list(layout)?,
        selection: Selection::ALL,
        command: "make matrix".into(),
        deadline,
    };
    matrix.run(report, false)
}

/// A matrix to be made.
struct Matrix<'a> {
    layout: &'a Layout,
    /// The kernel that was asked for.
    flavour: Option<Flavour>,
    machines: Vec<&'static dyn Machine>,
    flows: Vec<Flow>,
    /// Whether that is all flows.
    all_flows: bool,
    selection: Selection,
    command: String,
    /// Machines that have not begun then are left out.
    deadline: Deadline,
}

impl Matrix<'_> {
    fn run(&self, report: &mut Report, show: bool) -> Result<()> {
        let controls = plan::controls(&self.flows, &variant::patches(self.layout)?)?;
        let variants = self.build(report, &controls)?;
        let colour = io::stdout().is_terminal();
        let none = Variants::new();
        let mut columns: Vec<Column> = Vec::new();
        let mut doing: BTreeMap<usize, String> = BTreeMap::new();
        let mut trouble = None;
        report.begin(&area("machines"));
        parallel::each(
            &self.machines,
            |machine, progress| {
                if guest::interrupted() {
                    bail!("interrupted");
                }
                if self.deadline.is_over() {
                    return Ok(None);
                }
                let flavour = self.flavour(*machine)?;
                let kernel = flavour.of(machine.board().kernel);
                let trial = Trial {
                    layout: self.layout,
                    machine: *machine,
                    flows: &self.flows,
                    controls: &controls,
                    flavour,
                    variants: variants.get(&kernel).unwrap_or(&none),
                    selection: self.selection,
                    cost: self.all_flows && self.selection.rust && self.selection.c,
                };
                trial.run(progress).map(Some)
            },
            |index, news| {
                let machine = self.machines[index];
                match news {
                    News::Progress(text) => {
                        doing.insert(index, format!("{} {text}", machine.name()));
                    }
                    News::Done(result) => {
                        doing.remove(&index);
                        let told = self.tell(report, machine, result, &controls, colour);
                        match told {
                            Ok(column) => columns.extend(column),
                            Err(error) => trouble = trouble.take().or(Some(error)),
                        }
                        report.begin(&area("machines"));
                    }
                }
                let doing: Vec<_> = doing.values().map(String::as_str).collect();
                report.progress(doing.join(", "));
            },
        );
        report.pause();
        if guest::interrupted() {
            bail!("interrupted");
        }
        if let Some(trouble) = trouble {
            return Err(trouble);
        }
        if columns.is_empty() {
            return Ok(());
        }
        let table = self.table(&columns, &controls);
        let kernels = columns.iter().filter_map(|column| column.kernel.clone());
        let machines: Vec<_> = columns.iter().map(|column| column.machine).collect();
        let command = self.command.clone();
        let versions = Versions::find(
            self.layout.root(),
            &kernels.collect::<Vec<_>>(),
            &machines,
            command,
        );
        let name = self.name(columns.len());
        record::write(self.layout, name, &table, &versions)?;
        if show {
            println!("\n{}{}", table.text(colour), table.details());
            println!("{versions}");
            println!(
                "The same is in build/results/{name}.md and {name}.json, and drawn in {name}.svg.\n"
            );
        }
        Ok(())
    }

    /// The kernel of a machine.
    fn flavour(&self, machine: &dyn Machine) -> Result<Flavour> {
        match self.flavour {
            Some(flavour) => Ok(flavour),
            None => Flavour::frequent(machine.board()),
        }
    }

    /// The name of the files with the results of so many machines: a part does not replace the whole.
    fn name(&self, machines: usize) -> &'static str {
        let whole =
            self.all_flows && self.selection == Selection::ALL && machines == machine::ALL.len();
        if whole { "matrix" } else { "matrix-part" }
    }

    fn table<'a>(&'a self, columns: &'a [Column], controls: &'a [Control]) -> Table<'a> {
        Table {
            flows: &self.flows,
            columns,
            controls,
            controlled: self.selection.controls,
        }
    }

    /// Builds what the machines will need, for each kernel.
    fn build(
        &self,
        report: &mut Report,
        controls: &[Control],
    ) -> Result<BTreeMap<String, Variants>> {
        let mut all: BTreeMap<String, Vec<Patch>> = BTreeMap::new();
        for machine in &self.machines {
            let kernel = self.flavour(*machine)?.of(machine.board().kernel);
            let patches = all.entry(kernel).or_default();
            for run in plan::runs(*machine, &self.flows, controls, self.selection) {
                let wanted = |control: &&Control| {
                    run.subject == plan::Subject::Control(control.patch.name.clone())
                };
                let patch = controls.iter().find(wanted).map(|control| &control.patch);
                let patch = patch.filter(|patch| !patches.contains(patch)).cloned();
                patches.extend(patch);
            }
        }
        report.begin(&area("variants"));
        let mut variants = BTreeMap::new();
        for (kernel, patches) in all {
            report.progress(format!("builds {} for {kernel}", patches.len()));
            let built = variant::build_all(self.layout, &kernel, &patches);
            let built = built
                .into_iter()
                .map(|built| built.map_err(|error| format!("{error:#}")));
            let names = patches.into_iter().map(|patch| patch.name);
            variants.insert(kernel, names.zip(built).collect());
            if guest::interrupted() {
                bail!("interrupted");
            }
        }
        report.pause();
        Ok(variants)
    }

    /// Reports a machine that is done. What could not even start has failed.
    fn tell(
        &self,
        report: &mut Report,
        machine: &dyn Machine,
        result: Result<Option<Column>>,
        controls: &[Control],
        colour: bool,
    ) -> Result<Option<Column>> {
        if guest::interrupted() {
            return Ok(None);
        }
        let area = area(machine.name());
        let column = match result {
            Ok(Some(column)) => column,
            Ok(None) => {
                report.end(&area, vec![deadline::left_out("run")], None)?;
                return Ok(None);
            }
            Err(error) => {
                let failed = suite::failed("boot", format!("{error:#}"));
                report.end(&area, vec![failed], None)?;
                return Ok(None);
            }
        };
        let tests = verdict::tests(&column, &self.flows, controls, self.selection);
        report.took(column.time);
        report.end(&area, tests, Some(&column.log))?;
        let table = self.table(std::slice::from_ref(&column), controls);
        for (name, label) in [("C", C), ("heap", HEAP), ("Rust", RUST)] {
            let tally = table.tally(&column, label);
            if !tally.is_empty() {
                let marks = table.marks(&column, label, colour);
                report.note(&format!("{name:<9}{marks}  {tally}"));
            }
        }
        if self.selection.controls {
            report.note(&format!("controls {}", table.proofs(&column)));
        }
        for note in &column.notes {
            report.note(note);
        }
        Ok(Some(column))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::matrix::plan::tests::flow;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(words: &[&str]) -> Arguments {
        let words = ["matrix"].iter().chain(words);
        Line::try_parse_from(words).ok().unwrap().arguments
    }

    #[test]
    fn nothing_said_is_everything() {
        let all = arguments(&[]);
        assert_eq!(all.selection(), Selection::ALL);
        assert_eq!(all.machines().len(), machine::ALL.len());
        assert_eq!(all.command(), "make matrix");
    }

    #[test]
    fn a_part_is_named_by_the_command_that_makes_it_again() {
        let words = [
            "--machine",
            "swiotlb",
            "--machine",
            "direct",
            "--driver",
            "controls",
        ];
        let part = arguments(&words);
        let names: Vec<_> = part
            .machines()
            .iter()
            .map(|machine| machine.name())
            .collect();
        assert_eq!(names, ["x86_64-direct", "x86_64-swiotlb"]);
        let selection = part.selection();
        assert!(selection.controls && !selection.rust && !selection.c && !selection.heap);
        assert_eq!(
            part.command(),
            "make matrix ARGS='--machine x86_64-swiotlb --machine x86_64-direct --driver controls'"
        );
    }

    #[test]
    fn unknown_flows_are_refused_in_one_line() {
        let flows = || vec![flow("a", &[]), flow("b", &[])];
        assert_eq!(choose(flows(), &[]).unwrap().len(), 2);
        assert_eq!(choose(flows(), &["b".into()]).unwrap()[0].name, "b");
        let message = choose(flows(), &["c".into()]).unwrap_err().to_string();
        assert_eq!(message, "unknown flow 'c': say one of a, b");
    }
}
