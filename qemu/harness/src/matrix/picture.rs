// SPDX-License-Identifier: GPL-2.0

//! The matrix as one picture: a band for each driver, a row for each machine, a column for each flow.
//!
//! It is drawn from the Markdown that lies beside it, so that whoever has the one can check the other.

use anyhow::{Context, Result, ensure};
use plotters::{
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Rectangle, Text},
    prelude::SVGBackend,
    style::{
        Color, FontStyle, FontTransform, IntoFont, IntoTextStyle, RGBColor, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::table::SIDE_BY_SIDE;

/// The file says its licence, since it may become a part of a source tree.
const LICENCE: &str = "<!-- SPDX-License-Identifier: GPL-2.0 -->\n";

const FONT: &str = "sans-serif";
const TEXT: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT: RGBColor = RGBColor(0x77, 0x77, 0x77);

/// Sizes: of a cell with the gap around it, of what is left of the cells, and of what is above and below.
const CELL: i32 = 17;
const GAP: i32 = 1;
const LEFT: i32 = 156;
const RIGHT: i32 = 16;
const NAMES: i32 = 126;
const BAND: i32 = 26;
const LEGEND: i32 = 62;
/// The least that the legend needs.
const LEAST_WIDTH: i32 = 900;

/// What each mark means, with the colour of its cell and whether the mark stands in it.
const MARKS: [(char, &str, RGBColor, bool); 8] = [
    ('✓', "right", RGBColor(0x2f, 0x9e, 0x5b), false),
    (
        '⊘',
        "refused, as it should be",
        RGBColor(0x8f, 0xd1, 0xa8),
        true,
    ),
    ('✗', "wrong data", RGBColor(0xc9, 0x2a, 0x2a), true),
    (
        '!',
        "a rule of the cache model broken",
        RGBColor(0xe8, 0x59, 0x0c),
        true,
    ),
    ('E', "error", RGBColor(0x7a, 0x1f, 0x5c), true),
    ('?', "proves nothing", RGBColor(0x5f, 0x3d, 0xc4), true),
    ('†', "missing", RGBColor(0x22, 0x22, 0x22), true),
    // Also what the heap cannot be asked, and what was not run.
    (
        '-',
        "not offered, or not to be asked",
        RGBColor(0xe9, 0xec, 0xef),
        false,
    ),
];

/// The table of the Markdown.
struct Table<'a> {
    /// When and with what it was measured.
    versions: &'a str,
    machines: Vec<&'a str>,
    flows: Vec<Flow<'a>>,
}

struct Flow<'a> {
    name: &'a str,
    /// For each machine the marks of the drivers.
    cells: Vec<Vec<char>>,
}

impl<'a> Table<'a> {
    fn read(markdown: &'a str) -> Result<Self> {
        let mut lines = markdown.lines();
        let versions = lines.find(|line| line.starts_with("Measured on "));
        let head = lines.find_map(|line| line.strip_prefix("| flow | "));
        let head = head.context("no table of flows")?;
        let machines: Vec<_> = columns(head).collect();
        let mut flows = Vec::new();
        for line in lines.skip(1).map_while(|line| line.strip_prefix("| ")) {
            let mut columns = columns(line);
            let name = columns.next().unwrap_or_default();
            let name = name.split(':').next().unwrap_or_default();
            // A mark, a space, a mark; a mark may be a space as well.
            let cells: Vec<Vec<char>> = columns
                .map(|cell| cell.chars().step_by(2).collect())
                .collect();
            let whole = |marks: &Vec<char>| marks.len() == SIDE_BY_SIDE.len();
            ensure!(
                cells.len() == machines.len() && cells.iter().all(whole),
                "not a mark for each machine and driver: {line}"
            );
            flows.push(Flow { name, cells });
        }
        Ok(Table {
            versions: versions.unwrap_or_default(),
            machines,
            flows,
        })
    }
}

/// What is between the bars of a row; a bar in a text has no spaces around it.
fn columns(row: &str) -> impl Iterator<Item = &str> {
    let row = row.strip_suffix(" |").unwrap_or(row);
    row.split(" | ")
}

/// Draws the table of such Markdown as [`super::table::Table::markdown`] makes.
pub fn svg(markdown: &str) -> Result<String> {
    let table = Table::read(markdown)?;
    let mut text = String::new();
    draw(&table, &mut text).context("cannot draw the matrix")?;
    Ok(format!("{LICENCE}{text}\n"))
}

/// Some paper.
type Paper<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn draw(table: &Table<'_>, text: &mut String) -> Result<()> {
    let band = BAND + CELL * table.machines.len() as i32;
    let cells = CELL * table.flows.len() as i32;
    let width = (LEFT + cells + RIGHT).max(LEAST_WIDTH);
    let height = NAMES + band * SIDE_BY_SIDE.len() as i32 + LEGEND;
    let paper = SVGBackend::with_string(text, (width as u32, height as u32)).into_drawing_area();
    paper.fill(&WHITE)?;
    for (number, flow) in table.flows.iter().enumerate() {
        let x = LEFT + CELL * number as i32 + CELL / 2;
        upright(&paper, (x, NAMES + BAND - 8), flow.name)?;
    }
    for (driver, label) in SIDE_BY_SIDE.iter().enumerate() {
        let top = NAMES + band * driver as i32 + BAND;
        write(&paper, (10, top - 12), 15, TEXT, name(label), true)?;
        for (number, machine) in table.machines.iter().enumerate() {
            let y = top + CELL * number as i32;
            write(&paper, (22, y + CELL / 2), 12, TEXT, machine, false)?;
            for (flow, x) in table.flows.iter().zip((LEFT..).step_by(CELL as usize)) {
                cell(&paper, (x, y), flow.cells[number][driver])?;
            }
        }
    }
    legend(table, &paper, height - LEGEND + 16)?;
    paper.present()?;
    Ok(())
}

/// What a driver is called.
fn name(label: &str) -> &str {
    match label {
        super::plan::C => "C driver",
        super::plan::HEAP => "system heap",
        super::plan::RUST => "udmabuf-rs",
        other => other,
    }
}

fn cell(paper: &Paper<'_>, (x, y): (i32, i32), mark: char) -> Result<()> {
    let known = MARKS.iter().find(|(known, ..)| *known == mark);
    let (.., colour, shown) = known.unwrap_or(&MARKS[MARKS.len() - 1]);
    let square = [(x + GAP, y + GAP), (x + CELL - GAP, y + CELL - GAP)];
    paper.draw(&Rectangle::new(square, colour.filled()))?;
    if *shown {
        let style = (FONT, 11).into_font().into_text_style(paper).color(&WHITE);
        let style = style.pos(Pos::new(HPos::Center, VPos::Center));
        let middle = (x + CELL / 2, y + CELL / 2);
        paper.draw(&Text::new(mark.to_string(), middle, style))?;
    }
    Ok(())
}

fn legend(table: &Table<'_>, paper: &Paper<'_>, y: i32) -> Result<()> {
    let mut x = 10;
    for (mark, meaning, ..) in MARKS {
        cell(paper, (x, y), mark)?;
        write(
            paper,
            (x + CELL + 5, y + CELL / 2),
            11,
            TEXT,
            meaning,
            false,
        )?;
        x += CELL + 22 + 6 * meaning.chars().count() as i32;
    }
    let below = (10, y + CELL + 15);
    write(
        paper,
        below,
        11,
        FAINT,
        &table.versions.replace('`', ""),
        false,
    )
}

/// A text from its left end on, around a height.
fn write(
    paper: &Paper<'_>,
    at: (i32, i32),
    size: i32,
    colour: RGBColor,
    text: &str,
    bold: bool,
) -> Result<()> {
    let font = (FONT, size).into_font();
    let font = if bold {
        font.style(FontStyle::Bold)
    } else {
        font
    };
    let style = font.into_text_style(paper).color(&colour);
    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
    paper.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

/// A text that goes up from a place.
fn upright(paper: &Paper<'_>, at: (i32, i32), text: &str) -> Result<()> {
    let font = (FONT, 12).into_font().transform(FontTransform::Rotate270);
    let style = font.into_text_style(paper).color(&TEXT);
    let style = style.pos(Pos::new(HPos::Left, VPos::Center));
    paper.draw(&Text::new(text.to_owned(), at, style))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "\
# The matrix

Measured on 2026-11-21 with Linux 7.3.4 and QEMU 10.0.2, by `make matrix`.

| flow | direct | swiotlb |
| --- | --- | --- |
| one: the flow\\|one | ✓ · ✓ | ✗ · ⊘ |
| two: the flow two |   · ✓ | ! E ✓ |

## Machines

| machine | what |
";

    #[test]
    fn every_cell_is_a_square_of_its_colour() {
        let picture = svg(SMALL).unwrap();
        assert!(picture.starts_with(LICENCE), "{picture}");
        let squares = |colour: &str| picture.matches(&format!("fill=\"{colour}\"")).count();
        // Each colour is in the legend, too.
        assert_eq!(squares("#2F9E5B"), 4 + 1);
        assert_eq!(squares("#8FD1A8"), 1 + 1);
        assert_eq!(squares("#C92A2A"), 1 + 1);
        assert_eq!(squares("#E8590C"), 1 + 1);
        assert_eq!(squares("#7A1F5C"), 1 + 1);
        assert_eq!(squares("#E9ECEF"), 4 + 1);
        for word in [
            "one",
            "two",
            "swiotlb",
            "C driver",
            "udmabuf-rs",
            "2026-11-21",
        ] {
            assert!(picture.contains(word), "{word}");
        }
        assert!(!picture.contains("the flow") && !picture.contains("what"));
    }

    #[test]
    fn a_table_that_is_not_whole_is_refused() {
        assert!(svg("# The matrix\n").is_err());
        let short = SMALL.replace("✗ · ⊘", "✗ ⊘");
        assert!(svg(&short).is_err());
        let narrow = SMALL.replace(" | ✗ · ⊘", "");
        assert!(svg(&narrow).is_err());
    }

    #[test]
    fn the_picture_in_the_tree_is_of_the_table_in_the_tree() {
        let drawn = svg(include_str!("../../../matrix.md")).unwrap();
        assert!(
            drawn == include_str!("../../../matrix.svg"),
            "run ci/harness matrix --draw qemu/matrix.md"
        );
    }
}
