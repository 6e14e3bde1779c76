// SPDX-License-Identifier: GPL-2.0

//! A chart as an SVG: both axes logarithmic, colours for contenders, marks for kinds of pages.

use anyhow::{Context, Result};
use plotters::{
    chart::{ChartBuilder, ChartContext},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    element::{Circle, PathElement, Polygon, Text},
    prelude::{Cartesian2d, SVGBackend},
    series::DashedLineSeries,
    style::{Color, IntoFont, IntoTextStyle, RGBColor, ShapeStyle, TextStyle, WHITE},
};
use protocol::bench::Contender;

use super::{axis::Axis, chart::Chart};

/// The size of a picture, and of the part of it that the legend is in.
pub const SIZE: (u32, u32) = (960, 560);
const LEGEND: u32 = 230;

/// Any font that has no serifs.
pub const FONT: &str = "sans-serif";

/// What is written.
pub const INK: RGBColor = RGBColor(0x22, 0x22, 0x22);
const FAINT_INK: RGBColor = RGBColor(0x77, 0x77, 0x77);
const GRID: RGBColor = RGBColor(0xdd, 0xdd, 0xdd);
const FAINT_GRID: RGBColor = RGBColor(0xf3, 0xf3, 0xf3);

/// Between two lines of the legend.
const LEADING: i32 = 22;

/// The file says its licence, since it may become a part of the source tree.
pub const LICENCE: &str = "<!-- SPDX-License-Identifier: GPL-2.0 -->\n";

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Axis, Axis>>;

/// Draws a chart.
pub fn svg(chart: &Chart<'_>) -> Result<String> {
    let mut text = String::new();
    draw(chart, &mut text).with_context(|| format!("cannot draw {}", chart.name()))?;
    Ok(format!("{LICENCE}{text}\n"))
}

fn draw(chart: &Chart<'_>, text: &mut String) -> Result<()> {
    let root = SVGBackend::with_string(text, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (left, right) = root.split_horizontally(SIZE.0 - LEGEND);
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let sizes = Axis::sizes(points().map(|point| point.0));
    let costs = Axis::counts(points().map(|point| point.1));
    let mut plane = ChartBuilder::on(&left)
        .caption(chart.title(), (FONT, 22).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(54)
        .y_label_area_size(76)
        .build_cartesian_2d(sizes, costs)?;
    plane
        .configure_mesh()
        .axis_style(INK)
        .bold_line_style(GRID)
        .light_line_style(FAINT_GRID)
        .label_style((FONT, 15).into_font().color(&INK))
        .axis_desc_style((FONT, 16).into_font().color(&INK))
        .x_desc("size of the buffer (bytes)")
        .y_desc(chart.unit())
        .draw()?;
    // Where lines are one above the other, ours stays to be seen.
    for contender in chart.contenders().into_iter().rev() {
        let those = chart.series.iter();
        for series in those.filter(|series| series.contender == contender) {
            let mark = chart.mark(series.kind);
            line(&mut plane, contender, mark, &series.points)?;
        }
    }
    legend(chart, &right)?;
    root.present()?;
    Ok(())
}

/// A line with its marks, dashed if these are hollow.
fn line(
    plane: &mut Plane<'_, '_>,
    contender: Contender,
    number: usize,
    points: &[(u64, u64)],
) -> Result<()> {
    let style = stroke(contender);
    if number.is_multiple_of(2) {
        plane.draw_series([PathElement::new(points.to_vec(), style)])?;
    } else {
        plane.draw_series(DashedLineSeries::new(points.to_vec(), 7, 4, style))?;
    }
    let area = plane.plotting_area().strip_coord_spec();
    let (x, y) = area.get_base_pixel();
    for point in points {
        let at = plane.backend_coord(point);
        mark(&area, (at.0 - x, at.1 - y), contender, number)?;
    }
    Ok(())
}

/// A mark in the colour of a contender; an odd one is hollow.
fn mark(area: &Area<'_>, (x, y): (i32, i32), contender: Contender, number: usize) -> Result<()> {
    let colour = colour(contender);
    // Of marks at the same place the lower ones are larger, and each has an edge.
    let (inside, edge) = match number.is_multiple_of(2) {
        true => (colour.filled(), WHITE.stroke_width(1)),
        false => (WHITE.filled(), colour.stroke_width(2)),
    };
    let shape: Vec<(i32, i32)> = match number / 2 {
        0 => {
            area.draw(&Circle::new((x, y), 5, inside))?;
            area.draw(&Circle::new((x, y), 5, edge))?;
            return Ok(());
        }
        1 => vec![(-5, -5), (5, -5), (5, 5), (-5, 5), (-5, -5)],
        2 => vec![(0, -5), (5, 4), (-5, 4), (0, -5)],
        _ => vec![(0, -6), (6, 0), (0, 6), (-6, 0), (0, -6)],
    };
    let shape: Vec<_> = shape.iter().map(|(dx, dy)| (x + dx, y + dy)).collect();
    area.draw(&Polygon::new(shape.clone(), inside))?;
    area.draw(&PathElement::new(shape, edge))?;
    Ok(())
}

/// Colours above, marks below.
fn legend(chart: &Chart<'_>, area: &Area<'_>) -> Result<()> {
    let text = (FONT, 15).into_text_style(area).color(&INK);
    let head = (FONT, 15).into_text_style(area).color(&FAINT_INK);
    let write = |y: i32, x: i32, style: &TextStyle<'_>, words: String| {
        area.draw(&Text::new(words, (x, y - 5), style.clone()))
    };
    let mut y = 60;
    write(y, 4, &head, "colour".into())?;
    for contender in chart.contenders() {
        y += LEADING;
        let ends = vec![(4, y), (40, y)];
        area.draw(&PathElement::new(ends, stroke(contender).stroke_width(4)))?;
        write(y, 48, &text, name(contender).into())?;
    }
    y += LEADING * 2;
    write(y, 4, &head, "mark".into())?;
    for kind in chart.kinds() {
        y += LEADING;
        mark(area, (22, y), Contender::Floor, chart.mark(kind))?;
        write(y, 48, &text, chart.label(kind))?;
    }
    Ok(())
}

fn name(contender: Contender) -> &'static str {
    match contender {
        Contender::Rust => "udmabuf-rs",
        Contender::C => "C driver",
        Contender::Heap => "system heap",
        Contender::Floor => "floor",
    }
}

/// Told apart by those as well who do not see all colours.
fn colour(contender: Contender) -> RGBColor {
    match contender {
        Contender::Rust => RGBColor(0xd5, 0x5e, 0x00),
        Contender::C => RGBColor(0x00, 0x72, 0xb2),
        Contender::Heap => RGBColor(0x00, 0x9e, 0x73),
        Contender::Floor => RGBColor(0x77, 0x77, 0x77),
    }
}

fn stroke(contender: Contender) -> ShapeStyle {
    colour(contender).stroke_width(2)
}

#[cfg(test)]
pub mod tests {
    use protocol::bench::{Case, Pages};

    use super::{super::tests::sweep, *};

    /// A plot of something.
    pub fn some() -> String {
        let mut records = sweep(Case::Create);
        let mut huge = records.clone();
        for record in &mut huge {
            record.pages = Pages::Hugetlb;
            record.instructions = vec![record.instructions[0] / 100];
        }
        records.extend(huge);
        svg(&Chart::all(&records)[0]).unwrap()
    }

    #[test]
    fn a_plot_says_what_it_shows() {
        let svg = some();
        assert!(svg.starts_with("<!-- SPDX-License-Identifier: GPL-2.0 -->\n<svg"));
        for expected in [
            "create, x86_64-direct",
            "size of the buffer (bytes)",
            "instructions (median)",
            "4 KiB",
            "1 GiB",
            "10 M",
            "udmabuf-rs",
            "C driver",
            "system heap",
            "floor",
            "4 KiB pages",
            "hugetlb",
        ] {
            let lines = svg.lines().map(str::trim);
            assert!(
                lines.clone().any(|line| line == expected),
                "{expected} in {svg}"
            );
        }
        for contender in super::super::chart::CONTENDERS {
            let RGBColor(red, green, blue) = colour(contender);
            let stroke = format!("stroke=\"#{red:02X}{green:02X}{blue:02X}\"");
            assert!(svg.contains(&stroke), "{stroke}");
        }
    }

    #[test]
    fn what_was_not_measured_is_not_in_the_legend() {
        let records = sweep(Case::Vmap);
        let svg = svg(&Chart::all(&records[..6])[0]).unwrap();
        assert!(svg.contains("C driver") && !svg.contains("system heap") && !svg.contains("THP"));
    }

    #[test]
    fn memory_has_its_own_unit() {
        let mut records = sweep(Case::Memory);
        for record in &mut records {
            record.memory = Some(100);
        }
        let svg = svg(&Chart::all(&records)[0]).unwrap();
        assert!(svg.contains("kernel memory (bytes)") && !svg.contains("instructions"));
    }
}
