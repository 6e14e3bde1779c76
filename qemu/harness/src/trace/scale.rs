// SPDX-License-Identifier: GPL-2.0

//! Times as places in the picture.

use std::ops::Range;

use super::time::{MICROSECOND, MILLISECOND, SECOND};
use crate::number;

/// A trace that is no longer than this is in microseconds.
const SHORT: u64 = 10 * MILLISECOND;

/// What a trace lasts at least.
const LEAST: u64 = MICROSECOND;

/// A time axis.
pub struct Scale {
    /// What times are told from.
    origin: u64,
    from: u64,
    to: u64,
    /// Nanoseconds in a unit of the axis.
    unit: u64,
    /// Where it is.
    left: i32,
    right: i32,
}

impl Scale {
    /// From one time to another, as told since `origin`; where that is in the picture is to be said.
    pub fn new(origin: u64, from: u64, to: u64) -> Self {
        let to = to.max(from + LEAST);
        let unit = match to - from {
            0..=SHORT => MICROSECOND,
            _ => MILLISECOND,
        };
        Scale {
            origin,
            from,
            to,
            unit,
            left: 0,
            right: 0,
        }
    }

    /// It is there.
    pub fn place(&mut self, left: i32, right: i32) {
        self.left = left;
        self.right = right;
    }

    /// Its ends in its unit.
    pub fn range(&self) -> Range<f64> {
        let end = |time: u64| time.saturating_sub(self.origin) as f64 / self.unit as f64;
        end(self.from)..end(self.to)
    }

    /// What it is in, and since when.
    pub fn about(&self) -> String {
        let unit = if self.unit == MICROSECOND {
            "µs"
        } else {
            "ms"
        };
        let (seconds, rest) = (self.origin / SECOND, self.origin % SECOND);
        let micros = rest / MICROSECOND;
        format!("{unit} since {seconds}.{micros:06} s after boot")
    }

    /// What is written at a mark.
    pub fn label(mark: &f64) -> String {
        if mark.fract() == 0.0 && *mark >= 0.0 {
            return number::grouped(*mark as u64);
        }
        let text = format!("{mark:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }

    /// Where a time is.
    pub fn x(&self, nanoseconds: u64) -> i32 {
        let after = nanoseconds.clamp(self.from, self.to) - self.from;
        let after = after as f64 / (self.to - self.from) as f64;
        let width = f64::from(self.right - self.left);
        self.left + (after * width).round() as i32
    }

    /// Where it begins and ends.
    pub fn left(&self) -> i32 {
        self.left
    }

    pub fn right(&self) -> i32 {
        self.right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_places() {
        let mut scale = Scale::new(0, 1_000_000_000, 1_002_000_000);
        scale.place(100, 300);
        let places = [1_000_000_000, 1_001_000_000, 1_002_000_000, 5];
        assert_eq!(places.map(|time| scale.x(time)), [100, 200, 300, 100]);
        assert_eq!((scale.left(), scale.right()), (100, 300));
    }

    #[test]
    fn the_unit_is_as_long_as_the_trace() {
        let short = Scale::new(1_500_000_000, 1_501_000_000, 1_503_000_000);
        assert_eq!(short.about(), "µs since 1.500000 s after boot");
        assert_eq!(short.range(), 1000.0..3000.0);
        let long = Scale::new(0, 0, 20_000_000_000);
        assert_eq!(long.about(), "ms since 0.000000 s after boot");
        assert_eq!(long.range(), 0.0..20_000.0);
        assert_eq!(Scale::new(7, 7, 7).range(), 0.0..1.0);
    }

    #[test]
    fn marks_have_no_digits_too_many() {
        let labels = [0.0, 2500.0, 0.25, 0.1 + 0.2].map(|mark| Scale::label(&mark));
        assert_eq!(labels, ["0", "2,500", "0.25", "0.3"]);
    }
}
