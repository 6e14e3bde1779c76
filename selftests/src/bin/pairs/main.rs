// SPDX-License-Identifier: GPL-2.0

//! Two at once, in every pair of operations: whatever one does to a buffer, its file, a device or the
//! driver, while another does the same or something else.
//!
//! Each pair has a process of its own and its share of the time. The two begin every round at the same
//! moment and lose a random time between any two calls. Errors have to be documented ones, what each
//! wrote has to be there, and nothing may be left: no pin, no buffer, no count, no line in the log.

mod arguments;
mod brackets;
mod buffers;
mod devices;
mod files;
mod meet;
mod module;
mod operation;
mod pair;
mod pause;
mod stage;
mod table;

use std::env;
use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use selftests::Outcome;
use selftests::driver::Driver;

use crate::arguments::Arguments;
use crate::arguments::USAGE;
use crate::operation::Needs;
use crate::operation::Operation;
use crate::pair::Pair;
use crate::pair::Who;
use crate::table::Table;

/// Exit codes of the program.
const SOME_FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// For all pairs, if nothing else is said.
const USUAL: Duration = Duration::from_secs(100);

/// The most that a pair is given then, where few are to run.
const MOST: Duration = Duration::from_secs(2);

/// The least that a pair is given, however many there are.
const LEAST: Duration = Duration::from_millis(20);

const OPERATIONS: [&[Operation]; 5] = [
    buffers::OPERATIONS,
    brackets::OPERATIONS,
    devices::OPERATIONS,
    files::OPERATIONS,
    module::OPERATIONS,
];

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error.to_string()),
    };
    if arguments.list {
        let every = pairs(&OPERATIONS.into_iter().flatten().collect::<Vec<_>>());
        every.iter().for_each(|pair| println!("{}", pair.name()));
        return ExitCode::SUCCESS;
    }
    let operations = match possible() {
        Ok(operations) => operations,
        Err(stop) => {
            println!("Bail out! {stop}");
            return ExitCode::from(SOME_FAILED);
        }
    };
    let mut chosen = pairs(&operations);
    chosen.retain(|pair| arguments.choose(&pair.name()));
    if chosen.is_empty() {
        return usage("no pair has that in its name");
    }
    run(operations, &chosen, &arguments)
}

fn usage(error: &str) -> ExitCode {
    eprintln!("{error}; {USAGE}");
    ExitCode::from(BAD_USAGE)
}

/// The operations that there is everything for on this machine.
fn possible() -> Outcome<Vec<&'static Operation>> {
    let devices = !stage::devices()?.is_empty();
    let module = Driver::under_test() == Driver::Rust;
    let every = OPERATIONS.into_iter().flatten();
    Ok(every
        .filter(|operation| match operation.needs {
            Needs::Nothing => true,
            Needs::Devices => devices,
            Needs::Module | Needs::Calls => module,
        })
        .collect())
}

/// Every pair of them, each with itself as well.
fn pairs(operations: &[&'static Operation]) -> Vec<Pair> {
    let mut all = Vec::new();
    for (index, first) in operations.iter().enumerate() {
        for second in &operations[index..] {
            let pair = |who| Pair { first, second, who };
            all.push(pair(Who::Threads));
            if first.in_processes && second.in_processes {
                all.push(pair(Who::Processes));
            }
        }
    }
    all
}

fn run(operations: Vec<&'static Operation>, pairs: &[Pair], arguments: &Arguments) -> ExitCode {
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..1 << 32));
    let deadline = Instant::now() + arguments.duration.unwrap_or(USUAL);
    println!("KTAP version 1");
    println!("1..{}", pairs.len());
    println!("# seed {seed}");
    let mut table = Table::new(operations);
    let (mut failed, mut overhead) = (0, Duration::ZERO);
    for (index, pair) in pairs.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        // What a pair takes besides its rounds is as much as with the one before.
        let share = (left / (pairs.len() - index) as u32).saturating_sub(overhead);
        let most = arguments.duration.unwrap_or(MOST);
        let (share, start) = (share.min(most).max(LEAST), Instant::now());
        let result = pair.run(share, seed);
        overhead = start.elapsed().saturating_sub(share);
        let (number, name) = (index + 1, pair.name());
        match &result {
            Ok(_) => println!("ok {number} {name}"),
            Err(stop) => {
                failed += 1;
                println!("# {name}: {stop}");
                println!("not ok {number} {name}");
            }
        }
        table.add(*pair, result.ok());
        // A machine that crashes next must not take this line with it.
        let _ = io::stdout().flush();
    }
    print!("{table}");
    let passed = pairs.len() - failed;
    println!("# Totals: pass:{passed} fail:{failed} xfail:0 xpass:0 skip:0 error:0");
    match failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(SOME_FAILED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every() -> Vec<&'static Operation> {
        OPERATIONS.into_iter().flatten().collect()
    }

    #[test]
    fn there_is_every_pair_once() {
        let count = every().len();
        let mut names: Vec<String> = pairs(&every()).iter().map(Pair::name).collect();
        let of_threads = names.iter().filter(|name| !name.contains("processes"));
        assert_eq!(of_threads.count(), count * (count + 1) / 2);
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
    }

    #[test]
    fn errors_are_caused_by_operations_that_exist() {
        for (name, _) in every().iter().flat_map(|operation| operation.errors) {
            let mut operations = every().into_iter();
            let known = operations.any(|operation| operation.name == *name);
            assert!(known || *name == operation::ANY, "{name}");
        }
    }
}
