// SPDX-License-Identifier: GPL-2.0

//! A grid as an SVG: a coloured cell for each size and number of pieces.

use anyhow::{Context, Result};
use plotters::{
    drawing::IntoDrawingArea,
    element::{Rectangle, Text},
    prelude::SVGBackend,
    style::{
        Color, IntoFont, RGBColor, TextStyle, WHITE,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    grid::{Cell, Grid},
    plot::{FONT, INK, LICENCE, SIZE},
};
use crate::number;

/// Where the grid is: left and right, upper and lower.
const ACROSS: (i32, i32) = (120, 940);
const DOWN: (i32, i32) = (60, 490);

/// A ratio, or one over it, whose colour is not lighter than any.
const MOST: f64 = 2.0;

/// Cheaper, and dearer; these are told apart by those as well who do not see all colours.
const CHEAPER: RGBColor = RGBColor(0x56, 0xb4, 0xe9);
const DEARER: RGBColor = RGBColor(0xe6, 0x9f, 0x00);

/// Draws a grid.
pub fn svg(grid: &Grid<'_>) -> Result<String> {
    let mut text = String::new();
    draw(grid, &mut text).with_context(|| format!("cannot draw {}", grid.name()))?;
    Ok(format!("{LICENCE}{text}\n"))
}

fn draw(grid: &Grid<'_>, text: &mut String) -> Result<()> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let write = |at: (i32, i32), size: u32, words: String| {
        let middle = Pos::new(HPos::Center, VPos::Center);
        let style = TextStyle::from((FONT, size).into_font()).color(&INK);
        root.draw(&Text::new(words, at, style.pos(middle)))
    };
    let (sizes, pieces) = (grid.sizes(), grid.pieces());
    let columns = places(ACROSS, sizes.len());
    // One piece is below, as in any plot.
    let mut rows = places(DOWN, pieces.len());
    rows.reverse();
    let middle = |(from, to): (i32, i32)| (from + to) / 2;
    write((middle(ACROSS), 30), 22, grid.title())?;
    write(
        (middle(ACROSS), 540),
        16,
        "size of the buffer (bytes)".into(),
    )?;
    write((50, 40), 16, "pieces".into())?;
    for (bytes, column) in sizes.iter().zip(&columns) {
        write((middle(*column), 510), 15, number::size(*bytes))?;
    }
    for (count, row) in pieces.iter().zip(&rows) {
        write((85, middle(*row)), 15, number::grouped(*count))?;
    }
    let place = |of: u64, all: &[u64], places: &[(i32, i32)]| {
        let index = all.iter().position(|one| *one == of);
        index.and_then(|index| places.get(index).copied())
    };
    for cell in &grid.cells {
        let column = place(cell.bytes, &sizes, &columns);
        let Some((column, row)) = column.zip(place(cell.pieces, &pieces, &rows)) else {
            continue;
        };
        let corners = [(column.0, row.0), (column.1, row.1)];
        root.draw(&Rectangle::new(corners, colour(cell.ratio()).filled()))?;
        let [ratio, both] = words(cell);
        write((middle(column), middle(row) - 10), 20, ratio)?;
        write((middle(column), middle(row) + 14), 13, both)?;
    }
    root.present()?;
    Ok(())
}

/// Divides a length into so many, with a gap between them.
fn places((from, to): (i32, i32), number: usize) -> Vec<(i32, i32)> {
    const GAP: i32 = 3;

    let number = number as i32;
    let at = |index: i32| from + (to - from) * index / number.max(1);
    (0..number)
        .map(|index| (at(index), at(index + 1) - GAP))
        .collect()
}

/// What is written into a cell.
fn words(cell: &Cell) -> [String; 2] {
    let both = [cell.rust, cell.c].map(number::count).join(" / ");
    [number::ratio(cell.rust, cell.c).unwrap_or_default(), both]
}

/// White for what is the same, and the stronger the less it is.
fn colour(ratio: f64) -> RGBColor {
    let far = (ratio.log2() / MOST.log2()).clamp(-1.0, 1.0);
    let RGBColor(red, green, blue) = if far < 0.0 { CHEAPER } else { DEARER };
    let mix = |end: u8| (255.0 - (255.0 - f64::from(end)) * far.abs()).round() as u8;
    RGBColor(mix(red), mix(green), mix(blue))
}

#[cfg(test)]
mod tests {
    use protocol::bench::Case;

    use super::{super::tests::pieces, *};

    #[test]
    fn a_grid_says_what_it_shows() {
        let records = pieces(Case::Create);
        let svg = svg(&Grid::all(&records)[0]).unwrap();
        assert!(svg.starts_with("<!-- SPDX-License-Identifier: GPL-2.0 -->\n<svg"));
        for expected in [
            "create, x86_64-direct: Rust/C, by size and contiguous pieces",
            "size of the buffer (bytes)",
            "pieces",
            "4 KiB",
            "16 KiB",
            "1.30",
            "1,300 / 1,000",
        ] {
            let mut lines = svg.lines().map(str::trim);
            assert!(lines.any(|line| line == expected), "{expected} in {svg}");
        }
        // The ground, and three cells.
        assert_eq!(svg.matches("<rect").count(), 4);
    }

    #[test]
    fn the_same_is_white_and_what_differs_has_a_colour() {
        assert_eq!(colour(1.0), RGBColor(255, 255, 255));
        assert_eq!(colour(2.0), DEARER);
        assert_eq!(colour(9.0), DEARER);
        assert_eq!(colour(0.1), CHEAPER);
        let RGBColor(red, _, blue) = colour(1.2);
        assert!(red > blue && blue < 255);
    }

    #[test]
    fn places_do_not_touch() {
        assert_eq!(places((0, 100), 2), [(0, 47), (50, 97)]);
        assert!(places((0, 100), 0).is_empty());
    }
}
