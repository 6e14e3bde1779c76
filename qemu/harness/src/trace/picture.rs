// SPDX-License-Identifier: GPL-2.0

//! What happened as an SVG: time to the right, a lane for each thread and each device of a buffer.

use anyhow::{Context, Result};
use plotters::{
    chart::{ChartBuilder, LabelAreaPosition},
    coord::Shift,
    drawing::{DrawingArea, IntoDrawingArea},
    prelude::SVGBackend,
    style::{IntoFont, WHITE},
};

use super::{
    buffer::Buffer,
    history::History,
    ink::{self, Ink},
    lane::{Lane, Mapping},
    legend,
    pen::{self, Pen},
    scale::Scale,
    selection::Selection,
    strip,
    violation::Violation,
};
use crate::number;

/// The width of the picture, and of what is left and right of the time axis.
const WIDTH: u32 = 1280;
const LEFT: u32 = 190;
const RIGHT: u32 = 36;

/// The heights of its parts.
const TITLE: i32 = 64;
const BUFFER: i32 = 30;
const LANE: i32 = 42;
const GAP: i32 = 10;
const AXIS: i32 = 50;
const LEGEND_GAP: i32 = 16;
const NOTE: i32 = 19;
const END: i32 = 14;

/// Mistakes that are told in words; the others are counted.
const VIOLATIONS: usize = 5;

/// The file says its licence, since it may become a part of a source tree.
const LICENCE: &str = "<!-- SPDX-License-Identifier: GPL-2.0 -->\n";

/// Draws what happened. The title says where that was.
pub fn svg(history: &History, title: &str) -> Result<String> {
    let mut text = String::new();
    draw(history, title, &mut text).context("cannot draw the trace")?;
    Ok(format!("{LICENCE}{text}\n"))
}

fn draw(history: &History, title: &str, text: &mut String) -> Result<()> {
    let selection = Selection::of(history);
    let notes = notes(history, &selection);
    let buffers = selection.buffers.iter();
    let lanes: i32 = buffers
        .map(|(_, lanes)| BUFFER + LANE * lanes.len() as i32 + GAP)
        .sum();
    let below = TITLE + lanes + AXIS;
    let height = below + LEGEND_GAP + legend::HEIGHT + NOTE * notes.len() as i32 + END;
    let root = SVGBackend::with_string(text, (WIDTH, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let pen = Pen::new(&root);
    let title = pen::cut(title, ink::TITLE_SIZE, WIDTH as i32 - 28);
    pen.text((14, 12), ink::TITLE_SIZE, Ink::Text, &title)?;
    pen.text((14, 39), ink::TEXT_SIZE, Ink::Faint, &summary(history))?;

    let mut scale = Scale::new(history.begin, selection.from, selection.to);
    axis(&mut scale, &root, (TITLE, TITLE + lanes))?;
    let mut y = TITLE;
    for (buffer, lanes) in &selection.buffers {
        head(buffer, &pen, &scale, y)?;
        y += BUFFER;
        for lane in lanes {
            label(lane, &pen, y)?;
            strip::draw(lane, &pen, &scale, y)?;
            y += LANE;
        }
        y += GAP;
    }
    legend::draw(&pen, (14, below + LEGEND_GAP))?;
    let mut y = below + LEGEND_GAP + legend::HEIGHT;
    for (ink, note) in &notes {
        pen.text((14, y), ink::TEXT_SIZE, *ink, note)?;
        y += NOTE;
    }
    root.present()?;
    Ok(())
}

/// What the picture is of.
fn summary(history: &History) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        _ => format!("{} {many}", number::grouped(number as u64)),
    };
    let events = history.buffers.iter().map(|buffer| buffer.events).sum();
    format!(
        "{} of {}",
        count(events, "event", "events"),
        count(history.buffers.len(), "buffer", "buffers")
    )
}

/// What a reader has to know besides.
fn notes(history: &History, selection: &Selection<'_>) -> Vec<(Ink, String)> {
    let violations = Violation::all(history);
    let shown = violations.iter().take(VIOLATIONS);
    let line = |violation: &Violation| (Ink::Wrong, violation.line(history.begin));
    let mut notes: Vec<_> = shown.map(line).collect();
    let more = violations.len() - notes.len();
    if more > 0 {
        notes.push((Ink::Wrong, format!("and {more} more of these")));
    }
    if history.lost.any() {
        let lost = history.lost;
        let text = format!("Of the trace {lost}: what seems to be wrong may not be.");
        notes.push((Ink::Wrong, text));
    }
    let left_out = selection.left_out.clone();
    notes.extend(left_out.map(|text| (Ink::Faint, text)));
    notes
}

/// The time axis below the lanes, and its lines through them.
fn axis(
    scale: &mut Scale,
    root: &DrawingArea<SVGBackend<'_>, Shift>,
    (top, bottom): (i32, i32),
) -> Result<()> {
    let (above, _) = root.split_vertically(bottom + AXIS);
    let mut plane = ChartBuilder::on(&above)
        .margin_top(top)
        .margin_right(RIGHT)
        .margin_bottom(4)
        .set_label_area_size(LabelAreaPosition::Left, LEFT)
        .set_label_area_size(LabelAreaPosition::Bottom, AXIS - 4)
        .build_cartesian_2d(scale.range(), 0.0..1.0)?;
    plane
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_labels(14)
        .max_light_lines(0)
        .bold_line_style(ink::GRID)
        .axis_style(ink::AXIS)
        .label_style((ink::FONT, ink::TEXT_SIZE).into_font().color(&ink::TEXT))
        .axis_desc_style((ink::FONT, ink::TEXT_SIZE).into_font().color(&ink::FAINT))
        .x_desc(scale.about())
        .x_label_formatter(&Scale::label)
        .draw()?;
    let pixel = |x| plane.backend_coord(&(x, 0.0)).0;
    let range = scale.range();
    scale.place(pixel(range.start), pixel(range.end));
    Ok(())
}

/// What a buffer is, and from when to when it was there.
fn head(buffer: &Buffer, pen: &Pen<'_, '_>, scale: &Scale, y: i32) -> Result<()> {
    let left = buffer.created.map(|at| scale.x(at));
    let right = buffer.released.map(|at| scale.x(at));
    let ends = (left.unwrap_or(scale.left()), right.unwrap_or(scale.right()));
    let at = y + BUFFER - 9;
    pen.line((ends.0, at), (ends.1, at), Ink::Life)?;
    for end in left.iter().chain(&right) {
        pen.line((*end, at - 5), (*end, at + 5), Ink::Life)?;
    }
    let mut facts = Vec::new();
    facts.extend(buffer.size.map(number::size));
    facts.extend(buffer.extents.map(|extents| match extents {
        1 => "1 extent".to_owned(),
        _ => format!("{} extents", number::grouped(extents)),
    }));
    facts.extend(buffer.mode.clone());
    let name = format!("buffer {}", buffer.ino);
    pen.text((14, at - 8), ink::TEXT_SIZE, Ink::Bold, &name)?;
    let facts = facts.join(", ");
    let width = pen::width(&facts, ink::SMALL_SIZE);
    let x = ends.0.min(scale.right() - width).max(scale.left());
    pen.text((x + 4, at - 17), ink::SMALL_SIZE, Ink::Faint, &facts)
}

/// Whose lane it is; of a device also how it is mapped.
fn label(lane: &Lane, pen: &Pen<'_, '_>, y: i32) -> Result<()> {
    let room = LEFT as i32 - 34;
    let name = pen::cut(&lane.who.to_string(), ink::TEXT_SIZE, room);
    let ink = if lane.is_wrong() {
        Ink::Wrong
    } else {
        Ink::Text
    };
    pen.text((26, y + 4), ink::TEXT_SIZE, ink, &name)?;
    let mut kinds: Vec<_> = lane.mappings.iter().map(Mapping::kind).collect();
    kinds.dedup();
    let kinds = pen::cut(&kinds.join("; "), ink::SMALL_SIZE, room);
    pen.text((26, y + 22), ink::SMALL_SIZE, Ink::Faint, &kinds)
}

#[cfg(test)]
mod tests {
    use super::{super::tests, *};

    fn has(svg: &str, text: &str) -> bool {
        svg.lines().map(str::trim).any(|line| line == text)
    }

    fn draw(history: &History) -> String {
        svg(history, "a title").unwrap()
    }

    #[test]
    fn a_picture_says_what_it_shows() {
        let svg = draw(&tests::two_threads_and_two_devices());
        assert!(svg.starts_with("<!-- SPDX-License-Identifier: GPL-2.0 -->\n<svg"));
        for expected in [
            "a title",
            "64 events of 2 buffers",
            "µs since 2.000020 s after boot",
            "buffer 17",
            "64 KiB, 12 extents, DMA_API",
            "camera-61",
            "screen-62",
            "0000:00:02.0",
            "0000:00:03.0",
            "no END",
            "no START",
            "reads",
            "collected from its shadow",
            "shadow, writes",
        ] {
            assert!(has(&svg, expected), "{expected} in {svg}");
        }
    }

    #[test]
    fn what_is_wrong_is_red_and_told() {
        let healthy = draw(&tests::many(1, 2, 3));
        let red = ink::hex(Ink::Wrong);
        // The legend has it.
        let healthy = healthy.matches(&red).count();
        let svg = draw(&tests::wrong());
        assert!(svg.matches(&red).count() > healthy + 10, "{svg}");
        for expected in [
            "0.080 ms  a-1, buffer 5: END of r without a START",
            "START r, END rw",
            "and 1 more of these",
        ] {
            assert!(has(&svg, expected), "{expected} in {svg}");
        }
    }

    #[test]
    fn losses_are_told() {
        let mut history = tests::many(1, 1, 1);
        history.lost.counted = 5;
        let expected = "Of the trace 5 events were lost: what seems to be wrong may not be.";
        assert!(has(&draw(&history), expected));
    }

    #[test]
    fn a_long_trace_makes_no_large_picture() {
        let history = tests::many(6, 5, 500);
        let svg = draw(&history);
        assert!(svg.len() < 2_000_000, "{}", svg.len());
        assert!(svg.contains("Not shown: 2 of 6 buffers"));
    }

    #[test]
    fn a_single_event_is_a_picture() {
        let svg = draw(&tests::history(&[("<a&b>-1", 10, "fault: ino=5 page=0")]));
        assert!(has(&svg, "&lt;a&amp;b&gt;-1"), "{svg}");
        assert!(has(&svg, "1 event of 1 buffer"), "{svg}");
    }
}
