// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::ffi::OsString;
use std::time::Duration;

use lexopt::Arg;
use lexopt::ValueExt;

/// For those who got it wrong.
pub const USAGE: &str = "usage: pairs [--list] [--seconds N] [--seed N] [PART_OF_A_NAME...]";

/// What was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Arguments {
    pub list: bool,
    /// For all pairs together.
    pub duration: Option<Duration>,
    pub seed: Option<u64>,
    /// None for all pairs.
    pub parts: Vec<String>,
}

impl Arguments {
    /// Takes a command line apart, without the program's name.
    pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, lexopt::Error> {
        let mut parser = lexopt::Parser::from_args(words);
        let mut arguments = Arguments::default();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("list") => arguments.list = true,
                Arg::Long("seconds") => {
                    arguments.duration = Some(Duration::from_secs(parser.value()?.parse()?));
                }
                Arg::Long("seed") => arguments.seed = Some(parser.value()?.parse()?),
                Arg::Value(part) => arguments.parts.push(part.string()?),
                _ => return Err(argument.unexpected()),
            }
        }
        Ok(arguments)
    }

    /// Whether a pair of that name is to run.
    pub fn choose(&self, name: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|part| name.contains(part.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_parts_are_told_apart() {
        let arguments = Arguments::parse(["--seconds", "5", "seal", "--seed", "7"].map(Into::into));
        let arguments = arguments.unwrap();
        assert_eq!(arguments.duration, Some(Duration::from_secs(5)));
        assert_eq!(arguments.seed, Some(7));
        assert!(arguments.choose("create_and_seal") && !arguments.choose("create_and_close"));
        assert!(Arguments::default().choose("create_and_close"));
        assert!(Arguments::parse(["--seed".into(), "x".into()]).is_err());
    }
}
