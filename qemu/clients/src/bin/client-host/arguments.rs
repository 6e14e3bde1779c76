// SPDX-License-Identifier: GPL-2.0

//! The command line.

use anyhow::{Context, Result};
use lexopt::{Arg, Parser, ValueExt};

/// What was asked for.
#[derive(Debug)]
pub struct Arguments {
    /// Which client.
    pub client: String,
    /// Runs only steps with one of these in their names.
    pub only: Vec<String>,
}

impl Arguments {
    /// Reads the command line.
    pub fn parse() -> Result<Self> {
        Self::from(Parser::from_env())
    }

    fn from(mut parser: Parser) -> Result<Self> {
        let mut words = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(word) => words.push(word.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        let mut words = words.into_iter();
        Ok(Arguments {
            client: words.next().context("no client")?,
            only: words.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments> {
        Arguments::from(Parser::from_args(words))
    }

    #[test]
    fn a_client_comes_first() {
        let arguments = parse(&["lavapipe", "sizes", "control"]).unwrap();
        assert_eq!(arguments.client, "lavapipe");
        assert_eq!(arguments.only, ["sizes", "control"]);
        assert!(parse(&[]).is_err());
        assert!(parse(&["lavapipe", "--quick"]).is_err());
    }
}
