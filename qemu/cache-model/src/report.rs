// SPDX-License-Identifier: GPL-2.0

//! The report: a JSON object per line.

use std::{
    fmt::Display,
    io::{self, Write},
    ops::AddAssign,
};

use serde::Serialize;

use crate::{
    instruction::Maintenance,
    line::{self, Kind},
    model::{LINES, Violation},
};

/// Violations of a scope that are written down; all are counted.
pub const LONGEST: u64 = 64;

/// What happened in a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Rules broken.
    pub violations: u64,
    /// Watched lines cleaned.
    pub clean: u64,
    /// Watched lines cleaned and invalidated.
    pub clean_invalidate: u64,
    /// Watched lines invalidated.
    pub invalidate: u64,
    /// Watched lines zeroed by one instruction.
    pub zero: u64,
    /// Instructions on the data cache that do nothing for a device.
    pub other: u64,
    /// Bytes of watched lines that were cleaned or invalidated.
    pub bytes: u64,
    /// Lines watched, at the start or later.
    pub lines_watched: u64,
    /// Transfers that read watched lines.
    pub device_reads: u64,
    /// Transfers that wrote watched lines.
    pub device_writes: u64,
    /// Instructions on the data cache whose line could not be told, while any line was watched.
    pub unresolved: u64,
}

impl Counts {
    /// Counts an instruction on a watched line, or on no certain one.
    pub fn maintenance(&mut self, operation: Maintenance) {
        let count = match operation {
            Maintenance::Clean => &mut self.clean,
            Maintenance::CleanInvalidate => &mut self.clean_invalidate,
            Maintenance::Invalidate => &mut self.invalidate,
            Maintenance::Zero => &mut self.zero,
            Maintenance::CleanToUnification | Maintenance::SetWay => &mut self.other,
        };
        *count += 1;
        self.bytes = (self.clean + self.clean_invalidate + self.invalidate) * line::SIZE;
    }

    /// Counts pages that are watched from now on.
    pub fn watched(&mut self, pages: usize) {
        self.lines_watched += (pages * LINES) as u64;
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        // Taken apart so that a new count cannot be forgotten here.
        let Counts {
            violations,
            clean,
            clean_invalidate,
            invalidate,
            zero,
            other: others,
            bytes,
            lines_watched,
            device_reads,
            device_writes,
            unresolved,
        } = other;
        self.violations += violations;
        self.clean += clean;
        self.clean_invalidate += clean_invalidate;
        self.invalidate += invalidate;
        self.zero += zero;
        self.other += others;
        self.bytes += bytes;
        self.lines_watched += lines_watched;
        self.device_reads += device_reads;
        self.device_writes += device_writes;
        self.unresolved += unresolved;
    }
}

/// A line of the report.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Record<'a> {
    Violation {
        scope: &'a str,
        kind: Kind,
        line: String,
        offset: String,
        last_writer: String,
        by: String,
    },
    Scope {
        name: &'a str,
        #[serde(flatten)]
        counts: Counts,
    },
    Noise {
        message: String,
    },
    Total {
        #[serde(flatten)]
        counts: Counts,
        noise: u64,
    },
}

/// Writes down what happens, scope by scope.
pub struct Report<W> {
    out: W,
    /// The open scope; empty between two.
    scope: String,
    /// What happened in it.
    pub counts: Counts,
    total: Counts,
    noise: u64,
    closed: bool,
}

impl<W: Write> Report<W> {
    /// A report to `out`, which should write each line at once: a QEMU that is killed closes
    /// nothing.
    pub fn new(out: W) -> Self {
        Report {
            out,
            scope: String::new(),
            counts: Counts::default(),
            total: Counts::default(),
            noise: 0,
            closed: false,
        }
    }

    /// Ends the open scope and opens the next; an empty name opens none.
    pub fn scope(&mut self, name: String) {
        let counts = std::mem::take(&mut self.counts);
        let ended = std::mem::replace(&mut self.scope, name);
        if !ended.is_empty() {
            self.write(&Record::Scope {
                name: &ended,
                counts,
            });
        }
        self.total += counts;
    }

    /// A rule was broken.
    pub fn violation(&mut self, violation: &Violation) {
        self.counts.violations += 1;
        if self.counts.violations > LONGEST {
            return;
        }
        let scope = std::mem::take(&mut self.scope);
        self.write(&Record::Violation {
            scope: &scope,
            kind: violation.breach.kind,
            line: format!("{:#x}", violation.line),
            offset: format!("{:#x}", violation.offset),
            last_writer: violation.breach.last_writer.to_string(),
            by: violation.by.to_string(),
        });
        self.scope = scope;
    }

    /// Something was said that makes no sense.
    pub fn noise(&mut self, message: impl Display) {
        self.noise += 1;
        self.write(&Record::Noise {
            message: message.to_string(),
        });
    }

    /// Ends the report; whatever happens later is left out.
    pub fn close(&mut self) {
        self.scope(String::new());
        self.write(&Record::Total {
            counts: self.total,
            noise: self.noise,
        });
        self.closed = true;
    }

    #[cfg(test)]
    pub(crate) fn into_inner(self) -> W {
        self.out
    }

    /// Writes a line. A report that cannot be written is closed: without a total it is not whole,
    /// which its reader notices.
    fn write(&mut self, record: &Record<'_>) {
        if self.closed {
            return;
        }
        let written = serde_json::to_string(record)
            .map_err(io::Error::from)
            .and_then(|line| self.out.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            self.closed = true;
            eprintln!("cache-model: cannot write the report: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::{Actor, Breach};

    const VIOLATION: Violation = Violation {
        breach: Breach {
            kind: Kind::DeviceReadsDirty,
            last_writer: Actor::BeforeWatch,
        },
        line: 0x1_2345_67c0,
        offset: 0x7c0,
        by: Actor::Device(0),
    };

    fn lines(report: Report<Vec<u8>>) -> Vec<String> {
        let text = String::from_utf8(report.into_inner()).unwrap();
        text.lines().map(String::from).collect()
    }

    #[test]
    fn lines_are_as_agreed() {
        let mut report = Report::new(Vec::new());
        report.scope("rust/cpu_to_device".into());
        report.violation(&VIOLATION);
        report.counts.watched(1);
        report.counts.maintenance(Maintenance::Clean);
        report.counts.maintenance(Maintenance::Zero);
        report.counts.maintenance(Maintenance::SetWay);
        report.scope(String::new());
        report.noise("what?");
        report.close();
        assert_eq!(
            lines(report),
            [
                r#"{"type":"violation","scope":"rust/cpu_to_device","kind":"device-reads-dirty","line":"0x1234567c0","offset":"0x7c0","last_writer":"before watch","by":"edu 0"}"#,
                r#"{"type":"scope","name":"rust/cpu_to_device","violations":1,"clean":1,"clean_invalidate":0,"invalidate":0,"zero":1,"other":1,"bytes":64,"lines_watched":64,"device_reads":0,"device_writes":0,"unresolved":0}"#,
                r#"{"type":"noise","message":"what?"}"#,
                r#"{"type":"total","violations":1,"clean":1,"clean_invalidate":0,"invalidate":0,"zero":1,"other":1,"bytes":64,"lines_watched":64,"device_reads":0,"device_writes":0,"unresolved":0,"noise":1}"#,
            ]
        );
    }

    #[test]
    fn a_scope_has_only_what_happened_in_it() {
        let mut report = Report::new(Vec::new());
        report.violation(&VIOLATION);
        report.scope("a".into());
        report.counts.maintenance(Maintenance::Invalidate);
        report.scope("b".into());
        report.counts.maintenance(Maintenance::CleanInvalidate);
        report.counts.maintenance(Maintenance::Invalidate);
        report.close();
        let lines = lines(report);
        assert!(lines[0].contains(r#""scope":"""#), "{}", lines[0]);
        for (line, part) in [
            (1, r#""name":"a","violations":0"#),
            (1, r#""invalidate":1,"#),
            (1, r#""bytes":64,"#),
            (2, r#""name":"b","violations":0"#),
            (2, r#""bytes":128,"#),
            (3, r#""type":"total","violations":1"#),
            (3, r#""bytes":192,"#),
        ] {
            assert!(lines[line].contains(part), "{}", lines[line]);
        }
        assert_eq!(lines.len(), 4);
    }

    #[test]
    fn a_flood_is_counted_but_cut() {
        let mut report = Report::new(Vec::new());
        for name in ["a", "b"] {
            report.scope(name.into());
            for _ in 0..100 {
                report.violation(&VIOLATION);
            }
        }
        report.close();
        let lines = lines(report);
        assert_eq!(lines.len(), 64 + 1 + 64 + 1 + 1);
        assert!(lines[64].contains(r#""violations":100"#));
        assert!(lines[130].contains(r#""violations":200"#));
    }

    #[test]
    fn nothing_follows_the_total() {
        let mut report = Report::new(Vec::new());
        report.close();
        report.noise("late");
        report.close();
        assert_eq!(lines(report).len(), 1);
    }

    /// Takes a number of lines, then is full.
    struct Full(usize, Vec<u8>);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            self.1.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_report_with_a_gap_has_no_total() {
        let mut report = Report::new(Full(1, Vec::new()));
        report.noise("written");
        report.noise("lost");
        report.out.0 = 10;
        report.close();
        let text = String::from_utf8(report.out.1).unwrap();
        assert_eq!(text, "{\"type\":\"noise\",\"message\":\"written\"}\n");
    }
}
