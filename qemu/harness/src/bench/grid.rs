// SPDX-License-Identifier: GPL-2.0

//! What is to be drawn of buffers whose size and number of pieces were chosen: both drivers compared,
//! one grid for each machine and case.

use std::collections::BTreeSet;

use protocol::bench::{Case, Contender, Record};

use super::row::{self, Row};

/// A cell: what both drivers take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The size of the buffer.
    pub bytes: u64,
    /// Its pieces.
    pub pieces: u64,
    /// What Rust takes.
    pub rust: u64,
    /// What C takes.
    pub c: u64,
}

impl Cell {
    /// Rust compared with C.
    pub fn ratio(&self) -> f64 {
        self.rust as f64 / self.c as f64
    }
}

/// A grid.
pub struct Grid<'a> {
    machine: &'a str,
    case: Case,
    /// What is in it.
    pub cells: Vec<Cell>,
}

impl<'a> Grid<'a> {
    /// The grids of all records in which there is a cell.
    pub fn all(records: &'a [Record]) -> Vec<Grid<'a>> {
        let mut grids = Vec::new();
        for (machine, rows) in Row::by_machine(records) {
            for rows in rows.chunk_by(|one, next| one.key.case == next.key.case) {
                let cells: Vec<_> = rows.iter().filter_map(cell).collect();
                if !cells.is_empty() {
                    grids.push(Grid {
                        machine,
                        case: rows[0].key.case,
                        cells,
                    });
                }
            }
        }
        grids
    }

    /// Names its files.
    pub fn name(&self) -> String {
        format!("{}-{}-pieces", self.machine, self.case)
    }

    /// What it shows.
    pub fn title(&self) -> String {
        let case = row::case(self.case);
        format!(
            "{case}, {}: Rust/C, by size and contiguous pieces",
            self.machine
        )
    }

    /// The sizes that are there.
    pub fn sizes(&self) -> Vec<u64> {
        sorted(self.cells.iter().map(|cell| cell.bytes))
    }

    /// The numbers of pieces that are there.
    pub fn pieces(&self) -> Vec<u64> {
        sorted(self.cells.iter().map(|cell| cell.pieces))
    }
}

/// The cell of a row, if it is of the grid, and both drivers are in it.
fn cell(row: &Row<'_>) -> Option<Cell> {
    let of = |contender| row.value(contender).filter(|value| *value > 0);
    let key = row.key;
    (key.pieces > 0 && key.others == 0).then_some(Cell {
        bytes: key.bytes,
        pieces: key.pieces,
        rust: of(Contender::Rust)?,
        c: of(Contender::C)?,
    })
}

fn sorted(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    numbers.collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{pieces, sweep},
        *,
    };

    #[test]
    fn every_case_has_a_grid_of_what_both_did() {
        let mut records = pieces(Case::Create);
        records.extend(pieces(Case::Close));
        records.extend(sweep(Case::Vmap));
        let grids = Grid::all(&records);
        let names: Vec<_> = grids.iter().map(Grid::name).collect();
        let expected = ["x86_64-direct-create-pieces", "x86_64-direct-close-pieces"];
        assert_eq!(names, expected);
        assert_eq!(grids[0].cells.len(), 3);
        assert_eq!(grids[0].sizes(), [4096, 16384]);
        assert_eq!(grids[0].pieces(), [1, 4]);
        let last = grids[0].cells[2];
        assert_eq!((last.bytes, last.pieces, last.ratio()), (16384, 4, 1.3));
    }

    #[test]
    fn what_one_did_alone_or_beside_others_is_no_cell() {
        let mut records = pieces(Case::Create);
        records.retain(|record| record.contender == Contender::Rust);
        assert!(Grid::all(&records).is_empty());
        let mut records = pieces(Case::Create);
        records.iter_mut().for_each(|record| record.others = 100);
        assert!(Grid::all(&records).is_empty());
    }
}
