// SPDX-License-Identifier: GPL-2.0

//! Draws simple shapes, each once: where a trace is dense, thousands fall on the same pixel.

use std::{cell::RefCell, collections::HashSet};

use anyhow::Result;
use plotters::{
    coord::Shift,
    drawing::DrawingArea,
    element::{PathElement, Polygon, Rectangle, Text},
    prelude::SVGBackend,
    style::{Color, FontStyle, IntoFont, IntoTextStyle},
};

use super::ink::{self, Ink};

/// The width of a letter in its size: of a wide one, for not every font is narrow.
const LETTER: f64 = 0.5;

/// What makes a shape the same as another one.
type Shape = (Ink, bool, [i32; 4]);

/// A pen on some paper.
pub struct Pen<'a, 'b> {
    paper: &'a DrawingArea<SVGBackend<'b>, Shift>,
    drawn: RefCell<HashSet<Shape>>,
}

impl<'a, 'b> Pen<'a, 'b> {
    /// A pen that has drawn nothing.
    pub fn new(paper: &'a DrawingArea<SVGBackend<'b>, Shift>) -> Self {
        Pen {
            paper,
            drawn: RefCell::default(),
        }
    }

    fn is_new(&self, ink: Ink, filled: bool, (x, y): (i32, i32), (x2, y2): (i32, i32)) -> bool {
        let shape = (ink, filled, [x, y, x2, y2]);
        self.drawn.borrow_mut().insert(shape)
    }

    /// A filled rectangle; it is there even if it has no width.
    pub fn bar(&self, from: (i32, i32), to: (i32, i32), ink: Ink) -> Result<()> {
        let to = (to.0.max(from.0 + 1), to.1);
        if self.is_new(ink, true, from, to) {
            let style = ink::colour(ink).filled();
            self.paper.draw(&Rectangle::new([from, to], style))?;
        }
        Ok(())
    }

    /// Its edge only.
    pub fn frame(&self, from: (i32, i32), to: (i32, i32), ink: Ink) -> Result<()> {
        let to = (to.0.max(from.0 + 1), to.1);
        if self.is_new(ink, false, from, to) {
            let style = ink::colour(ink).stroke_width(2);
            // The edge of a rectangle is always thin.
            let edge = vec![from, (to.0, from.1), to, (from.0, to.1), from];
            self.paper.draw(&PathElement::new(edge, style))?;
        }
        Ok(())
    }

    /// A line.
    pub fn line(&self, from: (i32, i32), to: (i32, i32), ink: Ink) -> Result<()> {
        if self.is_new(ink, false, from, to) {
            let style = ink::colour(ink).stroke_width(2);
            self.paper.draw(&PathElement::new(vec![from, to], style))?;
        }
        Ok(())
    }

    /// A triangle that points down at a place.
    pub fn arrow(&self, (x, y): (i32, i32), ink: Ink) -> Result<()> {
        if self.is_new(ink, true, (x, y), (x, y)) {
            let shape = vec![(x, y), (x - 4, y - 7), (x + 4, y - 7)];
            self.paper
                .draw(&Polygon::new(shape, ink::colour(ink).filled()))?;
        }
        Ok(())
    }

    /// A cross around a place.
    pub fn cross(&self, (x, y): (i32, i32), ink: Ink) -> Result<()> {
        self.line((x - 4, y - 4), (x + 4, y + 4), ink)?;
        self.line((x - 4, y + 4), (x + 4, y - 4), ink)
    }

    /// A text from its upper left corner on.
    pub fn text(&self, at: (i32, i32), size: i32, ink: Ink, text: &str) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let font = match ink {
            Ink::Bold => (ink::FONT, size).into_font().style(FontStyle::Bold),
            _ => (ink::FONT, size).into_font(),
        };
        let colour = ink::colour(ink);
        let style = font.into_text_style(self.paper).color(&colour);
        self.paper.draw(&Text::new(text.to_owned(), at, style))?;
        Ok(())
    }
}

/// About how wide a text is.
pub fn width(text: &str, size: i32) -> i32 {
    (text.chars().count() as f64 * f64::from(size) * LETTER).ceil() as i32
}

/// The text, or as much of it as has room.
pub fn cut(text: &str, size: i32, room: i32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let mut cut = text.to_owned();
    while cut.pop().is_some() {
        let with = format!("{}…", cut.trim_end());
        if width(&with, size) <= room {
            return with;
        }
    }
    cut
}

#[cfg(test)]
mod tests {
    use plotters::drawing::IntoDrawingArea;

    use super::*;

    #[test]
    fn what_is_drawn_again_is_not_drawn() {
        let mut text = String::new();
        {
            let paper = SVGBackend::with_string(&mut text, (100, 100)).into_drawing_area();
            let pen = Pen::new(&paper);
            for _ in 0..3 {
                pen.bar((1, 1), (1, 9), Ink::Read).unwrap();
                pen.arrow((50, 50), Ink::Wrong).unwrap();
            }
            pen.bar((1, 1), (1, 9), Ink::Write).unwrap();
            pen.frame((1, 1), (9, 9), Ink::Wrong).unwrap();
            paper.present().unwrap();
        }
        assert_eq!(text.matches("<rect").count(), 2, "{text}");
        assert_eq!(text.matches("<polygon").count(), 1, "{text}");
        assert_eq!(text.matches("stroke-width=\"2\"").count(), 1, "{text}");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(cut("short", 10, 100), "short");
        let cut_text = cut("a name that goes on and on", 10, 100);
        assert!(
            cut_text.ends_with('…') && width(&cut_text, 10) <= 100,
            "{cut_text}"
        );
        assert_eq!(cut("x", 10, 0), "");
    }
}
