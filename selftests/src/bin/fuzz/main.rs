// SPDX-License-Identifier: GPL-2.0

//! Calls by chance, by several processes with several threads, on shared buffers and memfds; and
//! whether everybody finds the data that must be there.
//!
//! A round begins with nothing and ends with nothing. One thread of this program makes the calls
//! up, gives each to a thread of one of the processes, and keeps the books of all data
//! (`pages.rs`): so what a call has to do is known before it is made, and a round is a list of
//! calls that can be made once more, or in part. Devices work while further calls are made.
//!
//! In a round whose seed is even that is all, and what fails is cut down to the calls that are needed.
//! In one whose seed is odd, further threads do as they like at the same time: whatever must
//! change nobody's data (`noise.rs`). When such a round fails, its calls are tried once more in
//! silence, and cut down if they still fail; otherwise there is only the seed, which makes the same calls,
//! but not the same race.
//!
//! What is seen of a process that was killed in the middle of a call depends on the moment, too.
//! KCOV does not guide this: no kernel that is tested has it.

mod arguments;
mod broken;
mod call;
mod cells;
mod chance;
mod crew;
mod cut;
mod effect;
mod importer;
mod noise;
mod order;
mod pages;
mod plan;
mod process;
mod round;
mod series;
mod tools;
mod watch;
mod world;

use std::env;
use std::fs;
use std::io;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use selftests::Backing;
use selftests::driver::Driver;
use selftests::importer::Edu;
use selftests::machine;

use crate::arguments::Arguments;
use crate::arguments::TESTS;
use crate::arguments::USAGE;
use crate::call::Call;
use crate::call::Deed;
use crate::cells::Grid;
use crate::round::Calls;
use crate::round::Ground;
use crate::world::Setting;
use crate::world::Source;

/// Exit codes of the program.
const SOME_FAILED: u8 = 1;
const BAD_USAGE: u8 = 2;

/// Calls of a round.
const LENGTH: usize = 2000;

/// How long a list may be cut down.
const CUTTING: Duration = Duration::from_secs(90);

/// The calls of the control. The lie is behind them, before everything is looked at.
const CONTROL: usize = 60;

fn main() -> ExitCode {
    let arguments = match Arguments::parse(env::args_os().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}; {USAGE}");
            return ExitCode::from(BAD_USAGE);
        }
    };
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(SOME_FAILED),
        Err(error) => {
            println!("Bail out! {error}");
            ExitCode::from(BAD_USAGE)
        }
    }
}

fn run(arguments: &Arguments) -> io::Result<bool> {
    let ground = ground(arguments.heap)?;
    println!("KTAP version 1");
    if let Some(list) = &arguments.replay {
        println!("1..1");
        let list = read(list)?;
        let ran = round::run(&ground, Calls::List(&list), None)?;
        ground.restore()?;
        return verdict(1, "replay", &Vec::from_iter(ran.failure));
    }
    let seed = arguments.seed.unwrap_or_else(|| fastrand::u64(..) >> 16);
    let wanted = TESTS
        .into_iter()
        .filter(|name| name.contains(&arguments.test));
    let wanted: Vec<_> = wanted.collect();
    println!("1..{}", wanted.len());
    let mut fine = true;
    for (index, name) in wanted.into_iter().enumerate() {
        let wrong = match name == TESTS[0] {
            true => control(&ground, seed)?,
            false => fuzz(&ground, seed, arguments)?,
        };
        fine &= verdict(index + 1, name, &wrong)?;
    }
    Ok(fine)
}

/// Runs rounds until the calls or the time are over, or one fails; what is wrong with that.
fn fuzz(ground: &Ground, first: u64, arguments: &Arguments) -> io::Result<Vec<String>> {
    let start = Instant::now();
    let end = start.checked_add(arguments.duration);
    let over = |calls| {
        end.is_some_and(|end| Instant::now() > end)
            || arguments.calls.is_some_and(|wanted| calls >= wanted)
    };
    let (mut rounds, mut calls, mut noise) = (0, 0, 0);
    let mut failed = None;
    while failed.is_none() && !over(calls + noise) {
        let seed = first.wrapping_add(rounds);
        let racing = (seed % 2 == 1).then_some(seed);
        let ran = round::run(ground, Calls::Chance(seed, LENGTH, end), racing)?;
        rounds += 1;
        calls += ran.calls;
        noise += ran.noise;
        failed = ran.failure.map(|why| (seed, why, ran.list));
    }
    let seconds = start.elapsed().as_secs().max(1);
    println!(
        "# {rounds} rounds from --seed {first}: {calls} calls one by one and {noise} beside them in \
         {seconds} s, {} a second",
        (calls + noise) as u64 / seconds
    );
    let wrong = match failed {
        None => Vec::new(),
        Some((seed, why, list)) => {
            let head = format!("fails with --seed {seed}: {why}");
            // Now already: once more, the same calls may be the machine's end.
            println!("# {head}");
            io::stdout().flush()?;
            [vec![head], shortest(ground, list)?].concat()
        }
    };
    ground.restore()?;
    Ok(wrong)
}

/// Reports in KTAP.
fn verdict(number: usize, name: &str, wrong: &[String]) -> io::Result<bool> {
    for line in wrong {
        println!("# {name}: {line}");
    }
    let not = if wrong.is_empty() { "" } else { "not " };
    println!("{not}ok {number} {name}");
    io::stdout().flush()?;
    Ok(wrong.is_empty())
}

/// What there is on this machine.
fn ground(heap: bool) -> io::Result<Ground> {
    let source = match heap {
        true => Source::Heap,
        false => Source::Udmabuf {
            ours: Driver::under_test() == Driver::Rust,
        },
    };
    let edus = (0..).map_while(|number| Edu::open(number).ok());
    let bits: Vec<u8> = edus
        .map(|edu| edu.dma_bits().map(|bits| bits as u8))
        .collect::<rustix::io::Result<_>>()?;
    let limits = match heap {
        true => Vec::new(),
        false => ["list_limit", "size_limit_mb"]
            .into_iter()
            .map(|name| Ok((name, Driver::under_test().parameter(name).get()?)))
            .collect::<io::Result<_>>()?,
    };
    let mut setting = Setting {
        source,
        bits,
        grid: Grid {
            whole_lines: !machine::devices_snoop()?,
        },
        backings: Vec::new(),
    };
    for backing in [
        Backing::Base,
        Backing::Base,
        Backing::Huge,
        Backing::Transparent,
    ] {
        setting.backings.push(backing);
        if tools::memfd(backing, setting.pages(setting.backings.len() - 1))?.is_none() {
            setting.backings.pop();
        }
    }
    Ok(Ground { setting, limits })
}

/// A list of calls, as it is or from a file. What stands before a call in its line is left out.
fn read(list: &str) -> io::Result<Vec<Call>> {
    let text = match list.contains('{') {
        true => list.to_owned(),
        false => fs::read_to_string(list)
            .map_err(|error| io::Error::other(format!("{list}: {error}")))?,
    };
    let calls = text
        .lines()
        .filter_map(|line| Some(&line[line.find('{')?..]));
    let calls = calls.flat_map(|calls| serde_json::Deserializer::from_str(calls).into_iter());
    calls
        .map(|call| call.map_err(|error| io::Error::other(format!("not a list of calls: {error}"))))
        .collect()
}

/// What is left of a list that fails, as lines of a report.
fn shortest(ground: &Ground, list: Vec<Call>) -> io::Result<Vec<String>> {
    let fails = |list: &[Call]| -> io::Result<Option<String>> {
        Ok(round::run(ground, Calls::List(list), None)?.failure)
    };
    if fails(&list)?.is_none() {
        return Ok(vec![
            "its calls do not fail a second time, or not in silence".into(),
        ]);
    }
    let count = list.len();
    let deadline = Instant::now() + CUTTING;
    let list = cut::cut(list, deadline, |list| {
        matches!(fails(list), Ok(Some(_)) | Err(_))
    });
    let why = fails(&list)?.unwrap_or("not once more".into());
    let mut lines = vec![format!(
        "{} calls of {count} are enough, see --replay: {why}",
        list.len()
    )];
    lines.extend(list.iter().map(round::text));
    Ok(lines)
}

/// Has the program expect what nobody wrote, somewhere among calls by chance; what is wrong if that is not
/// found, and cut down to the lie and the look at it.
fn control(ground: &Ground, seed: u64) -> io::Result<Vec<String>> {
    let ran = round::run(ground, Calls::Chance(seed, CONTROL, None), None)?;
    if let Some(failure) = ran.failure {
        let mut wrong = vec![format!("--seed {seed} fails without a lie: {}", failure)];
        wrong.extend(shortest(ground, ran.list)?);
        return Ok(wrong);
    }
    let mut list = ran.list;
    let lie = Deed::Lie {
        memfd: 0,
        page: 0,
        cell: 3,
    };
    list.insert(
        CONTROL.min(list.len()),
        Call {
            process: 0,
            thread: 0,
            deed: lie.clone(),
        },
    );
    let lines = shortest(ground, list)?;
    for line in &lines {
        println!("# control of --seed {seed}: {line}");
    }
    let right =
        lines.len() == 3 && lines[1].contains("Lie") && lines[2].contains("\"write\":false");
    Ok(if right {
        Vec::new()
    } else {
        vec!["the lie and a look at it is not what was left".into()]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_a_list_of_calls() {
        let deeds = [Deed::Unload, Deed::Close { buffer: 3 }];
        let calls = deeds.map(|deed| Call {
            process: 1,
            thread: 0,
            deed,
        });
        let lines = calls.each_ref().map(round::text);
        let report = format!("# calls_by_chance: {}\n\n# {}\n", lines[0], lines[1]);
        for text in [lines.join(" "), lines.join("\n"), report] {
            assert_eq!(read(&text).unwrap(), calls, "{text}");
        }
        assert!(read("{\"process\":1").is_err() && read("/nonexistent").is_err());
    }
}
