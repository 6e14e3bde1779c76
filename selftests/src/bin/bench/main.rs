// SPDX-License-Identifier: GPL-2.0

//! What both drivers cost, in instructions and in kernel memory.
//!
//! Meant for a machine of one CPU whose clock counts instructions; there a figure repeats. Prints
//! lines of JSON, see [`protocol::bench`], and judges nothing.
//!
//! All contenders work on the same memfd, in the same boot, and take turns: each does something
//! once that does not count, and then five times in alternating order.

mod arguments;
mod contender;
mod crowd;
mod descriptors;
mod ground;
mod measure;
mod memory;
mod pool;
mod step;
mod subject;
mod team;

use std::fs;
use std::process::ExitCode;

use protocol::bench::Line;
use selftests::outcome::Stop;

use crate::arguments::Arguments;
use crate::contender::Contenders;
use crate::crowd::Crowd;
use crate::subject::Subject;

fn main() -> ExitCode {
    let arguments = match Arguments::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("error: {error}; usage: {}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Stop> {
    let files = descriptors::raise()?;
    let contenders = Contenders::open(&arguments.only)?;
    let mut steps = step::plan(arguments, files)?;
    steps.retain(|step| contenders.for_step(step).next().is_some());
    let records = |step: &step::Step| contenders.for_step(step).count();
    tell(&Line::Plan(steps.iter().map(records).sum()));

    let mut subject: Option<Subject> = None;
    let mut crowds = Vec::new();
    let mut others = 0;
    for step in &steps {
        // Made once for all steps that follow each other with as many.
        if step.others_alive() != others {
            others = step.others_alive();
            // The descriptors of the old ones are needed.
            crowds.clear();
            for maker in contenders.for_step(step).filter(|_| others > 0) {
                crowds.push(Crowd::new(maker, others)?);
            }
        }
        // Made once for all steps that follow each other with the same.
        if subject
            .as_ref()
            .is_none_or(|subject| subject.shape != step.shape)
        {
            // The memory of the old one is needed.
            drop(subject.take());
            subject = Some(Subject::new(step.shape)?);
        }
        let Some(subject) = &subject else {
            continue;
        };
        for record in measure::step(step, subject, &contenders)? {
            tell(&Line::Record(record));
        }
    }
    if arguments.symbols {
        tell_symbols()?;
    }
    Ok(())
}

/// All functions: where those of a distribution's kernel are, nothing else says.
fn tell_symbols() -> Result<(), Stop> {
    for line in fs::read_to_string("/proc/kallsyms")?.lines() {
        let fields: Vec<_> = line.split_ascii_whitespace().collect();
        let [address, kind, name @ ..] = fields.as_slice() else {
            continue;
        };
        let is_code = matches!(*kind, "t" | "T" | "w" | "W");
        if let (true, Ok(address)) = (is_code, u64::from_str_radix(address, 16)) {
            tell(&Line::Symbol(address, name.join(" ")));
        }
    }
    Ok(())
}

fn tell(line: &Line) {
    println!(
        "{}",
        serde_json::to_string(line).expect("numbers and words only")
    );
}
