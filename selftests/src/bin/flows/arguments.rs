// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::Arg;
use lexopt::ValueExt;

/// For those who got it wrong.
pub const USAGE: &str = "usage: flows [--list] [--label NAME] [--heap] [--json | --ktap] [--seconds N] [--seed N] [FLOW...]";

/// The option for [`Arguments::end_access`].
pub const END_ACCESS: &str = "end-access";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    pub list: bool,
    pub json: bool,
    /// Reports as the other test programs do, in which every flow has to go well.
    pub ktap: bool,
    pub label: Option<String>,
    /// Buffers are the system heap's, and not a udmabuf driver's.
    pub heap: bool,
    /// Does nothing but end an access for reading and writing to the dma-buf on standard input: a
    /// process that has begun one and calls exec() goes on like this.
    pub end_access: bool,
    pub duration: Option<Duration>,
    pub seed: Option<u64>,
    /// None for all flows.
    pub flows: Vec<String>,
}

impl Arguments {
    /// Takes a command line apart, without the program's name; flows are those called `known`.
    pub fn parse(
        words: impl IntoIterator<Item = OsString>,
        known: &[&str],
    ) -> Result<Arguments, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let mut arguments = Arguments::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("list") => arguments.list = true,
                Arg::Long("json") => arguments.json = true,
                Arg::Long("ktap") => arguments.ktap = true,
                Arg::Long("heap") => arguments.heap = true,
                Arg::Long(END_ACCESS) => arguments.end_access = true,
                Arg::Long("label") => arguments.label = Some(parser.value()?.string()?),
                Arg::Long("seconds") => {
                    arguments.duration = Some(Duration::from_secs(parser.value()?.parse()?));
                }
                Arg::Long("seed") => arguments.seed = Some(parser.value()?.parse()?),
                Arg::Value(flow) => {
                    let flow = flow.string()?;
                    if !known.contains(&flow.as_str()) {
                        return Err(format!("there is no flow '{flow}', see --list").into());
                    }
                    arguments.flows.push(flow);
                }
                other => return Err(other.unexpected()),
            }
        }
        if arguments.json && arguments.ktap {
            return Err("--json or --ktap, not both".into());
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        Arguments::parse(line.split_whitespace().map(OsString::from), &["one", "two"])
            .map_err(|error| error.to_string())
    }

    #[test]
    fn options_and_flows_in_any_order() {
        let arguments = parse("two --seconds 7 --label c --json --heap one --seed=9").unwrap();
        assert_eq!(
            arguments,
            Arguments {
                list: false,
                json: true,
                ktap: false,
                label: Some("c".into()),
                heap: true,
                end_access: false,
                duration: Some(Duration::from_secs(7)),
                seed: Some(9),
                flows: vec!["two".into(), "one".into()],
            }
        );
        assert_eq!(parse("").unwrap(), Arguments::default());
        assert!(parse("--ktap").unwrap().ktap);
    }

    #[test]
    fn misspelt_is_one_line_that_names_it() {
        for (line, name) in [
            ("--jsn", "--jsn"),
            ("three", "three"),
            ("--label", "--label"),
            ("--seconds many", "many"),
            ("--json=yes", "yes"),
            ("--ktap --json", "--ktap"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(name), "{line}: {error}");
            assert_eq!(error.lines().count(), 1);
        }
    }
}
