// SPDX-License-Identifier: GPL-2.0

//! The accesses that took most, as a table.

use std::cmp::Reverse;

use super::{
    bracket::{Bracket, Fault},
    call::Call,
    history::History,
    time,
};
use crate::number;

/// As many as fit on a screen with room to spare.
const SHOWN: usize = 10;

/// The columns; words begin at the left, numbers end at the right.
const HEADING: [&str; 8] = [
    "when",
    "who",
    "buffer",
    "access",
    "moved at begin",
    "µs",
    "moved at end",
    "µs",
];
const WORDS: [usize; 2] = [1, 3];

type Cells = [String; HEADING.len()];

/// A table of the costliest accesses; the costliest one is the first.
pub fn table(history: &History) -> String {
    let mut all = Vec::new();
    for buffer in &history.buffers {
        for lane in &buffer.lanes {
            let brackets = lane.brackets.iter();
            all.extend(brackets.map(|bracket| (bracket, buffer.ino, &lane.who)));
        }
    }
    if all.is_empty() {
        return "No access was begun or ended.\n".into();
    }
    all.sort_by_key(|(bracket, ..)| (Reverse(bracket.cost()), bracket.from));
    let shown = all.len().min(SHOWN);
    let mut lines = vec![HEADING.map(String::from)];
    lines.extend(all[..shown].iter().map(|(bracket, ino, who)| {
        let [begin, end] = [call(bracket.begin.as_ref()), call(bracket.end.as_ref())];
        let (begin_moved, begin_cost) = begin;
        let (end_moved, end_cost) = end;
        [
            time::since(history.begin, bracket.from),
            who.to_string(),
            ino.to_string(),
            access(bracket),
            begin_moved,
            begin_cost,
            end_moved,
            end_cost,
        ]
    }));
    let head = match shown {
        1 => "The only access".to_owned(),
        _ if shown == all.len() => format!("All {shown} accesses, the costliest first"),
        _ => format!(
            "The {shown} costliest of {} accesses",
            number::grouped(all.len() as u64)
        ),
    };
    format!("{head}\n{}", aligned(&lines))
}

fn access(bracket: &Bracket) -> String {
    match &bracket.fault {
        Some(Fault::Other(other)) => format!("{}, then {other}", bracket.access),
        _ => bracket.access.clone(),
    }
}

/// What a call moved and took; a line says so if there was no such call.
fn call(call: Option<&Call>) -> (String, String) {
    match call {
        None => ("missing".into(), "-".into()),
        Some(call) => {
            let moved = match call.moved {
                0 => "0".into(),
                moved => number::size(moved),
            };
            (moved, time::microseconds(call.cost()))
        }
    }
}

fn aligned(lines: &[Cells]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|cells| cells[column].chars().count());
        cells.max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..HEADING.len()).map(width).collect();
    let line = |cells: &Cells| {
        let cells = cells.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, &width))| match WORDS.contains(&column) {
            true => format!("  {cell:<width$}"),
            false => format!("  {cell:>width$}"),
        });
        format!("{}\n", cells.collect::<String>().trim_end())
    };
    lines.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::tests, *};

    #[test]
    fn a_reader_finds_everything_in_its_column() {
        let expected = "\
All 6 accesses, the costliest first
      when  who  buffer  access      moved at begin    µs  moved at end    µs
  0.180 ms  a-1       5  r, then rw               0  10.0             0  10.0
  0.080 ms  a-1       5  r                  missing     -             0  10.0
  0.380 ms  a-1       5  w                        0  10.0       missing     -
  0.430 ms  b-2       5  w                  missing     -             0  10.0
  0.580 ms  b-2       6  r                  missing     -             0  10.0
  0.680 ms  b-2       6  rw                       0  10.0       missing     -
";
        assert_eq!(table(&tests::wrong()), expected);
    }

    #[test]
    fn the_costliest_are_the_first() {
        let table = table(&tests::two_threads_and_two_devices());
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], "The 10 costliest of 19 accesses");
        assert_eq!(lines.len(), 2 + SHOWN);
        let words: Vec<_> = lines[2].split_whitespace().collect();
        let expected = [
            "0.760",
            "ms",
            "camera-61",
            "17",
            "r",
            "60",
            "KiB",
            "140",
            "0",
            "6.0",
        ];
        assert_eq!(words, expected, "{table}");
    }

    #[test]
    fn no_access_is_a_sentence() {
        let history = tests::history(&[("a-1", 10, "release: ino=5")]);
        assert_eq!(table(&history), "No access was begun or ended.\n");
    }
}
