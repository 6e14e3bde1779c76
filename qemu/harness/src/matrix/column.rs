// SPDX-License-Identifier: GPL-2.0

//! All that came of one machine.

use std::{path::PathBuf, time::Duration};

use super::{cell::Cell, model};
use crate::{ktap::Test, machine::Machine};

/// The cells of one run of the program.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its label.
    pub label: String,
    /// Flows and what became of them, in order.
    pub cells: Vec<(String, Cell)>,
    /// How long it took.
    pub time: Duration,
}

/// All that came of one machine.
#[derive(Clone)]
pub struct Column {
    /// The machine.
    pub machine: &'static dyn Machine,
    /// The kernel's release, if it came up.
    pub kernel: Option<String>,
    /// The runs, in order.
    pub runs: Vec<Ran>,
    /// What the cache model said, if there was one.
    pub model: Option<model::Report>,
    /// Tests about the boot itself.
    pub health: Vec<Test>,
    /// What a reader should know and is no failure.
    pub notes: Vec<String>,
    /// The kernel log.
    pub log: PathBuf,
    /// How long it took.
    pub time: Duration,
}

impl Column {
    /// What became of a flow, if it was run with that label.
    pub fn cell(&self, label: &str, flow: &str) -> Option<&Cell> {
        let runs = self.runs.iter().filter(|run| run.label == label);
        let mut cells = runs.flat_map(|run| &run.cells);
        cells.find(|(name, _)| name == flow).map(|(_, cell)| cell)
    }

    /// The machine's name without its architecture, which comes first.
    pub fn names(&self) -> (&'static str, &'static str) {
        let name = self.machine.name();
        name.split_once('-').unwrap_or(("", name))
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::machine;

    /// A column of this machine with these cells: label, flow, cell.
    pub fn column(machine: &str, cells: &[(&str, &str, Cell)]) -> Column {
        let run = |(label, flow, cell): &(&str, &str, Cell)| Ran {
            label: (*label).to_owned(),
            cells: vec![((*flow).to_owned(), cell.clone())],
            time: Duration::ZERO,
        };
        Column {
            machine: machine::find(machine).unwrap(),
            kernel: Some("7.3.4".into()),
            runs: cells.iter().map(run).collect(),
            model: None,
            health: Vec::new(),
            notes: Vec::new(),
            log: "/nonexistent/log".into(),
            time: Duration::from_secs(1),
        }
    }

    #[test]
    fn cells_are_found_by_label_and_flow() {
        let column = column("direct", &[("rust", "a", Cell::Ok), ("c", "b", Cell::Ok)]);
        assert!(column.cell("rust", "a").is_some() && column.cell("c", "b").is_some());
        assert!(column.cell("rust", "b").is_none() && column.cell("c", "a").is_none());
        assert_eq!(column.names(), ("x86_64", "direct"));
    }
}
