// SPDX-License-Identifier: GPL-2.0

//! One cell of the table: a flow on a machine with a driver.

use std::fmt;

use serde::Serialize;

use super::{
    flows::{COUNTED, Outcome, Went},
    model::{Report, Violation},
};

/// What became of a flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Cell {
    /// Every byte was right, and no rule was broken.
    Ok,
    /// Devices were refused that are not fit for the buffer, and everything else was right.
    Refused {
        /// Their numbers.
        devices: Vec<u32>,
        /// What was refused to each.
        detail: String,
    },
    /// Whoever made the buffers does not offer what the flow is about.
    Absent {
        /// What was asked for.
        detail: String,
    },
    /// Some byte was wrong, or another rule of the flow's was broken.
    Wrong {
        /// Which.
        detail: String,
    },
    /// The bytes were right, as QEMU has no caches; with caches they need not have been.
    Violation {
        /// The first rule that was broken.
        #[serde(flatten)]
        first: Violation,
        /// How often rules were broken.
        count: u64,
    },
    /// A call failed that should not have, something that it needs is not there, or nobody judged.
    Error {
        /// Which.
        detail: String,
    },
    /// The program or the guest was gone before.
    Missing {
        /// Why.
        detail: String,
    },
}

impl Cell {
    /// What the program and the cache model say together; without a model the bytes decide.
    pub fn join(label: &str, outcome: &Outcome, model: Option<&Report>) -> Self {
        let detail = outcome.detail.clone().unwrap_or_default();
        match outcome.outcome {
            Went::Wrong => return Cell::Wrong { detail },
            Went::Error => return Cell::Error { detail },
            Went::Absent => return Cell::Absent { detail },
            Went::Refused | Went::Ok => {}
        }
        let right = match outcome.outcome {
            Went::Refused => Cell::Refused {
                devices: outcome.refused.clone(),
                detail,
            },
            _ => Cell::Ok,
        };
        let scope = format!("{label}/{}", outcome.flow);
        if let Some(model) = model {
            match model.scope(&scope) {
                None => {
                    let detail = format!("the cache model knows nothing of {scope}");
                    return Cell::Error { detail };
                }
                Some(counts) if counts.violations > 0 => {
                    return match model.violation(&scope).cloned() {
                        Some(first) => Cell::Violation {
                            first,
                            count: counts.violations,
                        },
                        None => Cell::Error {
                            detail: format!("the cache model does not say what broke in {scope}"),
                        },
                    };
                }
                // Those that are refused move nothing.
                Some(counts)
                    if right == Cell::Ok
                        && (counts.lines_watched == 0 || counts.transfers() == 0) =>
                {
                    let detail = format!("the cache model saw no pages or no transfer of {scope}");
                    return Cell::Error { detail };
                }
                Some(_) => {}
            }
            let counted = model.scope(&format!("{scope}/{COUNTED}"));
            if let (Some(allowed), Some(counted)) = (outcome.allowed, counted)
                && counted.bytes > allowed
            {
                let bytes = counted.bytes;
                let detail = format!("cache lines of {bytes} bytes maintained, {allowed} would do");
                return Cell::Wrong { detail };
            }
        }
        right
    }

    /// Whether the flow was right, as far as the cell tells.
    pub fn is_right(&self) -> bool {
        matches!(self, Cell::Ok | Cell::Refused { .. })
    }

    /// Whether the flow shows that something is wrong with what the bytes are.
    pub fn is_red(&self) -> bool {
        matches!(self, Cell::Wrong { .. } | Cell::Violation { .. })
    }

    /// Its mark in the table.
    pub fn mark(&self) -> char {
        match self {
            Cell::Ok => '✓',
            Cell::Refused { .. } => '⊘',
            Cell::Absent { .. } => '-',
            Cell::Wrong { .. } => '✗',
            Cell::Violation { .. } => '!',
            Cell::Error { .. } => 'E',
            Cell::Missing { .. } => '†',
        }
    }

    /// What it is, in two words at most.
    pub fn name(&self) -> &'static str {
        match self {
            Cell::Ok => "ok",
            Cell::Refused { .. } => "refused",
            Cell::Absent { .. } => "not offered",
            Cell::Wrong { .. } => "wrong data",
            Cell::Violation { .. } => "violation",
            Cell::Error { .. } => "error",
            Cell::Missing { .. } => "missing",
        }
    }

    /// What else there is to say about it, in one line.
    pub fn detail(&self) -> String {
        match self {
            Cell::Ok => String::new(),
            Cell::Violation { first, count } => {
                let more = match count {
                    0 | 1 => String::new(),
                    count => format!(", {count} in all"),
                };
                let Violation {
                    kind, line, offset, ..
                } = first;
                format!("{kind} at offset {offset}, line {line}{more}")
            }
            Cell::Refused { detail, .. }
            | Cell::Absent { detail }
            | Cell::Wrong { detail }
            | Cell::Error { detail }
            | Cell::Missing { detail } => detail.clone(),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let detail = self.detail();
        match detail.as_str() {
            "" => f.write_str(self.name()),
            detail => write!(f, "{}: {detail}", self.name()),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A cell with wrong data.
    pub fn wrong() -> Cell {
        let detail = "first bad offset 0x0: 0x1 instead of 0x2".into();
        Cell::Wrong { detail }
    }

    /// A cell with an error.
    pub fn error() -> Cell {
        let detail = "EBUSY".into();
        Cell::Error { detail }
    }

    fn outcome(went: Went) -> Outcome {
        Outcome {
            flow: "a".into(),
            outcome: went,
            detail: Some("why".into()),
            refused: Vec::new(),
            allowed: None,
        }
    }

    fn report(violations: u32) -> Report {
        let mut text = String::new();
        for _ in 0..violations {
            text += r#"{"type":"violation","scope":"rust/a","kind":"cpu-reads-stale","line":"0x40","offset":"0x0"}"#;
            text += "\n";
        }
        text += &format!(
            r#"{{"type":"scope","name":"rust/a","violations":{violations},"lines_watched":64,"device_reads":1}}"#
        );
        text += "\n{\"type\":\"total\"}\n";
        Report::parse(&text)
    }

    #[test]
    fn without_a_model_the_bytes_decide() {
        let join = |went| Cell::join("rust", &outcome(went), None);
        assert_eq!(join(Went::Ok), Cell::Ok);
        assert!(join(Went::Wrong).is_red());
        let error = join(Went::Error);
        assert!(!error.is_red() && error.detail() == "why");
    }

    #[test]
    fn a_violation_makes_a_cell_red_whose_bytes_were_right() {
        let clean = report(0);
        assert_eq!(
            Cell::join("rust", &outcome(Went::Ok), Some(&clean)),
            Cell::Ok
        );
        let dirty = report(3);
        let cell = Cell::join("rust", &outcome(Went::Ok), Some(&dirty));
        assert!(cell.is_red());
        assert_eq!(
            cell.to_string(),
            "violation: cpu-reads-stale at offset 0x0, line 0x40, 3 in all"
        );
        let cell = Cell::join("rust", &outcome(Went::Wrong), Some(&dirty));
        assert_eq!(cell.mark(), '✗');
    }

    #[test]
    fn devices_that_are_refused_move_nothing() {
        let refused = Outcome {
            refused: vec![0, 1],
            ..outcome(Went::Refused)
        };
        let still = Report::parse("{\"type\":\"scope\",\"name\":\"rust/a\"}\n");
        let cell = Cell::join("rust", &refused, Some(&still));
        let Cell::Refused { devices, .. } = &cell else {
            panic!("{cell}");
        };
        assert_eq!(devices, &[0, 1]);
        assert!(cell.is_right() && !cell.is_red());
        assert!(Cell::join("rust", &refused, Some(&report(1))).is_red());
        let absent = Cell::join("c", &outcome(Went::Absent), Some(&still));
        assert!(!absent.is_right() && !absent.is_red());
    }

    #[test]
    fn what_is_counted_has_a_limit() {
        let counted = |bytes: u64| {
            let scope = r#"{"type":"scope","name":"rust/a","lines_watched":1,"device_reads":1}"#;
            let part = format!(r#"{{"type":"scope","name":"rust/a/counted","bytes":{bytes}}}"#);
            Report::parse(&format!("{scope}\n{part}\n"))
        };
        let limited = Outcome {
            allowed: Some(128),
            ..outcome(Went::Ok)
        };
        let join = |bytes| Cell::join("rust", &limited, Some(&counted(bytes)));
        assert_eq!(join(128), Cell::Ok);
        assert!(join(192).is_red() && join(192).detail().contains("192"));
    }

    #[test]
    fn what_the_model_did_not_see_is_not_ok() {
        for blind in [
            r#"{"type":"scope","name":"rust/a","device_reads":1}"#,
            r#"{"type":"scope","name":"rust/a","lines_watched":64}"#,
        ] {
            let report = Report::parse(blind);
            let cell = Cell::join("rust", &outcome(Went::Ok), Some(&report));
            assert!(matches!(cell, Cell::Error { .. }), "{blind}");
        }
        let cell = Cell::join("c", &outcome(Went::Ok), Some(&report(0)));
        assert!(matches!(&cell, Cell::Error { detail } if detail.contains("c/a")));
    }
}
