// SPDX-License-Identifier: GPL-2.0

//! One lane, as it is drawn.

use anyhow::Result;

use super::{
    bracket::{Bracket, Fault},
    ink::{self, Ink},
    lane::{Lane, Mapping, Mark},
    pen::{Pen, width},
    scale::Scale,
    time, violation,
};
use crate::number;

/// The height of a bar, where it is in its lane, and where the small text below it is.
const BAR: i32 = 18;
const TOP: i32 = 3;
const BELOW: i32 = TOP + BAR + 2;

/// How much lower a bar is that is inside another one, and at how many that ends.
const INSET: i32 = 3;
const DEEPEST: usize = 2;

/// Where both ends of a bar can be seen, and something between them.
const WIDE: i32 = 4;

/// Between two texts.
const SPACE: i32 = 6;

/// Draws a lane below `y`.
pub fn draw(lane: &Lane, pen: &Pen<'_, '_>, scale: &Scale, y: i32) -> Result<()> {
    let mut strip = Strip {
        pen,
        scale,
        y,
        written: Vec::new(),
    };
    for mapping in &lane.mappings {
        strip.mapping(mapping)?;
    }
    for bracket in &lane.brackets {
        strip.bracket(bracket)?;
    }
    let (top, middle, bottom) = (y + TOP, y + TOP + BAR / 2, y + TOP + BAR);
    for copy in &lane.copies {
        let (from, to) = (scale.x(copy.from), scale.x(copy.to));
        match copy.published {
            false => pen.bar((from, top), (to, middle), Ink::Collect)?,
            true => pen.bar((from, middle), (to, bottom), Ink::Publish)?,
        }
    }
    for (at, mark) in &lane.marks {
        let x = scale.x(*at);
        match mark {
            Mark::Fault => pen.line((x, top), (x, bottom), Ink::Fault)?,
            Mark::Refused | Mark::Failed(_) => pen.cross((x, middle), Ink::Failed)?,
        }
    }
    for touch in &lane.touches {
        pen.cross((scale.x(touch.at), middle), Ink::Wrong)?;
    }
    // What is wrong is told first, where there is room for one text only.
    for touch in &lane.touches {
        strip.say(scale.x(touch.at), Ink::Wrong, violation::short_touch(touch))?;
    }
    for bracket in &lane.brackets {
        strip.fault(bracket)?;
    }
    for (at, mark) in &lane.marks {
        strip.say_mark(*at, *mark)?;
    }
    let mut later = lane.brackets.iter().skip(1).map(|next| scale.x(next.from));
    for bracket in &lane.brackets {
        let room = later.next().unwrap_or(scale.right());
        strip.costs(bracket, room)?;
    }
    for copy in lane.copies.iter().filter(|copy| copy.changed > 0) {
        let x = scale.x(copy.from);
        if !strip.say(x, Ink::Text, &told(copy.changed, copy.to - copy.from))? {
            strip.say(x, Ink::Text, &number::size(copy.changed))?;
        }
    }
    Ok(())
}

struct Strip<'p, 'a, 'b> {
    pen: &'p Pen<'a, 'b>,
    scale: &'p Scale,
    y: i32,
    /// From where to where there is small text already.
    written: Vec<(i32, i32)>,
}

impl Strip<'_, '_, '_> {
    /// Writes below the bars if there is room at that place.
    fn say(&mut self, x: i32, ink: Ink, text: &str) -> Result<bool> {
        let length = width(text, ink::SMALL_SIZE);
        let x = x.min(self.scale.right() + SPACE * 5 - length);
        let (from, to) = (x, x + length);
        let is_free = |(left, right): &(i32, i32)| to + SPACE <= *left || from >= *right + SPACE;
        if from < self.scale.left() || !self.written.iter().all(is_free) {
            return Ok(false);
        }
        self.written.push((from, to));
        let at = (x, self.y + BELOW);
        self.pen.text(at, ink::SMALL_SIZE, ink, text)?;
        Ok(true)
    }

    fn mapping(&mut self, mapping: &Mapping) -> Result<()> {
        let (top, bottom) = (self.y + TOP, self.y + TOP + BAR);
        let x = |time| self.scale.x(time);
        let (from, to) = (x(mapping.from), x(mapping.to));
        self.pen.bar((from, top), (to, bottom), Ink::Mapping)?;
        if let Some(mapped) = mapping.mapped {
            let ends = ((from, top), (x(mapped), bottom));
            self.pen.bar(ends.0, ends.1, Ink::MappingCall)?;
        }
        if let Some(unmapping) = mapping.unmapping {
            let ends = ((x(unmapping), top), (to, bottom));
            self.pen.bar(ends.0, ends.1, Ink::MappingCall)?;
        }
        Ok(())
    }

    /// From where to where a bracket is drawn.
    fn bounds(&self, bracket: &Bracket) -> ((i32, i32), (i32, i32)) {
        let inset = bracket.depth.min(DEEPEST) as i32 * INSET;
        let (top, bottom) = (self.y + TOP + inset, self.y + TOP + BAR - inset);
        let (from, to) = (self.scale.x(bracket.from), self.scale.x(bracket.to));
        ((from, top), (to, bottom))
    }

    fn bracket(&mut self, bracket: &Bracket) -> Result<()> {
        let (bar, call) = ink::of_access(&bracket.access);
        let (from, to) = self.bounds(bracket);
        self.pen.bar(from, to, bar)?;
        let (mut left, mut right) = (from.0, to.0);
        if let Some(begin) = &bracket.begin {
            left = self.scale.x(begin.to);
        }
        if let Some(end) = &bracket.end {
            right = self.scale.x(end.from);
        }
        // A short one would be dark all over, as if its calls were all that took time.
        let is_wide = to.0 - from.0 >= WIDE;
        if bracket.begin.is_some() && (is_wide || left > from.0) {
            self.pen.bar(from, (left, to.1), call)?;
        }
        if bracket.end.is_some() && (is_wide || right < to.0) {
            self.pen.bar((right, from.1), to, call)?;
        }
        let name = &bracket.access;
        let length = width(name, ink::SMALL_SIZE);
        if length + SPACE < right - left && bracket.depth == 0 {
            let at = ((left + right - length) / 2, self.y + TOP + 4);
            self.pen.text(at, ink::SMALL_SIZE, Ink::Text, name)?;
        }
        match &bracket.fault {
            None => Ok(()),
            Some(Fault::NoStart(_)) => self.pen.arrow((from.0, from.1 + BAR / 2), Ink::Wrong),
            Some(_) => self.pen.frame(from, to, Ink::Wrong),
        }
    }

    fn fault(&mut self, bracket: &Bracket) -> Result<()> {
        if let Some(fault) = &bracket.fault {
            let text = violation::short(fault, &bracket.access);
            self.say(self.scale.x(bracket.from), Ink::Wrong, &text)?;
        }
        Ok(())
    }

    fn say_mark(&mut self, at: u64, mark: Mark) -> Result<()> {
        let text = match mark {
            Mark::Fault => return Ok(()),
            Mark::Refused => "refused".to_owned(),
            Mark::Failed(error) => format!("error {error}"),
        };
        self.say(self.scale.x(at), Ink::Failed, &text)?;
        Ok(())
    }

    /// What the calls of a bracket moved and took, as far as there is room below its bar, or up to the
    /// next one.
    fn costs(&mut self, bracket: &Bracket, next: i32) -> Result<()> {
        let ((left, _), (right, _)) = self.bounds(bracket);
        let (Some(begin), Some(end), None) = (&bracket.begin, &bracket.end, &bracket.fault) else {
            return Ok(());
        };
        let (first, last) = (told(begin.moved, begin.cost()), told(end.moved, end.cost()));
        let lengths = [&first, &last].map(|text| width(text, ink::SMALL_SIZE));
        if lengths[0] + SPACE * 2 + lengths[1] <= right - left {
            self.say(left, Ink::Text, &first)?;
            self.say(right - lengths[1], Ink::Text, &last)?;
            return Ok(());
        }
        let sum = told(begin.moved + end.moved, bracket.cost());
        for both in [sum, time::duration(bracket.cost())] {
            if width(&both, ink::SMALL_SIZE) <= right.max(next - SPACE) - left
                && self.say(left, Ink::Text, &both)?
            {
                break;
            }
        }
        Ok(())
    }
}

/// What was moved, if anything, and what that took.
fn told(moved: u64, cost: u64) -> String {
    let took = time::duration(cost);
    match moved {
        0 => took,
        moved => format!("{} in {took}", number::size(moved)),
    }
}
