// SPDX-License-Identifier: GPL-2.0

//! What the colours mean.

use anyhow::Result;

use super::{
    ink::{self, Ink, of_access},
    pen::{self, Pen},
};

/// How much room it takes.
pub const HEIGHT: i32 = 62;

/// Of a sample.
const WIDTH: i32 = 34;
const BAR: i32 = 14;

const LEADING: i32 = 24;

/// Draws it from the upper left corner on.
pub fn draw(pen: &Pen<'_, '_>, (left, top): (i32, i32)) -> Result<()> {
    let mut row = Row::new(pen, (left, top));
    for (access, means) in [
        ("r", "reads"),
        ("w", "writes"),
        ("rw", "reads and writes"),
        (super::bracket::DEVICE, "a device's access"),
    ] {
        let (bar, call) = of_access(access);
        row.both_ends(bar, call, means)?;
    }
    row.both_ends(Ink::Mapping, Ink::MappingCall, "mapped for a device")?;
    let means = "dark ends: the calls, as long as they take";
    pen.text((row.at.0, row.at.1 - 1), ink::TEXT_SIZE, Ink::Faint, means)?;

    let mut row = Row::new(pen, (left, top + LEADING));
    row.bar((0, BAR / 2), Ink::Collect, "collected from its shadow")?;
    row.bar((BAR / 2, BAR), Ink::Publish, "published to it")?;
    row.mark("page fault", |pen, (x, y)| {
        pen.line((x, y), (x, y + BAR), Ink::Fault)
    })?;
    row.mark("failed or refused", |pen, (x, y)| {
        pen.cross((x, y + BAR / 2), Ink::Failed)
    })?;
    row.mark("never begun", |pen, (x, y)| {
        pen.arrow((x, y + BAR - 3), Ink::Wrong)
    })?;
    let (x, y) = row.at;
    pen.frame((x, y), (x + WIDTH, y + BAR), Ink::Wrong)?;
    row.word("never ended, or not as it was begun")
}

struct Row<'p, 'a, 'b> {
    pen: &'p Pen<'a, 'b>,
    at: (i32, i32),
}

impl<'p, 'a, 'b> Row<'p, 'a, 'b> {
    fn new(pen: &'p Pen<'a, 'b>, at: (i32, i32)) -> Self {
        Row { pen, at }
    }

    /// A bar whose ends are darker.
    fn both_ends(&mut self, bar: Ink, call: Ink, means: &str) -> Result<()> {
        let (x, y) = self.at;
        self.pen.bar((x, y), (x + WIDTH, y + BAR), bar)?;
        self.pen.bar((x, y), (x + 6, y + BAR), call)?;
        self.pen
            .bar((x + WIDTH - 6, y), (x + WIDTH, y + BAR), call)?;
        self.word(means)
    }

    /// A bar of a lesser height.
    fn bar(&mut self, (from, to): (i32, i32), ink: Ink, means: &str) -> Result<()> {
        let (x, y) = self.at;
        self.pen.bar((x, y), (x + WIDTH, y + BAR), Ink::Mapping)?;
        self.pen
            .bar((x + 6, y + from), (x + WIDTH - 6, y + to), ink)?;
        self.word(means)
    }

    /// Something in the middle.
    fn mark(
        &mut self,
        means: &str,
        draw: impl FnOnce(&Pen<'_, '_>, (i32, i32)) -> Result<()>,
    ) -> Result<()> {
        let (x, y) = self.at;
        draw(self.pen, (x + WIDTH / 2, y))?;
        self.word(means)
    }

    /// Says what it is, and goes on.
    fn word(&mut self, means: &str) -> Result<()> {
        let (x, y) = self.at;
        let at = (x + WIDTH + 7, y - 1);
        self.pen.text(at, ink::TEXT_SIZE, Ink::Text, means)?;
        self.at.0 = at.0 + pen::width(means, ink::TEXT_SIZE) + 16;
        Ok(())
    }
}
