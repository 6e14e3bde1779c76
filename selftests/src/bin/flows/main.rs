// SPDX-License-Identifier: GPL-2.0

//! The flows of data between CPU and devices that the driver has to get right, each written once
//! and run on every machine with every driver: the rows of the matrix.
//!
//! Data shows what a bounce buffer does. What caches would do is judged by the cache model outside
//! the machine, which is told what belongs to which flow.

mod access;
mod arguments;
mod automatic;
mod companion;
mod cost;
mod flow;
mod handover;
mod kernel;
mod layout;
mod modes;
mod overlap;
mod query;
mod random;
mod range;
mod stage;
mod unbracketed;
mod unpaired;
mod vecs;
mod writers;

use std::env;
use std::io;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Ledger;
use selftests::Outcome;
use selftests::driver::Driver;

use crate::arguments::Arguments;
use crate::arguments::USAGE;
use crate::flow::Cell;
use crate::flow::Flow;
use crate::stage::Stage;

/// Exit codes of the program.
const SOME_BAD: u8 = 1;
const BAD_USAGE: u8 = 2;

/// In the order in which they run.
const FLOWS: [&[Flow]; 14] = [
    handover::FLOWS,
    unbracketed::FLOWS,
    overlap::FLOWS,
    unpaired::FLOWS,
    writers::FLOWS,
    kernel::FLOWS,
    layout::FLOWS,
    access::FLOWS,
    automatic::FLOWS,
    vecs::FLOWS,
    range::FLOWS,
    modes::FLOWS,
    query::FLOWS,
    random::FLOWS,
];

/// Those that run when they are named only.
const OTHERS: [&[Flow]; 1] = [cost::FLOWS];

/// For how long chance goes on with the driver under test, and with those it is compared with.
const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let every: Vec<&Flow> = FLOWS.into_iter().chain(OTHERS).flatten().collect();
    let names: Vec<&str> = every.iter().map(|flow| flow.name).collect();
    let arguments = match Arguments::parse(env::args_os().skip(1), &names) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}; {USAGE}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    if arguments.end_access {
        return exit(end_access().map(|()| false));
    }
    if arguments.list {
        return exit(list(&every, arguments.json).map(|()| false));
    }
    let chosen = |flow: &&Flow| {
        let (named, known) = (&arguments.flows, |group: &&[Flow]| {
            group.iter().any(|other| other.name == flow.name)
        });
        match named.is_empty() {
            true => FLOWS.iter().any(known) && (flow.heap || !arguments.heap),
            false => named.iter().any(|name| name == flow.name),
        }
    };
    let flows: Vec<&Flow> = every.into_iter().filter(chosen).collect();
    exit(run(&flows, &arguments))
}

fn exit(bad: Outcome<bool>) -> ExitCode {
    match bad {
        Ok(false) => ExitCode::SUCCESS,
        Ok(true) => ExitCode::from(SOME_BAD),
        Err(stop) => {
            eprintln!("{stop}");
            ExitCode::from(SOME_BAD)
        }
    }
}

/// Ends an access to the dma-buf on standard input.
fn end_access() -> Outcome {
    let dma_buf = DmaBuf::from(io::stdin().as_fd().try_clone_to_owned()?);
    dma_buf.finish(Access::ReadWrite)?;
    Ok(())
}

/// Says what flows there are; needs no device.
fn list(flows: &[&Flow], json: bool) -> Outcome {
    for flow in flows {
        let line = match json {
            true => serde_json::to_string(flow).map_err(io::Error::from)?,
            false => format!(
                "{:<24} {:<54} {}",
                flow.name,
                flow.title,
                flow.controls.join(" ")
            ),
        };
        println!("{}", line.trim_end());
    }
    Ok(())
}

/// Runs the flows and reports each when it is over; whether any went wrong.
fn run(flows: &[&Flow], arguments: &Arguments) -> Outcome<bool> {
    let label = match &arguments.label {
        Some(label) => label.clone(),
        None if arguments.heap => "heap".into(),
        None => Driver::under_test().to_string(),
    };
    let usual = if label == "rust" { LONG } else { SHORT };
    let stage = Stage::new(
        label,
        arguments.heap,
        arguments.duration.unwrap_or(usual),
        arguments.seed.unwrap_or_else(|| fastrand::u64(..)),
    )?;
    let before = Ledger::now()?;
    let mut bad = false;
    if arguments.ktap {
        println!("KTAP version 1\n1..{}", flows.len());
    }
    for (index, flow) in flows.iter().enumerate() {
        let cell = flow.play(&stage)?;
        bad |= cell.outcome.is_bad();
        match arguments.ktap {
            true => report_ktap(&cell, index + 1)?,
            false => report(&cell, arguments.json)?,
        }
    }
    let after = Ledger::now()?;
    if after != before {
        eprintln!("something is left behind: {after:?}, before it was {before:?}");
        bad = true;
    }
    Ok(bad)
}

fn report(cell: &Cell, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, cell)?;
        writeln!(out)?;
    } else {
        let (outcome, detail) = (cell.outcome.name(), &cell.detail);
        let line = format!("{outcome:<8} {:<24} {} {detail}", cell.flow, cell.title);
        writeln!(out, "{}", line.trim_end())?;
    }
    // A machine that crashes next must not take this line with it.
    out.flush()
}

fn report_ktap(cell: &Cell, number: usize) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if cell.outcome.is_bad() {
        let (flow, outcome, detail) = (cell.flow, cell.outcome.name(), &cell.detail);
        writeln!(out, "# {flow}: {outcome}, {detail}")?;
        writeln!(out, "not ok {number} {flow}")?;
    } else {
        writeln!(out, "ok {number} {}", cell.flow)?;
    }
    // A machine that crashes next must not take this line with it.
    out.flush()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn names_are_different() {
        let mut names: Vec<_> = FLOWS.iter().chain(&OTHERS).copied().flatten().collect();
        let count = names.len();
        names.sort_by_key(|flow| flow.name);
        names.dedup_by_key(|flow| flow.name);
        assert_eq!(names.len(), count);
    }

    #[test]
    fn every_flow_has_a_control_that_exists() {
        let mutants = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
        for flow in FLOWS.into_iter().flatten() {
            assert!(!flow.controls.is_empty(), "{}", flow.name);
            for control in flow.controls {
                let patch = mutants.join(format!("{control}.patch"));
                assert!(
                    *control == "c" || fs::exists(&patch).unwrap(),
                    "{}",
                    patch.display()
                );
            }
        }
    }
}
