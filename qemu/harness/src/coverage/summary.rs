// SPDX-License-Identifier: GPL-2.0

//! What was executed, for a person and for machines.

use std::{
    collections::BTreeMap,
    fmt::{self, Write},
    path::PathBuf,
};

use super::Executed;
use crate::number;

/// Lines by file, and whether each was executed.
pub struct Summary {
    files: BTreeMap<PathBuf, Executed>,
}

impl Summary {
    /// Of these files.
    pub fn new(files: BTreeMap<PathBuf, Executed>) -> Self {
        Summary { files }
    }

    /// Whether no module was watched.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// The same in the format of lcov, which genhtml and editors read.
    pub fn lcov(&self) -> String {
        let mut text = String::new();
        for (file, lines) in &self.files {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "SF:{}", file.display());
            for (number, executed) in lines {
                let _ = writeln!(text, "DA:{number},{}", u8::from(*executed));
            }
            text.push_str("end_of_record\n");
        }
        text
    }
}

/// How many of some lines were executed.
fn count(lines: &Executed) -> (usize, usize) {
    (
        lines.values().filter(|executed| **executed).count(),
        lines.len(),
    )
}

/// The lines that were not executed, as runs. A line without code ends no run.
fn missing(lines: &Executed) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    let mut goes_on = false;
    for (&number, executed) in lines {
        match runs.last_mut() {
            _ if *executed => {}
            Some((_, last)) if goes_on => *last = number,
            _ => runs.push((number, number)),
        }
        goes_on = !executed;
    }
    let runs = runs.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    runs.collect::<Vec<_>>().join(", ")
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<26} {:>8} {:>8} {:>5}  not executed",
            "file", "executed", "lines", "%"
        )?;
        let mut all = (0, 0);
        let mut row = |name: &str, (executed, lines): (usize, usize), missing: String| {
            let share = 100 * executed / lines.max(1);
            let [executed, lines] = [executed, lines].map(|count| number::grouped(count as u64));
            let text = format!("{name:<26} {executed:>8} {lines:>8} {share:>5}  {missing}");
            writeln!(f, "{}", text.trim_end())
        };
        for (file, lines) in &self.files {
            let (executed, number) = count(lines);
            all = (all.0 + executed, all.1 + number);
            row(
                &file.display().to_string(),
                (executed, number),
                missing(lines),
            )?;
        }
        row("in all", all, String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary() -> Summary {
        let lines = [(3, true), (5, false), (9, false), (10, true), (12, false)];
        let files = [
            (PathBuf::from("src/a.rs"), lines.into()),
            (PathBuf::from("src/b.rs"), [(1, true)].into()),
        ];
        Summary::new(files.into())
    }

    #[test]
    fn lines_that_were_not_executed_are_named() {
        let text = summary().to_string();
        let rows: Vec<Vec<_>> = text
            .lines()
            .skip(1)
            .map(|row| row.split_whitespace().collect())
            .collect();
        assert_eq!(rows[0], ["src/a.rs", "2", "5", "40", "5-9,", "12"]);
        assert_eq!(rows[1], ["src/b.rs", "1", "1", "100"]);
        assert_eq!(rows[2], ["in", "all", "3", "6", "50"]);
    }

    #[test]
    fn machines_read_lcov() {
        let text = summary().lcov();
        assert!(text.starts_with("SF:src/a.rs\nDA:3,1\nDA:5,0\n"), "{text}");
        assert!(
            text.ends_with("SF:src/b.rs\nDA:1,1\nend_of_record\n"),
            "{text}"
        );
    }
}
