// SPDX-License-Identifier: GPL-2.0

//! The table, as a reader sees it: on a terminal, and as Markdown.

use std::fmt::Write;

use owo_colors::OwoColorize;

use super::{
    cause,
    cell::Cell,
    column::Column,
    cost,
    flows::Flow,
    plan::{C, Control, HEAP, RUST},
    verdict::{self, Proof},
};
use crate::versions::Versions;

/// The mark of a right cell that could not have been wrong.
const PROVES_NOTHING: char = '?';

/// The mark of a cell that was not asked for.
const NOT_RUN: char = ' ';

/// The mark of a cell that cannot be, for the heap has no memfd.
const NO_MEMFD: char = '·';

/// The drivers of a cell, from left to right.
pub const SIDE_BY_SIDE: [&str; 3] = [C, HEAP, RUST];

/// Their heading where there is little room.
const HEADING: &str = "C H R";

/// What the marks mean.
pub const LEGEND: &str = "✓ ok  ⊘ refused, as it should be  ✗ wrong data  ! a rule of the cache model broken  \
                          · cannot be asked of the heap  - not offered  ? proves nothing  E error  † missing";

/// Everything that the table shows.
pub struct Table<'a> {
    /// The rows.
    pub flows: &'a [Flow],
    /// The machines.
    pub columns: &'a [Column],
    /// The controls that the flows name.
    pub controls: &'a [Control],
    /// Whether the controls were run: else no cell can be said to prove nothing.
    pub controlled: bool,
}

/// A line of a list below the table.
struct Line {
    machine: &'static str,
    flow: String,
    what: String,
    why: Option<&'static str>,
}

impl Table<'_> {
    fn mark(&self, column: &Column, flow: &Flow, label: &str) -> char {
        let Some(cell) = column.cell(label, &flow.name) else {
            return match label == HEAP && !flow.heap {
                true => NO_MEMFD,
                false => NOT_RUN,
            };
        };
        if label == RUST
            && cell.is_right()
            && self.controlled
            && verdict::proof(column, flow, self.controls) == Proof::Nothing
        {
            return PROVES_NOTHING;
        }
        cell.mark()
    }

    /// The marks of a cell, from left to right.
    fn cell(&self, column: &Column, flow: &Flow, colour: bool) -> String {
        let marks = SIDE_BY_SIDE.map(|label| painted(self.mark(column, flow, label), colour));
        marks.join(" ")
    }

    /// The marks of one machine and driver, one per flow.
    pub fn marks(&self, column: &Column, label: &str, colour: bool) -> String {
        let marks = self.flows.iter().map(|flow| self.mark(column, flow, label));
        marks.map(|mark| painted(mark, colour)).collect()
    }

    /// How many cells of one machine and driver are what, such as "20 ok, 3 wrong data".
    pub fn tally(&self, column: &Column, label: &str) -> String {
        let mut tally: Vec<(&str, usize)> = Vec::new();
        for flow in self.flows {
            let Some(cell) = column.cell(label, &flow.name) else {
                continue;
            };
            match tally.iter_mut().find(|(name, _)| *name == cell.name()) {
                Some((_, count)) => *count += 1,
                None => tally.push((cell.name(), 1)),
            }
        }
        let words: Vec<_> = tally
            .iter()
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        words.join(", ")
    }

    /// The table for a terminal: a row per flow, and for each machine the drivers side by side.
    pub fn text(&self, colour: bool) -> String {
        let first = self.flows.iter().map(|flow| flow.name.len()).max();
        let first = first.unwrap_or_default().max("flow".len());
        let mut families = format!("{:first$}", "");
        let mut machines = format!("{:first$}", "flow");
        let mut drivers = format!("{:first$}", "");
        let mut previous = "";
        for column in self.columns {
            let (family, name) = column.names();
            let width = width(column);
            let family = if family == previous { "" } else { family };
            previous = column.names().0;
            let _ = write!(families, "  {family:width$}");
            let _ = write!(machines, "  {name:width$}");
            let _ = write!(drivers, "  {HEADING:width$}");
        }
        let mut text = String::new();
        for line in [families, machines, drivers] {
            text += line.trim_end();
            text.push('\n');
        }
        for flow in self.flows {
            let _ = write!(text, "{:first$}", flow.name);
            for column in self.columns {
                let rest = width(column) - HEADING.len();
                let cell = self.cell(column, flow, colour);
                let _ = write!(text, "  {cell}{:rest$}", "");
            }
            text.truncate(text.trim_end_matches(' ').len());
            text.push('\n');
        }
        let _ = writeln!(text, "{WHO}: {LEGEND}");
        text
    }

    /// The cells of a driver that are not right.
    fn amiss(&self, label: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        for column in self.columns {
            for flow in self.flows {
                let Some(cell) = column.cell(label, &flow.name) else {
                    continue;
                };
                // What others do not offer, the table says.
                let absent = label != RUST && matches!(cell, Cell::Absent { .. });
                if !cell.is_right() && !absent {
                    let why = cause::of(label, column.machine, &flow.name, cell);
                    lines.push(Line {
                        machine: column.machine.name(),
                        flow: flow.name.clone(),
                        what: cell.to_string(),
                        why,
                    });
                }
            }
        }
        lines
    }

    /// The lists below the table: title and cells.
    fn lists(&self) -> [(&'static str, Vec<Line>); 3] {
        [
            ("Where the C driver is not right", self.amiss(C)),
            ("Where the system heap is not right", self.amiss(HEAP)),
            ("Where udmabuf-rs is not right", self.amiss(RUST)),
        ]
    }

    /// The lists and totals below the table.
    pub fn details(&self) -> String {
        let mut text = String::new();
        let mut causes: Vec<&str> = Vec::new();
        for (title, lines) in self.lists() {
            if lines.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n{title}");
            for line in lines {
                let (machine, flow, what) = (line.machine, line.flow, line.what);
                let _ = write!(text, "  {machine:<18} {flow:<24} {what}");
                if let Some(cause) = line.why {
                    let known = causes.iter().position(|known| *known == cause);
                    let number = known.unwrap_or_else(|| {
                        causes.push(cause);
                        causes.len() - 1
                    });
                    let _ = write!(text, " [{}]", number + 1);
                }
                text.push('\n');
            }
        }
        for (number, cause) in causes.iter().enumerate() {
            let _ = writeln!(text, "  [{}] {cause}", number + 1);
        }
        let rows = self.cost_rows();
        if !rows.is_empty() {
            let _ = writeln!(text, "\n{COST_TITLE}");
            for row in rows {
                let [machine, device, mappings, access, ref calls @ ..] = row;
                let _ = write!(
                    text,
                    "  {machine:<18} {device:<7} {mappings:>8}  {access:<7}"
                );
                for call in calls {
                    let _ = write!(text, "  {call:<13}");
                }
                text.truncate(text.trim_end_matches(' ').len());
                text.push('\n');
            }
        }
        if self.controlled {
            let _ = writeln!(text, "\nControls");
            for column in self.columns {
                let _ = writeln!(
                    text,
                    "  {:<18} {}",
                    column.machine.name(),
                    self.proofs(column)
                );
            }
        }
        text
    }

    /// How many controls of a machine went red, in words.
    pub fn proofs(&self, column: &Column) -> String {
        match verdict::controls_red(column, self.flows, self.controls) {
            (0, 0) => "none needed: a missing sync cannot show here".into(),
            (red, all) => format!("{red} of {all} red"),
        }
    }

    /// The cost table with its heading: machine, device, mappings, access, and four calls.
    fn cost_rows(&self) -> Vec<[String; 8]> {
        let all: Vec<_> = self.columns.iter().flat_map(cost::rows).collect();
        let mut rows = Vec::new();
        for (first, last, row) in cost::merged(&all) {
            let calls = [row.c.begin, row.c.end, row.rust.begin, row.rust.end];
            let [c_begin, c_end, begin, end] = calls.map(|counts| cost::shown(counts.as_ref()));
            let device = format!("edu {}", row.device);
            let mappings = match first == last {
                true => first.to_string(),
                false => format!("{first} to {last}"),
            };
            rows.push([
                row.machine.into(),
                device,
                mappings,
                row.access.clone(),
                c_begin,
                c_end,
                begin,
                end,
            ]);
        }
        if !rows.is_empty() {
            rows.insert(0, COST_HEADING.map(String::from));
        }
        rows
    }

    /// The table and all that is below it, in Markdown.
    pub fn markdown(&self, versions: &Versions) -> String {
        let mut text =
            String::from("<!-- SPDX-License-Identifier: GPL-2.0 -->\n\n# The matrix\n\n");
        let _ = writeln!(text, "{versions}\n");
        let _ = writeln!(text, "In each cell, from left to right: {WHO}. {LEGEND}\n");
        let names = self.columns.iter().map(|column| column.machine.name());
        let head = ["flow"].into_iter().chain(names).map(String::from);
        push_row(&mut text, head);
        push_row(&mut text, (0..=self.columns.len()).map(|_| "---".into()));
        for flow in self.flows {
            let marks = self
                .columns
                .iter()
                .map(|column| self.cell(column, flow, false));
            push_row(
                &mut text,
                [format!("{}: {}", flow.name, flow.title)]
                    .into_iter()
                    .chain(marks),
            );
        }
        text += "\n## Machines\n\n";
        push_row(&mut text, ["machine", "what", "controls"].map(String::from));
        push_row(&mut text, ["---"; 3].map(String::from));
        for column in self.columns {
            let proofs = if self.controlled {
                self.proofs(column)
            } else {
                "not run".into()
            };
            let about = column.machine.about().to_owned();
            push_row(&mut text, [column.machine.name().into(), about, proofs]);
        }
        for (title, lines) in self.lists() {
            if lines.is_empty() {
                continue;
            }
            let _ = writeln!(text, "\n## {title}\n");
            push_row(
                &mut text,
                ["machine", "flow", "measured", "why"].map(String::from),
            );
            push_row(&mut text, ["---"; 4].map(String::from));
            for line in lines {
                let why = line.why.unwrap_or_default().to_owned();
                push_row(
                    &mut text,
                    [line.machine.to_owned(), line.flow, line.what, why],
                );
            }
        }
        let rows = self.cost_rows();
        if let Some((head, rows)) = rows.split_first() {
            let _ = writeln!(text, "\n## {COST_TITLE}\n");
            push_row(&mut text, head.iter().cloned());
            push_row(&mut text, head.iter().map(|_| "---".into()));
            for row in rows {
                push_row(&mut text, row.iter().cloned());
            }
        }
        text
    }
}

/// Who is who.
const WHO: &str = "C driver, system heap, udmabuf-rs";

/// The title of the cost table.
const COST_TITLE: &str = "Cache lines cleaned (c), invalidated (i) or both at once (ci) by a bracket, as the cache model counts";

/// Its columns.
const COST_HEADING: [&str; 8] = [
    "machine",
    "device",
    "mappings",
    "bracket",
    "C begin",
    "C end",
    "Rust begin",
    "Rust end",
];

/// How wide a machine's columns are.
fn width(column: &Column) -> usize {
    column.names().1.len().max(HEADING.len())
}

fn push_row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    for cell in cells {
        let cell = cell.replace('|', "\\|");
        let _ = write!(text, "| {cell} ");
    }
    text.push_str("|\n");
}

fn painted(mark: char, colour: bool) -> String {
    if !colour {
        return mark.to_string();
    }
    match mark {
        '✓' | '⊘' => mark.green().to_string(),
        '✗' | '!' => mark.red().to_string(),
        PROVES_NOTHING | 'E' | '†' => mark.magenta().bold().to_string(),
        _ => mark.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{
            cell::tests::{error, wrong},
            column::tests::column,
            model::Report,
            plan::{self, tests::flow},
        },
        *,
    };
    use crate::variant::Patch;

    fn columns() -> Vec<Column> {
        vec![
            column(
                "direct",
                &[
                    ("c", "to_device", Cell::Ok),
                    ("rust", "to_device", Cell::Ok),
                ],
            ),
            column(
                "swiotlb",
                &[
                    ("c", "to_device", wrong()),
                    ("rust", "to_device", Cell::Ok),
                    ("no-end", "to_device", wrong()),
                    ("c", "bounced", Cell::Ok),
                    ("rust", "bounced", Cell::Ok),
                    ("heap", "bounced", wrong()),
                    ("no-end", "bounced", Cell::Ok),
                ],
            ),
        ]
    }

    fn flows() -> Vec<Flow> {
        let bounced = Flow {
            heap: true,
            ..flow("bounced", &["no-end"])
        };
        vec![flow("to_device", &["no-end"]), bounced]
    }

    fn controls(flows: &[Flow]) -> Vec<Control> {
        plan::controls(flows, &[Patch::for_tests("no-end", "# control:\n--- a\n")]).unwrap()
    }

    #[test]
    fn all_drivers_are_side_by_side() {
        let (flows, columns) = (flows(), columns());
        let table = Table {
            flows: &flows,
            columns: &columns,
            controls: &controls(&flows),
            controlled: true,
        };
        let text = table.text(false);
        let expected = [
            "           x86_64",
            "flow       direct  swiotlb",
            "           C H R   C H R",
            "to_device  ✓ · ✓   ✗ · ✓",
            "bounced            ✓ ✗ ?",
            &format!("{WHO}: {LEGEND}"),
            "",
        ];
        let expected = expected.join("\n");
        assert_eq!(text, expected);
        assert!(table.text(true).contains("\u{1b}["));
        assert_eq!(table.marks(&columns[1], C, false), "✗✓");
        assert_eq!(table.tally(&columns[1], RUST), "2 ok");
    }

    #[test]
    fn what_is_not_right_is_listed_with_its_cause() {
        let flows = vec![flow("cpu_to_device", &[])];
        let cells = [
            ("c", "cpu_to_device", wrong()),
            ("heap", "cpu_to_device", Cell::Ok),
            ("rust", "cpu_to_device", error()),
        ];
        let columns = vec![column("swiotlb", &cells)];
        let table = Table {
            flows: &flows,
            columns: &columns,
            controls: &[],
            controlled: false,
        };
        for text in [table.details(), table.markdown(&Versions::for_tests())] {
            assert!(text.contains("first bad offset 0x0"), "{text}");
            assert!(text.contains("end_cpu_udmabuf()"), "{text}");
            assert!(text.contains("error: EBUSY"), "{text}");
            assert!(text.contains("udmabuf-rs is not right"), "{text}");
            assert!(!text.contains("heap is not right"), "{text}");
        }
        let text = table.markdown(&Versions::for_tests());
        assert!(
            text.contains("| cpu_to_device: the flow cpu_to_device | ✗ ✓ E |"),
            "{text}"
        );
        assert!(
            text.contains("2026-11-21") && text.contains("10.0.2"),
            "{text}"
        );
    }

    #[test]
    fn cost_is_shown_where_it_was_measured() {
        let mut columns = vec![column("noncoherent", &[])];
        columns[0].model = Some(Report::parse(
            "{\"type\":\"scope\",\"name\":\"c/cost/0/read/3/begin\",\"clean\":7}\n",
        ));
        let table = Table {
            flows: &[],
            columns: &columns,
            controls: &[],
            controlled: false,
        };
        for text in [table.details(), table.markdown(&Versions::for_tests())] {
            assert!(text.contains("7c") && text.contains("Rust begin"), "{text}");
        }
    }
}
