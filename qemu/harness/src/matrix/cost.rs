// SPDX-License-Identifier: GPL-2.0

//! What syncing costs, in cache operations that the model counted: the scopes
//! "DRIVER/cost/DEVICE/ACCESS/MAPPINGS/begin" and ".../end".

use std::collections::BTreeMap;

use serde::Serialize;

use super::{
    column::Column,
    flows::COST,
    model::Counts,
    plan::{C, RUST},
};

/// The cost of one bracket with one driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Bracket {
    /// Of its begin.
    pub begin: Option<Counts>,
    /// Of its end.
    pub end: Option<Counts>,
}

/// A row: a device with a number of mappings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The machine.
    pub machine: &'static str,
    /// The device that is attached.
    pub device: String,
    /// What the bracket is for: read or write.
    pub access: String,
    /// How often.
    pub mappings: u32,
    /// With the driver in the kernel.
    pub c: Bracket,
    /// With the driver under test.
    pub rust: Bracket,
}

/// The rows of a machine, by device, access and number; none without a model.
pub fn rows(column: &Column) -> Vec<Row> {
    let Some(model) = &column.model else {
        return Vec::new();
    };
    let mut rows: BTreeMap<(&str, &str, u32), Row> = BTreeMap::new();
    for name in model.names() {
        let Some((driver, device, access, mappings, phase)) = split(name) else {
            continue;
        };
        let row = rows
            .entry((device, access, mappings))
            .or_insert_with(|| Row {
                machine: column.machine.name(),
                device: device.to_owned(),
                access: access.to_owned(),
                mappings,
                c: Bracket::default(),
                rust: Bracket::default(),
            });
        let bracket = match driver {
            RUST => &mut row.rust,
            C => &mut row.c,
            _ => continue,
        };
        let counts = model.scope(name).copied();
        match phase {
            "begin" => bracket.begin = counts,
            "end" => bracket.end = counts,
            _ => {}
        }
    }
    rows.into_values().collect()
}

fn split(scope: &str) -> Option<(&str, &str, &str, u32, &str)> {
    let mut parts = scope.split('/');
    let driver = parts.next()?;
    if parts.next()? != COST {
        return None;
    }
    let device = parts.next()?;
    let access = parts.next()?;
    let mappings = parts.next()?.parse().ok()?;
    let phase = parts.next()?;
    parts
        .next()
        .is_none()
        .then_some((driver, device, access, mappings, phase))
}

/// Rows that a reader could tell apart by the number of mappings only, which follow each other,
/// put together: the first and the last number with the rest of the row.
pub fn merged(rows: &[Row]) -> Vec<(u32, u32, &Row)> {
    let mut merged: Vec<(u32, u32, &Row)> = Vec::new();
    for row in rows {
        let calls = |row: &Row| [row.c.begin, row.c.end, row.rust.begin, row.rust.end];
        let key = |row: &Row| {
            let calls = calls(row).map(|counts| shown(counts.as_ref()));
            (row.machine, row.device.clone(), row.access.clone(), calls)
        };
        match merged.last_mut() {
            Some((_, last, like)) if *last + 1 == row.mappings && key(like) == key(row) => {
                *last = row.mappings;
            }
            _ => merged.push((row.mappings, row.mappings, row)),
        }
    }
    merged
}

/// The most mappings that are measured.
const MOST: u32 = 8;

/// Where the driver under test costs what it should not: something for devices that snoop, or for
/// none; for others, anything but one operation per line at begin, which cleans and invalidates,
/// and one at end, which cleans, however many mappings there are. `snoops` is about each device.
pub fn uneven(rows: &[Row], snoops: &[bool]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, snoops) in snoops.iter().enumerate() {
        for access in ["read", "write"] {
            for mappings in 0..=MOST {
                let row = rows.iter().find(|row| {
                    row.device == number.to_string()
                        && row.access == access
                        && row.mappings == mappings
                });
                let rust = row.map(|row| row.rust).unwrap_or_default();
                let lines = rust.begin.map_or(0, |counts| counts.lines_watched);
                let free = *snoops || mappings == 0;
                let expected = match free {
                    true => ["0".to_owned(), "0".to_owned()],
                    false => [format!("{lines}ci"), format!("{lines}c")],
                };
                let found = [rust.begin, rust.end].map(|counts| shown(counts.as_ref()));
                if found != expected || lines == 0 {
                    let [found, expected] = [found, expected].map(|calls| calls.join(", then "));
                    wrong.push(format!(
                        "a {access} bracket with {mappings} mappings of edu {number} costs '{found}', \
                         not '{expected}' for {lines} lines"
                    ));
                }
            }
        }
    }
    wrong
}

/// The operations of one call, such as "1024c + 1024i": c for cleaned, i for invalidated, ci for both.
pub fn shown(counts: Option<&Counts>) -> String {
    let Some(counts) = counts else {
        return "not measured".into();
    };
    let kinds = [
        (counts.clean, "c"),
        (counts.clean_invalidate, "ci"),
        (counts.invalidate, "i"),
    ];
    let kinds = kinds.iter().filter(|(number, _)| *number > 0);
    let words: Vec<_> = kinds
        .map(|(number, kind)| format!("{number}{kind}"))
        .collect();
    match words.is_empty() {
        true => "0".into(),
        false => words.join(" + "),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{column::tests::column, model::Report},
        *,
    };

    #[test]
    fn scopes_become_rows_with_both_drivers() {
        let scope =
            |name: &str, rest: &str| format!("{{\"type\":\"scope\",\"name\":\"{name}\"{rest}}}\n");
        let text = [
            scope(
                "rust/cost/0/read/2/begin",
                ",\"clean\":4,\"invalidate\":4,\"bytes\":512",
            ),
            scope("rust/cost/0/read/2/end", ",\"clean\":4"),
            scope("c/cost/0/read/2/begin", ",\"invalidate\":4"),
            scope("rust/cost/0/read/0/begin", ""),
            scope("rust/cost/1/write/10/begin", ""),
            scope("rust/cost/nonsense", ",\"clean\":9"),
            scope("rust/cpu_to_device", ",\"clean\":9"),
        ];
        let mut column = column("noncoherent", &[]);
        assert_eq!(rows(&column), []);
        column.model = Some(Report::parse(&text.concat()));
        let rows = rows(&column);
        let names: Vec<_> = rows
            .iter()
            .map(|row| (row.device.as_str(), row.access.as_str(), row.mappings))
            .collect();
        assert_eq!(
            names,
            [("0", "read", 0), ("0", "read", 2), ("1", "write", 10)]
        );
        assert_eq!(shown(rows[1].rust.begin.as_ref()), "4c + 4i");
        assert_eq!(shown(rows[1].c.begin.as_ref()), "4i");
        assert_eq!(shown(rows[1].c.end.as_ref()), "not measured");
        assert_eq!(shown(rows[0].rust.begin.as_ref()), "0");
    }

    /// One of each operation per line for a device that does not snoop.
    fn right(mappings: u32, snoops: bool) -> Bracket {
        let lines = if snoops || mappings == 0 { 0 } else { 64 };
        let counts = Counts {
            lines_watched: 64,
            ..Counts::default()
        };
        Bracket {
            begin: Some(Counts {
                clean_invalidate: lines,
                ..counts
            }),
            end: Some(Counts {
                clean: lines,
                ..counts
            }),
        }
    }

    fn all_rows(cost: impl Fn(u32, bool) -> Bracket) -> Vec<Row> {
        let mut rows = Vec::new();
        for (device, snoops) in [("0", false), ("1", true)] {
            for access in ["read", "write"] {
                for mappings in 0..=MOST {
                    rows.push(Row {
                        machine: "m",
                        device: device.into(),
                        access: access.into(),
                        mappings,
                        c: Bracket::default(),
                        rust: cost(mappings, snoops),
                    });
                }
            }
        }
        rows
    }

    #[test]
    fn cost_is_nothing_or_one_operation_a_line() {
        let mixed = [false, true];
        let rows = all_rows(right);
        assert_eq!(uneven(&rows, &mixed), [] as [&str; 0]);
        // Maintenance for a device that snoops, none for one that does not, and nothing measured.
        assert_eq!(uneven(&rows, &[true, true]).len(), 16);
        assert_eq!(uneven(&rows, &[false, false]).len(), 16);
        assert_eq!(uneven(&rows[1..], &mixed).len(), 1);
    }

    #[test]
    fn more_than_one_operation_a_line_is_too_much() {
        let mixed = [false, true];
        let growing = |mappings, snoops| {
            let mut bracket = right(mappings, snoops);
            if let Some(begin) = &mut bracket.begin {
                begin.clean_invalidate *= u64::from(mappings);
            }
            bracket
        };
        assert_eq!(uneven(&all_rows(growing), &mixed).len(), 14);
        // As with two operations of the DMA API.
        let in_two_passes = |mappings, snoops| {
            let mut bracket = right(mappings, snoops);
            if let Some(begin) = &mut bracket.begin {
                begin.clean = std::mem::take(&mut begin.clean_invalidate);
                begin.invalidate = begin.clean;
            }
            bracket
        };
        assert_eq!(uneven(&all_rows(in_two_passes), &mixed).len(), 16);
        let never_free = |_, snoops| right(1, snoops);
        assert_eq!(uneven(&all_rows(never_free), &mixed).len(), 2);
    }

    #[test]
    fn rows_alike_are_put_together() {
        let row = |mappings, clean| Row {
            machine: "m",
            device: "0".into(),
            access: "read".into(),
            mappings,
            c: Bracket::default(),
            rust: Bracket {
                begin: Some(Counts {
                    clean,
                    ..Counts::default()
                }),
                end: None,
            },
        };
        let rows = [
            row(0, 0),
            row(1, 8),
            row(2, 8),
            row(3, 8),
            row(4, 9),
            row(6, 9),
        ];
        let merged: Vec<_> = merged(&rows).iter().map(|(a, b, _)| (*a, *b)).collect();
        assert_eq!(merged, [(0, 0), (1, 3), (4, 4), (6, 6)]);
    }
}
