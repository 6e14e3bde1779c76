// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::Arg;
use lexopt::ValueExt;

/// For those who got it wrong.
pub const USAGE: &str = "usage: fuzz [--seed N] [--calls N] [--seconds N] [--heap] [TEST] | fuzz [--heap] --replay FILE|CALLS";

/// What the program has to report, by name.
pub const TESTS: [&str; 2] = ["a_lie_is_found_and_cut_down", "calls_by_chance"];

/// How long the program runs unless it is told otherwise.
const USUAL: Duration = Duration::from_secs(60);

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub struct Arguments {
    /// That of the first round; every further one has the next.
    pub seed: Option<u64>,
    /// At least so many calls, unless the time is over before.
    pub calls: Option<usize>,
    pub duration: Duration,
    /// Buffers are the system heap's, and not a udmabuf driver's.
    pub heap: bool,
    /// A list of calls, as a report has it, or a file with one.
    pub replay: Option<String>,
    /// A part of the name of the test that is wanted; of both otherwise.
    pub test: String,
}

impl Arguments {
    /// Takes a command line apart, without the program's name.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let mut arguments = Arguments {
            seed: None,
            calls: None,
            duration: USUAL,
            heap: false,
            replay: None,
            test: String::new(),
        };
        let mut duration = None;
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("seed") => arguments.seed = Some(parser.value()?.parse()?),
                Arg::Long("calls") => arguments.calls = Some(parser.value()?.parse()?),
                Arg::Long("seconds") => {
                    duration = Some(Duration::from_secs(parser.value()?.parse()?));
                }
                Arg::Long("heap") => arguments.heap = true,
                Arg::Long("replay") => arguments.replay = Some(parser.value()?.string()?),
                Arg::Value(test)
                    if TESTS
                        .iter()
                        .any(|name| name.contains(&*test.to_string_lossy())) =>
                {
                    arguments.test = test.string()?;
                }
                other => return Err(other.unexpected()),
            }
        }
        arguments.duration = match (duration, arguments.calls) {
            (Some(duration), _) => duration,
            (None, Some(_)) => Duration::MAX,
            (None, None) => USUAL,
        };
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(OsString::from))
            .map_err(|error| error.to_string())
    }

    #[test]
    fn time_is_bounded_unless_calls_are() {
        assert_eq!(parse("").unwrap().duration, USUAL);
        assert_eq!(parse("--calls 5").unwrap().duration, Duration::MAX);
        let both = parse("--calls 5 --seconds=7 --seed 9 --heap").unwrap();
        assert_eq!(
            (both.calls, both.duration),
            (Some(5), Duration::from_secs(7))
        );
        assert_eq!((both.seed, both.heap), (Some(9), true));
        assert_eq!(parse("chance").unwrap().test, "chance");
    }

    #[test]
    fn misspelt_is_one_line_that_names_it() {
        for (line, name) in [
            ("--sed", "--sed"),
            ("five", "five"),
            ("--calls many", "many"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(name), "{line}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}
