// SPDX-License-Identifier: GPL-2.0

//! What is to be measured.

use lexopt::prelude::*;
use protocol::bench::Case;

/// How to say it.
pub const USAGE: &str =
    "bench all|map|sync|shadow [--case CASE]... [--only TEXT] [--quick] [--symbols]";

/// Which cases a machine is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Every case.
    All,
    /// Mapping for a device, where that is different from other machines.
    Map,
    /// Brackets, where these are different.
    Sync,
    /// Mapping and brackets, where devices work on copies.
    Shadow,
}

/// The command line.
#[derive(Debug)]
pub struct Arguments {
    pub part: Part,
    /// Only these; all of the part if there are none.
    pub cases: Vec<Case>,
    /// Only what has this in its name: contender/case/pages/items/bytes/attachments, with
    /// [`protocol::bench::circumstances`] before the case.
    pub only: String,
    /// Small buffers only.
    pub quick: bool,
    /// Says where the functions of modules are.
    pub symbols: bool,
}

impl Arguments {
    pub fn parse() -> Result<Arguments, lexopt::Error> {
        Arguments::from_parser(lexopt::Parser::from_env())
    }

    fn from_parser(mut parser: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
        let mut part = None;
        let mut cases = Vec::new();
        let mut only = String::new();
        let mut quick = false;
        let mut symbols = false;
        while let Some(argument) = parser.next()? {
            match argument {
                Long("case") => cases.push(case(&parser.value()?.string()?)?),
                Long("only") => only = parser.value()?.string()?,
                Long("quick") => quick = true,
                Long("symbols") => symbols = true,
                Value(word) if part.is_none() => {
                    part = Some(match word.to_str() {
                        Some("all") => Part::All,
                        Some("map") => Part::Map,
                        Some("sync") => Part::Sync,
                        Some("shadow") => Part::Shadow,
                        _ => return Err(format!("no part {word:?}").into()),
                    });
                }
                other => return Err(other.unexpected()),
            }
        }
        Ok(Arguments {
            part: part.ok_or("which part?")?,
            cases,
            only,
            quick,
            symbols,
        })
    }

    /// Whether a case is to be measured.
    pub fn wants(&self, case: Case) -> bool {
        let part = match self.part {
            Part::All => true,
            Part::Map => case == Case::MapUnmap,
            Part::Sync => matches!(
                case,
                Case::BeginEnd | Case::BeginEndPage | Case::PageTouched | Case::Checked
            ),
            Part::Shadow => {
                matches!(
                    case,
                    Case::BeginEnd | Case::BeginEndPage | Case::PageTouched | Case::MapUnmap
                )
            }
        };
        part && (self.cases.is_empty() || self.cases.contains(&case))
    }
}

fn case(name: &str) -> Result<Case, lexopt::Error> {
    let quoted = format!("\"{name}\"");
    serde_json::from_str(&quoted).map_err(|_| format!("no case '{name}'").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, lexopt::Error> {
        Arguments::from_parser(lexopt::Parser::from_args(words))
    }

    #[test]
    fn a_part_and_its_cases() {
        let all = parse(&["all"]).unwrap();
        assert!(all.wants(Case::Create) && all.wants(Case::BeginEnd) && !all.quick);
        let map = parse(&["--quick", "map"]).unwrap();
        assert!(map.wants(Case::MapUnmap) && !map.wants(Case::Create) && map.quick);
        let shadow = parse(&["shadow"]).unwrap();
        assert!(shadow.wants(Case::MapUnmap) && !shadow.wants(Case::Create));
        let one = parse(&["all", "--case", "every_page"]).unwrap();
        assert!(one.wants(Case::EveryPage) && !one.wants(Case::Create));
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in [
            &[][..],
            &["some"],
            &["all", "map"],
            &["all", "--case", "x"],
            &["--loud"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
