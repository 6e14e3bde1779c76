// SPDX-License-Identifier: GPL-2.0

//! A logarithmic axis with marks where people expect them.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::number;

/// Marks along an axis of sizes, at most.
const SIZES: u32 = 11;

/// An axis of counts is short if it comes to no more than so many times its beginning.
const SHORT: u64 = 100;

/// An axis.
pub struct Axis {
    /// The logarithms of its ends.
    ends: (f64, f64),
    /// Where something is written.
    marks: Vec<u64>,
    /// Where there are lines only.
    between: Vec<u64>,
    format: fn(u64) -> String,
}

impl Axis {
    /// An axis for sizes in bytes, with marks at powers of two.
    pub fn sizes(sizes: impl Iterator<Item = u64> + Clone) -> Self {
        let (least, most) = ends(sizes);
        let (first, last) = (least.ilog2(), most.ilog2());
        let step = ((last - first) / SIZES + 1) as usize;
        let marks = (first..=last).step_by(step).map(|power| 1 << power);
        let room = 0.3;
        Axis {
            ends: (log(least) - room, log(most) + room),
            marks: marks.collect(),
            between: Vec::new(),
            format: number::size,
        }
    }

    /// An axis for counts, with marks at powers of ten, and at twice and five times these where it
    /// is short.
    pub fn counts(counts: impl Iterator<Item = u64> + Clone) -> Self {
        let (least, most) = ends(counts);
        let round: Vec<u64> = (0..=u64::MAX.ilog10())
            .flat_map(|power| [1, 2, 5].map(|digit| 10_u64.pow(power).saturating_mul(digit)))
            .collect();
        let after = |number: u64| round.iter().find(|round| **round > number).copied();
        let first = round.iter().rfind(|round| **round <= least);
        let first = first.copied().unwrap_or(1);
        let last = round.iter().find(|round| **round >= most).copied();
        let last = last.filter(|last| *last > first).or(after(first));
        let last = last.unwrap_or(u64::MAX);
        let inside = |number: &u64| (first..=last).contains(number);
        let is_ten = |number: u64| number == 10_u64.pow(number.ilog10());
        let is_short = last / first <= SHORT;
        let marks = round.iter().filter(|round| inside(round)).copied();
        let marks = marks.filter(|round| is_short || is_ten(*round));
        let digits = |power| (2..10).map(move |digit| 10_u64.pow(power).saturating_mul(digit));
        let between = (first.ilog10()..=last.ilog10()).flat_map(digits);
        Axis {
            ends: (log(first), log(last)),
            marks: marks.collect(),
            between: between.filter(inside).collect(),
            format: short,
        }
    }
}

fn ends(numbers: impl Iterator<Item = u64> + Clone) -> (u64, u64) {
    // There is no logarithm of nothing.
    let ends = (numbers.clone().min(), numbers.max());
    (ends.0.unwrap_or(1).max(1), ends.1.unwrap_or(1).max(1))
}

fn log(number: u64) -> f64 {
    (number as f64).log2()
}

/// A round number, in short.
fn short(number: u64) -> String {
    let units = [
        (1_000_000_000_000, "T"),
        (1_000_000_000, "G"),
        (1_000_000, "M"),
        (1_000, "k"),
    ];
    match units.into_iter().find(|(unit, _)| number >= *unit) {
        Some((unit, name)) => format!("{} {name}", number / unit),
        None => number.to_string(),
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = u64;

    fn map(&self, value: &u64, pixels: (i32, i32)) -> i32 {
        let (least, most) = self.ends;
        let part = (log(*value) - least) / (most - least);
        pixels.0 + (f64::from(pixels.1 - pixels.0) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<u64> {
        if hint.weight().allow_light_points() {
            self.between.clone()
        } else {
            self.marks.clone()
        }
    }

    fn range(&self) -> Range<u64> {
        self.ends.0.exp2() as u64..self.ends.1.exp2() as u64
    }
}

impl ValueFormatter<u64> for Axis {
    fn format_ext(&self, value: &u64) -> String {
        (self.format)(*value)
    }
}

#[cfg(test)]
mod tests {
    use plotters::coord::ranged1d::BoldPoints;

    use super::*;

    #[test]
    fn counts_have_marks_at_powers_of_ten() {
        let axis = Axis::counts([2_500, 99, 1_000_000].into_iter());
        let marks = axis.key_points(BoldPoints(9));
        assert_eq!(marks, [100, 1000, 10_000, 100_000, 1_000_000]);
        let texts: Vec<_> = marks.iter().map(|mark| axis.format_ext(mark)).collect();
        assert_eq!(texts, ["100", "1 k", "10 k", "100 k", "1 M"]);
        // From 50 to 1 M, logarithmic.
        assert_eq!(axis.map(&50, (0, 500)), 0);
        assert_eq!(axis.map(&1_000_000, (0, 500)), 500);
        assert_eq!(axis.map(&7071, (500, 0)), 250);
    }

    #[test]
    fn a_short_axis_has_more_marks() {
        let axis = Axis::counts([859, 1570].into_iter());
        assert_eq!(axis.key_points(BoldPoints(9)), [500, 1000, 2000]);
        assert_eq!(axis.format_ext(&2000), "2 k");
    }

    #[test]
    fn an_axis_has_a_length_even_for_one_count() {
        let axis = Axis::counts([1000].into_iter());
        assert_eq!(axis.key_points(BoldPoints(9)), [1000, 2000]);
        assert_eq!(
            Axis::counts([0, 1].into_iter()).key_points(BoldPoints(9)),
            [1, 2]
        );
        let most = Axis::counts([u64::MAX].into_iter());
        assert!(most.map(&u64::MAX, (0, 500)) <= 500);
    }

    #[test]
    fn sizes_are_powers_of_two() {
        let axis = Axis::sizes([4096, 1 << 30].into_iter());
        let marks = axis.key_points(BoldPoints(9));
        assert_eq!((marks[0], marks[1], marks.len()), (4096, 16 << 10, 10));
        assert_eq!(axis.format_ext(&marks[9]), "1 GiB");
        let (first, last) = (axis.map(&4096, (0, 700)), axis.map(&(1 << 30), (0, 700)));
        assert!((1..30).contains(&first) && (670..700).contains(&last));
        let all = Axis::sizes([4096, 1 << 20].into_iter());
        assert_eq!(all.key_points(BoldPoints(9)).len(), 9);
    }
}
