// SPDX-License-Identifier: GPL-2.0

//! `bench`: what both drivers cost, in instructions, and what that looks like.

use std::{
    fs,
    io::{self, IsTerminal},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use protocol::bench::{Case, Contender, Record};

use crate::{
    bench::{
        chart::Chart,
        grid::Grid,
        heat,
        part::Part,
        picture::Painter,
        plot,
        profile::Comparison,
        results::Results,
        slower::Slower,
        table::{LEGEND, Table},
    },
    cli::parse_machine,
    guest,
    layout::Layout,
    machine::{Arm64Coherent, Arm64Noncoherent, Machine, X86Direct, X86Iommu, X86Swiotlb},
    report::Report,
    suite,
    usage::refuse,
    versions::Versions,
};

/// What is measured where. Buffers of 1 GiB take that of memory and as much of the heap's. Huge pages
/// are set aside for a buffer of 4 GiB, and of 1 GiB for the floor of mappings. The guest program
/// leaves out what does not fit.
const PARTS: &[Part] = &[
    Part {
        machine: &X86Direct,
        what: "all",
        memory: 16,
        huge_memory: 5200,
        cache_model: false,
        profile: false,
    },
    Part {
        machine: &X86Iommu,
        what: "map",
        memory: 8,
        huge_memory: 2200,
        cache_model: false,
        profile: false,
    },
    Part {
        machine: &X86Swiotlb,
        what: "shadow",
        memory: 4,
        huge_memory: 0,
        cache_model: false,
        profile: false,
    },
    Part {
        machine: &Arm64Coherent,
        what: "sync",
        memory: 4,
        huge_memory: 0,
        cache_model: false,
        profile: false,
    },
    Part {
        machine: &Arm64Noncoherent,
        what: "sync",
        memory: 4,
        huge_memory: 0,
        cache_model: true,
        profile: false,
    },
];

/// The arguments of `bench`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Only this machine; may be said several times.
    #[arg(long = "machine", value_parser = parse_machine)]
    machines: Vec<&'static dyn Machine>,
    /// Only this case, such as create or every_page; may be said several times.
    #[arg(long = "case", value_parser = parse_case)]
    cases: Vec<Case>,
    /// Small buffers only.
    #[arg(long)]
    quick: bool,
    /// Draws nothing.
    #[arg(long)]
    no_plots: bool,
    /// Instead of all that: shows which functions execute the instructions of what has this name,
    /// such as create/base/1/4096/0 (case, pages, ranges, bytes, devices), with both drivers. What is not
    /// as usual comes before: pieces-4/create/pieces/1/65536/0, beside-100/, threads-8/.
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["cases", "quick", "no_plots"])]
    profile: Option<String>,
}

/// The case that an argument names.
fn parse_case(name: &str) -> Result<Case, String> {
    let name = serde_json::Value::String(name.into());
    serde_json::from_value(name).map_err(|error| error.to_string())
}

impl Arguments {
    /// The parts that were asked for, in their usual order.
    fn parts(&self) -> Result<Vec<&'static Part>> {
        let is = |part: &Part, machine: &&dyn Machine| part.machine.name() == machine.name();
        let measured = |machine: &&&dyn Machine| PARTS.iter().any(|part| is(part, machine));
        if let Some(other) = self.machines.iter().find(|machine| !measured(machine)) {
            let all: Vec<_> = PARTS.iter().map(|part| part.machine.name()).collect();
            let (other, all) = (other.name(), all.join(", "));
            refuse!("nothing is measured on {other}: say one of {all}");
        }
        let wanted = |part: &&Part| {
            let mut machines = self.machines.iter();
            self.machines.is_empty() || machines.any(|machine| is(part, machine))
        };
        Ok(PARTS.iter().filter(wanted).collect())
    }

    /// What the guest program is told.
    fn words(&self) -> Vec<String> {
        let cases = self.cases.iter();
        let mut words: Vec<_> = cases
            .flat_map(|case| ["--case".to_owned(), case.to_string()])
            .collect();
        if self.quick {
            words.push("--quick".into());
        }
        words
    }

    /// The command that does the same again.
    fn command(&self) -> String {
        let machines = self.machines.iter();
        let mut words: Vec<_> = machines
            .map(|machine| format!("--machine {}", machine.name()))
            .collect();
        words.extend(self.words());
        match words.is_empty() {
            true => "make bench".into(),
            false => format!("make bench ARGS='{}'", words.join(" ")),
        }
    }
}

/// Measures, and shows what came out. What fails on one machine stops no other.
pub fn run(arguments: &Arguments) -> Result<ExitCode> {
    let layout = Layout::find()?;
    let parts = arguments.parts()?;
    if let Some(text) = &arguments.profile {
        return profile(&layout, &parts, text);
    }
    // Before hours of work, not after them.
    let painter = match arguments.no_plots {
        true => None,
        false => Some(Painter::new()?),
    };
    let mut report = Report::open(&layout, "bench")?;
    let mut results = Results::open(&layout)?;
    let mut records = Vec::new();
    let mut kernels = Vec::new();
    for part in &parts {
        let area = part.area()?;
        report.begin(&area);
        let measured = part.run(&layout, &arguments.words(), &report);
        report.pause();
        if guest::interrupted() {
            break;
        }
        match measured {
            Ok(measured) => {
                report.end(&area, measured.tests, Some(&measured.log))?;
                for note in &measured.notes {
                    report.note(note);
                }
                kernels.extend(measured.kernel);
                records.extend(measured.records);
            }
            Err(error) => {
                let failed = suite::failed("boot", format!("{error:#}"));
                report.end(&area, vec![failed], None)?;
            }
        }
    }
    if records.is_empty() {
        results.discard();
    } else {
        let machines: Vec<_> = parts.iter().map(|part| part.machine).collect();
        let command = arguments.command();
        let versions = Versions::find(layout.root(), &kernels, &machines, command);
        results.write(&versions, &records)?;
        let table = Table::new(&records);
        println!(
            "\n{}\n{LEGEND}\n{versions}\n\n{}",
            table.text(io::stdout().is_terminal()),
            Slower::new(&records)
        );
        for file in [results.lines(), &results.markdown()] {
            println!("The same is in {}.", layout.short(file).display());
        }
        if let Some(painter) = &painter {
            plots(&layout, painter, &records)?;
        }
        println!();
    }
    // What other machines said until then is not lost.
    if guest::interrupted() {
        bail!("interrupted");
    }
    Ok(report.finish())
}

/// Shows where the instructions of something are executed, on the first of the machines: one boot for
/// each driver.
fn profile(layout: &Layout, parts: &[&Part], text: &str) -> Result<ExitCode> {
    let Some(part) = parts.first() else {
        bail!("no machine to measure on");
    };
    let part = Part {
        cache_model: false,
        profile: true,
        ..**part
    };
    let mut report = Report::open(layout, "profile")?;
    let mut profiles = Vec::new();
    for contender in [Contender::Rust, Contender::C] {
        let words = [
            "--only".into(),
            format!("{contender}/{text}"),
            "--symbols".into(),
        ];
        let area = part.area()?;
        report.begin(&area);
        let measured = part.run(layout, &words, &report)?;
        report.end(&area, measured.tests, Some(&measured.log))?;
        match (measured.records.as_slice(), measured.profile) {
            ([record], Some(profile)) => profiles.push((profile, record.median().unwrap_or(0))),
            _ => refuse!(
                "'{text}' is the name of no row, or of several: see those in build/results/bench-*.jsonl"
            ),
        }
    }
    if let [rust, c] = profiles.as_slice() {
        let both = [(&rust.0, rust.1), (&c.0, c.1)];
        println!("\nInstructions of {text}:\n\n{}", Comparison::new(both));
    }
    Ok(report.finish())
}

/// Draws every chart and every grid there is into build/bench/.
fn plots(layout: &Layout, painter: &Painter, records: &[Record]) -> Result<()> {
    let directory = layout.build().join("bench");
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let mut drawings = Vec::new();
    for chart in Chart::all(records) {
        drawings.push((chart.name(), plot::svg(&chart)?));
    }
    for grid in Grid::all(records) {
        drawings.push((grid.name(), heat::svg(&grid)?));
    }
    let count = drawings.len();
    for (name, svg) in drawings {
        let png = painter.png(&svg)?;
        let texts = [("svg", svg.into_bytes()), ("png", png)];
        for (suffix, bytes) in texts {
            let file = directory.join(format!("{name}.{suffix}"));
            fs::write(&file, bytes).with_context(|| file.display().to_string())?;
        }
    }
    let directory = layout.short(&directory).display();
    println!("The plots, {count}, are in {directory}/.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::bench::tests::{pieces, sweep};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn arguments(words: &[&str]) -> Arguments {
        let words = ["bench"].iter().chain(words);
        Line::try_parse_from(words).ok().unwrap().arguments
    }

    #[test]
    fn nothing_said_is_everything() {
        let all = arguments(&[]);
        assert_eq!(all.parts().unwrap().len(), PARTS.len());
        assert_eq!(all.words(), [] as [&str; 0]);
        assert_eq!(all.command(), "make bench");
    }

    #[test]
    fn a_part_is_named_by_the_command_that_makes_it_again() {
        let part = arguments(&["--machine", "iommu", "--case", "every_page", "--quick"]);
        let machines = part.parts().unwrap();
        assert_eq!((machines.len(), machines[0].what), (1, "map"));
        assert_eq!(part.words(), ["--case", "every_page", "--quick"]);
        assert_eq!(
            part.command(),
            "make bench ARGS='--machine x86_64-iommu --case every_page --quick'"
        );
    }

    #[test]
    fn what_is_not_measured_is_refused_in_one_line() {
        let error = arguments(&["--machine", "28bit"]).parts().err().unwrap();
        let message = error.to_string();
        assert!(
            message.starts_with("nothing is measured on x86_64-28bit: say one of x86_64-direct"),
            "{message}"
        );
        let error = Line::try_parse_from(["bench", "--case", "vacuum"]).err();
        let message = error.unwrap().to_string();
        assert!(
            message.contains("vacuum") && message.contains("begin_end"),
            "{message}"
        );
    }

    #[test]
    fn each_chart_and_each_grid_is_two_files() {
        let scratch = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(scratch.path());
        let painter = Painter::new().unwrap();
        let records = [sweep(Case::Vmap), pieces(Case::Create)].concat();
        plots(&layout, &painter, &records).unwrap();
        for (name, title) in [("vmap", "vmap, x86"), ("create-pieces", "create, x86")] {
            let file = |suffix| {
                let name = format!("build/bench/x86_64-direct-{name}.{suffix}");
                scratch.path().join(name)
            };
            assert!(fs::read_to_string(file("svg")).unwrap().contains(title));
            assert!(fs::read(file("png")).unwrap().starts_with(b"\x89PNG"));
        }
    }
}
