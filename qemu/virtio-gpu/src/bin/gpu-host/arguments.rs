// SPDX-License-Identifier: GPL-2.0

//! The command line.

use std::{fmt, path::PathBuf, str::FromStr};

use anyhow::{Context, Result, bail};
use lexopt::{Arg, Parser, ValueExt};

/// What the inner guest's memory is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ram {
    /// A memfd of 4 KiB pages.
    Memfd,
    /// A memfd of 2 MiB pages from the reserved pool.
    Hugetlb,
}

impl fmt::Display for Ram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ram::Memfd => "memfd",
            Ram::Hugetlb => "hugetlb",
        })
    }
}

impl FromStr for Ram {
    type Err = anyhow::Error;

    fn from_str(name: &str) -> Result<Self> {
        match name {
            "memfd" => Ok(Ram::Memfd),
            "hugetlb" => Ok(Ram::Hugetlb),
            _ => bail!("unknown memory '{name}'"),
        }
    }
}

/// What was asked for.
#[derive(Debug)]
pub struct Arguments {
    /// QEMU, a path on the host.
    pub qemu: PathBuf,
    /// The inner guest's memory.
    pub ram: Ram,
    /// Leaves out the steps that take long.
    pub quick: bool,
    /// Runs only steps with one of these in their names, and those that every run needs.
    pub only: Vec<String>,
}

impl Arguments {
    /// Reads the command line.
    pub fn parse() -> Result<Self> {
        Self::from(Parser::from_env())
    }

    fn from(mut parser: Parser) -> Result<Self> {
        let mut qemu = None;
        let mut ram = Ram::Memfd;
        let mut quick = false;
        let mut only = Vec::new();
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("qemu") => qemu = Some(parser.value()?.into()),
                Arg::Long("ram") => ram = parser.value()?.parse()?,
                Arg::Long("quick") => quick = true,
                Arg::Value(part) => only.push(part.string()?),
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Arguments {
            qemu: qemu.context("no --qemu")?,
            ram,
            quick,
            only,
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
    fn what_is_asked_for_is_understood() {
        let all = parse(&["--qemu", "/q", "--ram", "hugetlb", "--quick", "flip"]).unwrap();
        assert_eq!((all.ram, all.quick), (Ram::Hugetlb, true));
        assert_eq!(all.only, ["flip"]);
        let least = parse(&["--qemu", "/q"]).unwrap();
        assert_eq!((least.ram, least.quick), (Ram::Memfd, false));
    }

    #[test]
    fn nonsense_is_refused() {
        for words in [&[][..], &["--qemu", "/q", "--ram", "tape"], &["--qemu"]] {
            assert!(parse(words).is_err(), "{words:?}");
        }
    }
}
