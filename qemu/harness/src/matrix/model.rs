// SPDX-License-Identifier: GPL-2.0

//! What the cache model says: JSON lines, one boot long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Noise is counted in full, but only so much of it is kept.
const KEPT_NOISE: usize = 5;

/// A broken rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which rule.
    pub kind: String,
    /// The physical address of the line.
    pub line: String,
    /// Where in the buffer that is.
    pub offset: String,
    /// Who wrote the line last.
    #[serde(default)]
    pub last_writer: String,
    /// Who broke the rule.
    #[serde(default)]
    pub by: String,
}

/// What happened in one scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Rules broken.
    pub violations: u64,
    /// Lines cleaned.
    pub clean: u64,
    /// Lines cleaned and invalidated at once.
    pub clean_invalidate: u64,
    /// Lines invalidated.
    pub invalidate: u64,
    /// The bytes of all these lines.
    pub bytes: u64,
    /// The most lines that were watched.
    pub lines_watched: u64,
    /// Operations of which the model does not know the line.
    pub unresolved: u64,
    /// Transfers in which a device read.
    pub device_reads: u64,
    /// Transfers in which a device wrote.
    pub device_writes: u64,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.violations += other.violations;
        self.clean += other.clean;
        self.clean_invalidate += other.clean_invalidate;
        self.invalidate += other.invalidate;
        self.bytes += other.bytes;
        self.lines_watched = self.lines_watched.max(other.lines_watched);
        self.unresolved += other.unresolved;
        self.device_reads += other.device_reads;
        self.device_writes += other.device_writes;
    }

    /// Transfers of devices.
    pub fn transfers(&self) -> u64 {
        self.device_reads + self.device_writes
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Line {
    Violation {
        scope: String,
        #[serde(flatten)]
        violation: Violation,
    },
    Scope {
        name: String,
        #[serde(flatten)]
        counts: Counts,
    },
    Noise {
        message: String,
    },
    Total {
        #[serde(default)]
        violations: u64,
    },
}

/// The whole report.
#[derive(Clone, Debug, Default)]
pub struct Report {
    scopes: BTreeMap<String, Counts>,
    /// The first violation of each scope.
    first: BTreeMap<String, Violation>,
    noise: Vec<String>,
    noises: usize,
    /// All violations, wherever they were. Comes last.
    total: Option<u64>,
}

impl Report {
    /// Reads a report. What is wrong with it is among its [problems](Self::problems).
    pub fn parse(text: &str) -> Self {
        let mut report = Report::default();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(Line::Violation { scope, violation }) => {
                    report.first.entry(scope).or_insert(violation);
                }
                Ok(Line::Scope { name, counts }) => {
                    report.scopes.entry(name).or_default().add(&counts);
                }
                Ok(Line::Noise { message }) => report.hear(message),
                Ok(Line::Total { violations }) => report.total = Some(violations),
                Err(error) => report.hear(format!("line '{line}' of its report: {error}")),
            }
        }
        report
    }

    fn hear(&mut self, noise: String) {
        self.noises += 1;
        if self.noise.len() < KEPT_NOISE {
            self.noise.push(noise);
        }
    }

    /// What was counted in a scope, if it was there.
    pub fn scope(&self, name: &str) -> Option<&Counts> {
        self.scopes.get(name)
    }

    /// The names of all scopes.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.scopes.keys().map(String::as_str)
    }

    /// The first violation in a scope.
    pub fn violation(&self, scope: &str) -> Option<&Violation> {
        self.first.get(scope)
    }

    /// Why the report cannot be relied on.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let scoped = self.scopes.values().map(|counts| counts.violations).sum();
        match self.total {
            None => problems.push("its report is not whole: there is no total".into()),
            Some(total) if total > scoped => {
                let number = total - scoped;
                problems.push(format!("{number} violations are in no scope"));
            }
            Some(_) => {}
        }
        problems.extend(self.noise.iter().cloned());
        if self.noises > self.noise.len() {
            let more = self.noises - self.noise.len();
            problems.push(format!(
                "and {more} more messages that it did not understand"
            ));
        }
        let unresolved = self.scopes.iter();
        let mut unresolved =
            unresolved.filter(|(_, counts)| counts.unresolved > 0 && counts.lines_watched > 0);
        if let Some((name, counts)) = unresolved.next() {
            let (number, more) = (counts.unresolved, unresolved.count());
            problems.push(format!(
                "it does not know the lines of {number} cache operations in {name}, and of some \
                 in {more} more scopes"
            ));
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"{"type":"violation","scope":"c/a","kind":"device-reads-dirty","line":"0x1234567c0","offset":"0x7c0","last_writer":"cpu 0 pc 0x1","by":"edu 0"}
{"type":"violation","scope":"c/a","kind":"cpu-reads-stale","line":"0x123456800","offset":"0x800","last_writer":"edu 0","by":"cpu 1 pc 0x2"}
{"type":"scope","name":"c/a","violations":2,"clean":12,"clean_invalidate":3,"invalidate":4,"zero":1,"other":0,"bytes":1216,"lines_watched":64,"device_reads":1,"device_writes":0,"unresolved":0}
{"type":"scope","name":"rust/a","violations":0,"clean":1,"clean_invalidate":0,"invalidate":0,"zero":0,"other":0,"bytes":64,"lines_watched":64,"device_reads":1,"device_writes":0,"unresolved":0}
{"type":"total","violations":2}
"#;

    #[test]
    fn a_whole_report_is_without_problems() {
        let report = Report::parse(REPORT);
        assert_eq!(report.problems(), [] as [&str; 0]);
        assert_eq!(report.scope("c/a").unwrap().violations, 2);
        assert_eq!(report.scope("rust/a").unwrap().bytes, 64);
        assert_eq!(report.violation("c/a").unwrap().offset, "0x7c0");
        assert!(report.violation("rust/a").is_none() && report.scope("rust/b").is_none());
    }

    #[test]
    fn a_report_without_its_total_is_a_problem() {
        let cut = REPORT.rsplit_once("{\"type\":\"total\"").unwrap().0;
        assert_eq!(Report::parse(cut).problems().len(), 1);
        assert_eq!(Report::parse("").problems().len(), 1);
    }

    #[test]
    fn a_violation_outside_all_flows_is_a_problem() {
        let more = REPORT.replace("\"total\",\"violations\":2", "\"total\",\"violations\":5");
        assert_eq!(
            Report::parse(&more).problems(),
            ["3 violations are in no scope"]
        );
    }

    #[test]
    fn noise_is_a_problem() {
        let noise = format!("{REPORT}{}\n", r#"{"type":"noise","message":"header 0x1"}"#);
        assert_eq!(Report::parse(&noise).problems(), ["header 0x1"]);
        let broken = format!("{REPORT}{{\"type\":\"scope\",\"na");
        assert_eq!(Report::parse(&broken).problems().len(), 1);
        let much = format!("{REPORT}{}", "nonsense\n".repeat(9));
        assert_eq!(Report::parse(&much).problems().len(), KEPT_NOISE + 1);
    }

    #[test]
    fn operations_on_unknown_lines_are_a_problem_where_something_is_watched() {
        let unresolved = REPORT.replace("\"unresolved\":0", "\"unresolved\":3");
        let problems = Report::parse(&unresolved).problems();
        assert!(
            problems.len() == 1 && problems[0].contains("c/a"),
            "{problems:?}"
        );
        let unwatched = unresolved.replace("\"lines_watched\":64", "\"lines_watched\":0");
        assert_eq!(Report::parse(&unwatched).problems(), [] as [&str; 0]);
    }

    #[test]
    fn a_scope_that_was_entered_twice_counts_as_one() {
        let twice = Report::parse(&format!("{REPORT}{REPORT}"));
        assert_eq!(twice.scope("c/a").unwrap().clean, 24);
    }
}
