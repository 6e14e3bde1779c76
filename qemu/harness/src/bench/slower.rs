// SPDX-License-Identifier: GPL-2.0

//! The rows in which the C driver is cheaper.

use std::fmt;

use protocol::bench::{Contender, Record};
use serde::Serialize;

use super::row::Row;
use crate::number;

/// What is more than noise: repetitions of the same are not as far apart, beyond 1.
const NOISE: f64 = 0.01;

/// What stands above the list.
pub const HEADING: &str = "Rows in which Rust is slower than C:";

/// What stands there instead of a row, if there is none.
const NONE: &str = "none";

/// A row in which Rust takes more than C.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Loss {
    machine: String,
    row: String,
    rust: u64,
    c: u64,
    ratio: f64,
}

/// All of them, the worst first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Slower {
    slower: Vec<Loss>,
}

impl Slower {
    /// Those among everything that was measured.
    pub fn new(records: &[Record]) -> Self {
        let mut slower = Vec::new();
        for (machine, rows) in Row::by_machine(records) {
            slower.extend(rows.iter().filter_map(|row| loss(machine, row)));
        }
        slower.sort_by(|one, other| other.ratio.total_cmp(&one.ratio));
        Slower { slower }
    }

    /// The list in Markdown.
    pub fn markdown(&self) -> String {
        let lines = self.lines().into_iter();
        let lines: String = lines.map(|line| format!("- {line}\n")).collect();
        format!("## {HEADING}\n\n{lines}")
    }

    fn lines(&self) -> Vec<String> {
        match self.slower.as_slice() {
            [] => vec![NONE.into()],
            losses => losses.iter().map(Loss::to_string).collect(),
        }
    }
}

/// A row as one of the list, if Rust takes more there by more than noise.
fn loss(machine: &str, row: &Row<'_>) -> Option<Loss> {
    let ratio = row.ratio(Contender::C)?;
    (ratio > 1.0 + NOISE).then_some(Loss {
        machine: machine.into(),
        row: row.key.to_string(),
        rust: row.value(Contender::Rust)?,
        c: row.value(Contender::C)?,
        ratio,
    })
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Loss {
            machine,
            row,
            rust,
            c,
            ..
        } = self;
        let ratio = number::ratio(*rust, *c).unwrap_or_default();
        let [rust, c] = [*rust, *c].map(number::count);
        write!(f, "{ratio}  {machine}: {row} ({rust} to {c})")
    }
}

/// The list for a terminal.
impl fmt::Display for Slower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{HEADING}")?;
        for line in self.lines() {
            writeln!(f, "  {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use protocol::bench::Case;

    use super::{super::tests::record, *};

    fn pair(bytes: u64, rust: u64, c: u64) -> [Record; 2] {
        [
            record(Case::Create, Contender::Rust, bytes, rust),
            record(Case::Create, Contender::C, bytes, c),
        ]
    }

    #[test]
    fn rows_are_listed_the_worst_first() {
        let records = [pair(4096, 1170, 1000), pair(8192, 3000, 1000)].concat();
        let text = Slower::new(&records).to_string();
        let expected = "Rows in which Rust is slower than C:
  3.00  x86_64-direct: create, 4k, 8 KiB (3,000 to 1,000)
  1.17  x86_64-direct: create, 4k, 4 KiB (1,170 to 1,000)
";
        assert_eq!(text, expected);
        let markdown = Slower::new(&records).markdown();
        assert!(markdown.starts_with("## Rows in which"), "{markdown}");
        assert!(markdown.contains("\n\n- 3.00  x86_64-direct: create"));
    }

    #[test]
    fn noise_is_not_slower_and_neither_is_what_c_did_not_do() {
        let mut records = [pair(4096, 1010, 1000), pair(8192, 900, 1000)].concat();
        records.push(record(Case::Close, Contender::Rust, 4096, 7));
        let slower = Slower::new(&records);
        assert_eq!(slower.to_string(), format!("{HEADING}\n  none\n"));
        assert_eq!(slower.markdown(), format!("## {HEADING}\n\n- none\n"));
        let records = pair(4096, 1011, 1000);
        assert_eq!(Slower::new(&records).slower.len(), 1);
    }

    #[test]
    fn programs_can_read_them() {
        let line = serde_json::to_value(Slower::new(&pair(4096, 3, 2))).unwrap();
        assert_eq!(line["slower"][0]["row"], "create, 4k, 4 KiB");
        assert_eq!(line["slower"][0]["ratio"], 1.5);
    }
}
