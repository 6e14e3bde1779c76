// SPDX-License-Identifier: GPL-2.0

//! The table, as a reader sees it: on a terminal, and as Markdown.

use owo_colors::OwoColorize;
use protocol::bench::{Case, Contender, Record};

use super::row::{self, Row};
use crate::{number, versions::Versions};

/// What the columns are.
const HEADING: [&str; 20] = [
    "case",
    "pages",
    "items",
    "size",
    "pieces",
    "attached",
    "others",
    "threads",
    "rust",
    "c",
    "heap",
    "rust/c",
    "rust/floor",
    "spread",
    "rust waits",
    "c waits",
    "rust ops",
    "per line",
    "c ops",
    "per line",
];

/// The columns with words in them, which begin at the left.
const WORDS: [usize; 3] = [0, 1, 5];

/// The column whose cells may be coloured.
const RATIO: usize = 11;

/// What was not measured.
const NOTHING: &str = "-";

/// Where a ratio is worth a colour.
const CHEAPER: f64 = 0.95;
const DEARER: f64 = 1.05;

/// What the columns mean.
pub const LEGEND: &str = "Instructions, medians; memory in bytes. rust is udmabuf-rs, c the driver in the kernel tree, \
                          heap the system dma-buf heap, floor the least that the kernel permits. \
                          spread: (max - min) / median where it is above 1 %. \
                          pieces: contiguous ones. others: how many more buffers of the same driver are mapped for a device meanwhile, or are closed. \
                          waits: how often one of the threads slept in 512 rounds of making, mapping, unmapping and closing. \
                          ops: cache maintenance operations by the cache model, and for each line of 64 bytes.";

/// The texts of a row.
struct Line {
    cells: [String; HEADING.len()],
    ratio: Option<f64>,
    case: Case,
}

/// The table.
pub struct Table<'a> {
    machines: Vec<(&'a str, Vec<Line>)>,
}

impl<'a> Table<'a> {
    /// A table of everything that was measured.
    pub fn new(records: &'a [Record]) -> Self {
        let machines = Row::by_machine(records).into_iter();
        let lines = |rows: Vec<Row<'_>>| rows.iter().map(line).collect();
        Table {
            machines: machines.map(|(name, rows)| (name, lines(rows))).collect(),
        }
    }

    /// The table for a terminal.
    pub fn text(&self, colour: bool) -> String {
        let all: Vec<&Line> = self.machines.iter().flat_map(|(_, lines)| lines).collect();
        let columns = used(&all);
        let width = |column: &usize| {
            let cells = all.iter().map(|line| line.cells[*column].chars().count());
            cells.max().unwrap_or(0).max(HEADING[*column].len())
        };
        let columns: Vec<_> = columns
            .iter()
            .map(|column| (*column, width(column)))
            .collect();
        let heading = HEADING.map(String::from);
        let mut text = format!("{}\n", joined(&heading, &columns, |_, cell| cell));
        for (machine, lines) in &self.machines {
            let machine = paint(colour, machine, |text| text.bold().to_string());
            text += &format!("\n{machine}\n");
            let mut previous = None;
            for line in lines {
                let mut cells = line.cells.clone();
                if previous == Some(line.case) {
                    cells[0].clear();
                }
                previous = Some(line.case);
                text += &joined(&cells, &columns, |column, cell| match line.ratio {
                    Some(..CHEAPER) if column == RATIO => {
                        paint(colour, &cell, |text| text.green().to_string())
                    }
                    Some(DEARER..) if column == RATIO => {
                        paint(colour, &cell, |text| text.yellow().to_string())
                    }
                    _ if cell.trim() == NOTHING => {
                        paint(colour, &cell, |text| text.dimmed().to_string())
                    }
                    _ => cell,
                });
                text.push('\n');
            }
        }
        text
    }

    /// The table in Markdown, one for each machine.
    pub fn markdown(&self, versions: &Versions) -> String {
        let mut text = format!(
            "<!-- SPDX-License-Identifier: GPL-2.0 -->\n\n# The benchmark\n\n{versions}\n\n{LEGEND}\n"
        );
        for (machine, lines) in &self.machines {
            text += &format!("\n## {machine}\n\n");
            let columns = used(&lines.iter().collect::<Vec<_>>());
            let rule = |column: &usize| match WORDS.contains(column) {
                true => "---",
                false => "---:",
            };
            push(&mut text, columns.iter().map(|column| HEADING[*column]));
            push(&mut text, columns.iter().map(rule));
            for line in lines {
                push(
                    &mut text,
                    columns.iter().map(|column| line.cells[*column].as_str()),
                );
            }
        }
        text
    }
}

fn line(row: &Row<'_>) -> Line {
    use Contender::{C, Floor, Heap, Rust};
    let key = row.key;
    let value = |contender| row.value(contender).map(number::count);
    let or_nothing = |text: Option<String>| text.unwrap_or_else(|| NOTHING.into());
    let [rust, c, heap] = [Rust, C, Heap].map(|contender| or_nothing(value(contender)));
    let [of_c, of_floor] = [C, Floor].map(|other| or_nothing(row.ratio_text(other)));
    let spread = row.spread().map(|spread| format!("{spread:.0} %"));
    // A machine without a model has nothing here, not even that it was not measured.
    let modelled = [Rust, C]
        .into_iter()
        .any(|of| row.maintenance(of).is_some());
    let [(ops, per_line), (c_ops, c_per_line)] = [Rust, C].map(|of| match row.maintenance(of) {
        Some((operations, per_line)) => (number::count(operations), format!("{per_line:.2}")),
        None if modelled => (NOTHING.into(), NOTHING.into()),
        None => Default::default(),
    });
    let waits = |of| row.waits(of).map(number::count).unwrap_or_default();
    Line {
        cells: [
            row::case(key.case),
            row::pages(key.pages).into(),
            number::grouped(key.items.into()),
            number::size(key.bytes),
            row.pieces().map(number::grouped).unwrap_or_default(),
            key.attached(),
            some(key.others),
            some(key.threads),
            rust,
            c,
            heap,
            of_c,
            of_floor,
            spread.unwrap_or_default(),
            waits(Rust),
            waits(C),
            ops,
            per_line,
            c_ops,
            c_per_line,
        ],
        ratio: row.ratio(C),
        case: key.case,
    }
}

/// How many there are; nothing of none.
fn some(count: u32) -> String {
    match count {
        0 => String::new(),
        _ => number::grouped(count.into()),
    }
}

/// The columns that say something in one of the lines.
fn used(lines: &[&Line]) -> Vec<usize> {
    let says = |column: &usize| lines.iter().any(|line| !line.cells[*column].is_empty());
    (0..HEADING.len()).filter(says).collect()
}

/// A line of the text; `paint` gets the cells with the spaces that align them.
fn joined(
    cells: &[String],
    columns: &[(usize, usize)],
    paint: impl Fn(usize, String) -> String,
) -> String {
    let mut text = String::new();
    for &(column, width) in columns {
        let cell = &cells[column];
        let cell = match WORDS.contains(&column) {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        };
        text += "  ";
        text += &paint(column, cell);
    }
    text.truncate(text.trim_end().len());
    text
}

fn paint(colour: bool, text: &str, with: impl Fn(&str) -> String) -> String {
    if colour { with(text) } else { text.to_owned() }
}

fn push<'a>(text: &mut String, cells: impl Iterator<Item = &'a str>) {
    let cells: Vec<_> = cells.collect();
    *text += &format!("| {} |\n", cells.join(" | "));
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{record, sweep},
        *,
    };

    fn records() -> Vec<Record> {
        let mut records = vec![
            record(Case::Create, Contender::Rust, 1 << 30, 277_000),
            record(Case::Create, Contender::C, 1 << 30, 14_404_000),
            record(Case::Create, Contender::Floor, 1 << 30, 247_300),
            record(Case::Create, Contender::Rust, 4096, 3700),
            record(Case::Memory, Contender::C, 4096, 0),
        ];
        records[4].memory = Some(8192);
        records
    }

    #[test]
    fn a_reader_finds_everything_in_its_column() {
        let records = records();
        let text = Table::new(&records).text(false);
        let expected = "  case    pages  items   size     rust       c  heap  rust/c  rust/floor

x86_64-direct
  create  4k         1  4 KiB    3,700       -     -       -           -
          4k         1  1 GiB  277,000  14.4 M     -    1/52        1.12
  memory  4k         1  4 KiB        -   8,192     -       -           -
";
        assert_eq!(text, expected);
    }

    #[test]
    fn colours_do_not_move_anything() {
        let records = records();
        let table = Table::new(&records);
        let coloured = table.text(true);
        assert!(coloured.contains("\x1b[32m  1/52\x1b[39m"), "{coloured}");
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once("\x1b[") {
            plain += before;
            rest = after.split_once('m').unwrap().1;
        }
        assert_eq!(plain + rest, table.text(false));
    }

    #[test]
    fn maintenance_has_columns_where_there_is_a_model() {
        let mut records = vec![
            record(Case::BeginEnd, Contender::Rust, 1 << 20, 9),
            record(Case::BeginEnd, Contender::C, 1 << 20, 9),
        ];
        for record in &mut records {
            record.attachments = 8;
            record.coherent = false;
        }
        records[0].maintenance = Some(16 << 10);
        records[1].maintenance = Some(128 << 10);
        let text = Table::new(&records).text(false);
        assert!(text.contains("attached") && text.contains("8 noncoherent"));
        assert!(
            text.contains(" 16,384      1.00  131,072      8.00\n"),
            "{text}"
        );
        let without = sweep(Case::Create);
        assert!(!Table::new(&without).text(false).contains("ops"));
    }

    #[test]
    fn pieces_are_those_that_were_counted() {
        let mut records = records();
        assert!(!Table::new(&records).text(false).contains("pieces"));
        records[0].pieces = 13_094;
        let text = Table::new(&records).text(false);
        assert!(
            text.contains("size  pieces") && text.contains("1 GiB  13,094"),
            "{text}"
        );
    }

    #[test]
    fn threads_and_their_waits_have_columns_where_there_are_some() {
        let mut records = records();
        let text = Table::new(&records).text(false);
        assert!(!text.contains("threads") && !text.contains("waits"));
        records[0].threads = 64;
        records[0].waits = Some(17);
        let text = Table::new(&records).text(false);
        assert!(text.contains("threads") && text.contains("rust waits"));
        let waits = |line: &str| line.contains(" 64 ") && line.ends_with(" 17");
        assert!(text.lines().any(waits), "{text}");
    }

    #[test]
    fn others_have_a_column_where_there_are_some() {
        let mut records = records();
        assert!(!Table::new(&records).text(false).contains("others"));
        records[0].others = 10_000;
        let text = Table::new(&records).text(false);
        assert!(text.contains("others") && text.contains("10,000"), "{text}");
    }

    #[test]
    fn a_spread_is_named() {
        let mut records = records();
        records[0].instructions = vec![277_000, 270_000, 290_000];
        assert!(Table::new(&records).text(false).contains("1.12     7 %\n"));
    }

    #[test]
    fn markdown_has_a_table_for_each_machine() {
        let mut records = records();
        records[4].machine = "arm64-coherent".into();
        let markdown = Table::new(&records).markdown(&Versions::for_tests());
        for expected in [
            "## x86_64-direct\n\n| case | pages | items |",
            "| create | 4k | 1 | 1 GiB | 277,000 | 14.4 M | - | 1/52 | 1.12 |\n",
            "## arm64-coherent\n",
            "| --- | --- | ---: |",
            "Linux 7.0",
        ] {
            assert!(markdown.contains(expected), "{expected} in {markdown}");
        }
    }
}
