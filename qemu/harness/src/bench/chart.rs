// SPDX-License-Identifier: GPL-2.0

//! What is to be drawn: cost against size, one chart for each machine and case.

use std::collections::BTreeMap;

use protocol::bench::{Case, Contender, Pages, Record};

use super::row::{self, Row};
use crate::number;

/// Contenders in the order of the legend.
pub const CONTENDERS: [Contender; 4] = [
    Contender::Rust,
    Contender::C,
    Contender::Heap,
    Contender::Floor,
];

/// What differs between the lines of one contender. The order is that of the legend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    pages: Pages,
    items: u32,
    attachments: u32,
    coherent: bool,
}

/// A line: sizes in bytes, and what was measured.
pub struct Series {
    /// Whose.
    pub contender: Contender,
    /// Of what.
    pub kind: Kind,
    /// Sizes and costs, from the smallest size to the largest.
    pub points: Vec<(u64, u64)>,
}

/// A chart.
pub struct Chart<'a> {
    machine: &'a str,
    case: Case,
    /// The lines.
    pub series: Vec<Series>,
}

impl<'a> Chart<'a> {
    /// The charts of all records in which there is a line. Nothing is drawn where a size stands
    /// alone, or nothing was counted.
    pub fn all(records: &'a [Record]) -> Vec<Chart<'a>> {
        let mut charts = Vec::new();
        for (machine, rows) in Row::by_machine(records) {
            let rows: Vec<_> = rows
                .into_iter()
                .filter(|row| row.key.is_of_sizes())
                .collect();
            for rows in rows.chunk_by(|one, next| one.key.case == next.key.case) {
                let series = series(rows);
                if series.iter().any(|series| series.points.len() > 1) {
                    charts.push(Chart {
                        machine,
                        case: rows[0].key.case,
                        series,
                    });
                }
            }
        }
        charts
    }

    /// Names its files.
    pub fn name(&self) -> String {
        format!("{}-{}", self.machine, self.case)
    }

    /// What it shows.
    pub fn title(&self) -> String {
        format!("{}, {}", row::case(self.case), self.machine)
    }

    /// What is measured, with its unit.
    pub fn unit(&self) -> &'static str {
        match self.case {
            Case::Memory => "kernel memory (bytes)",
            _ => "instructions (median)",
        }
    }

    /// The contenders that are there.
    pub fn contenders(&self) -> Vec<Contender> {
        let there = |one: &Contender| self.series.iter().any(|series| series.contender == *one);
        CONTENDERS.into_iter().filter(there).collect()
    }

    /// The kinds that are there.
    pub fn kinds(&self) -> Vec<Kind> {
        let mut kinds: Vec<_> = self.series.iter().map(|series| series.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }

    /// The mark of a kind: the same in all charts, odd for many ranges; where devices make the
    /// difference, just the next one.
    pub fn mark(&self, kind: Kind) -> usize {
        if self.has_devices() {
            let kinds = self.kinds();
            return kinds.iter().position(|one| *one == kind).unwrap_or(0);
        }
        let pages = match kind.pages {
            Pages::Base => 0,
            Pages::Apart | Pages::Pieces => 2,
            Pages::Thp => 4,
            Pages::Hugetlb => 6,
        };
        pages + usize::from(kind.items > 1)
    }

    fn has_devices(&self) -> bool {
        self.series.iter().any(|series| series.kind.attachments > 0)
    }

    /// A kind in words; devices matter only where there are some.
    pub fn label(&self, kind: Kind) -> String {
        let mut words = vec![match kind.pages {
            Pages::Base => "4 KiB pages".to_owned(),
            Pages::Apart => "4 KiB pages apart".to_owned(),
            Pages::Pieces => "4 KiB pages in pieces".to_owned(),
            Pages::Thp => "THP".to_owned(),
            Pages::Hugetlb => "hugetlb".to_owned(),
        }];
        if kind.items > 1 {
            words.push(format!("{} ranges", number::grouped(kind.items.into())));
        }
        match (kind.attachments, kind.coherent) {
            (0, _) if self.has_devices() => words.push("no device".into()),
            (0, _) => {}
            (1, true) => words.push("1 device".into()),
            (1, false) => words.push("1 noncoherent".into()),
            (number, true) => words.push(format!("{number} devices")),
            (number, false) => words.push(format!("{number} noncoherent")),
        }
        words.join(", ")
    }
}

fn series(rows: &[Row<'_>]) -> Vec<Series> {
    let mut lines: BTreeMap<(Contender, Kind), Vec<(u64, u64)>> = BTreeMap::new();
    for row in rows {
        let kind = Kind {
            pages: row.key.pages,
            items: row.key.items,
            attachments: row.key.attachments,
            coherent: row.key.coherent,
        };
        for contender in CONTENDERS {
            // There is no logarithm of nothing.
            if let Some(value) = row.value(contender).filter(|value| *value > 0) {
                let points = lines.entry((contender, kind)).or_default();
                points.push((row.key.bytes, value));
            }
        }
    }
    let lines = lines.into_iter();
    lines
        .map(|((contender, kind), points)| Series {
            contender,
            kind,
            points,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{record, sweep},
        *,
    };

    #[test]
    fn every_case_of_every_machine_has_a_chart() {
        let mut records = sweep(Case::Create);
        records.extend(sweep(Case::Close));
        let mut elsewhere = sweep(Case::Close);
        for record in &mut elsewhere {
            record.machine = "arm64-coherent".into();
        }
        records.extend(elsewhere);
        let names: Vec<_> = Chart::all(&records).iter().map(Chart::name).collect();
        let expected = [
            "x86_64-direct-create",
            "x86_64-direct-close",
            "arm64-coherent-close",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn lines_differ_in_contender_and_kind() {
        let mut records = sweep(Case::EveryPage);
        let mut huge = records[..3].to_vec();
        huge.iter_mut()
            .for_each(|record| record.pages = Pages::Hugetlb);
        let mut many = records[..3].to_vec();
        many.iter_mut().for_each(|record| record.items = 1024);
        records.extend(huge);
        records.extend(many);
        let charts = Chart::all(&records);
        let chart = &charts[0];
        assert_eq!(chart.series.len(), 6);
        assert!(chart.series.iter().all(|series| series.points.len() == 3));
        assert_eq!(chart.contenders(), CONTENDERS);
        let labels: Vec<_> = chart
            .kinds()
            .into_iter()
            .map(|kind| chart.label(kind))
            .collect();
        assert_eq!(
            labels,
            ["4 KiB pages", "4 KiB pages, 1,024 ranges", "hugetlb"]
        );
        assert_eq!(chart.title(), "every page, x86_64-direct");
    }

    #[test]
    fn devices_are_named_where_there_are_some() {
        let mut records = sweep(Case::BeginEnd);
        let mut attached = records[..6].to_vec();
        for (index, record) in attached.iter_mut().enumerate() {
            record.attachments = if index < 3 { 1 } else { 8 };
            record.coherent = index < 3;
        }
        records.extend(attached);
        let charts = Chart::all(&records);
        let labels = charts[0]
            .kinds()
            .into_iter()
            .map(|kind| charts[0].label(kind));
        let expected = [
            "4 KiB pages, no device",
            "4 KiB pages, 1 device",
            "4 KiB pages, 8 noncoherent",
        ];
        assert_eq!(labels.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn others_are_not_among_the_lines() {
        let mut records = sweep(Case::Create);
        records.iter_mut().for_each(|record| record.others = 100);
        assert!(Chart::all(&records).is_empty());
    }

    #[test]
    fn one_point_is_no_line() {
        let mut records = vec![
            record(Case::Vmap, Contender::Rust, 4096, 7),
            record(Case::Vmap, Contender::C, 8192, 7),
            record(Case::Vmap, Contender::C, 4096, 0),
        ];
        assert!(Chart::all(&records).is_empty());
        records[2].instructions = vec![1];
        assert_eq!(Chart::all(&records).len(), 1);
    }
}
