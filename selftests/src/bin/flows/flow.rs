// SPDX-License-Identifier: GPL-2.0

//! A flow of data between CPU and devices, and how it ended.

use serde::Serialize;

use selftests::Errno;
use selftests::Outcome;
use selftests::outcome::Stop;

use crate::stage::Stage;

/// One flow.
pub struct Flow {
    pub name: &'static str,
    /// What it does, in a few words.
    pub title: &'static str,
    /// What breaks just what it proves.
    pub controls: &'static [Control],
    pub run: fn(&Stage) -> Outcome,
}

/// A driver with which a flow has to go wrong, on every machine where something has to be done
/// for the devices at all.
#[derive(Clone, Copy)]
pub struct Control {
    /// The name of a patch in selftests/mutants, or `c` for the in-tree driver.
    name: &'static str,
    only: Where,
}

/// On which of those machines.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Where {
    Everywhere,
    /// Device 0 is bounced.
    Bounced,
    /// Device 0 has addresses for all memory.
    ReachesAll,
}

impl Control {
    pub const fn new(name: &'static str) -> Control {
        Control {
            name,
            only: Where::Everywhere,
        }
    }

    /// What it breaks is of no consequence where nothing is bounced.
    pub const fn bounced(name: &'static str) -> Control {
        Control {
            name,
            only: Where::Bounced,
        }
    }

    /// What it breaks is done for all devices alike, not for one that reaches less than the others.
    pub const fn reaches_all(name: &'static str) -> Control {
        Control {
            name,
            only: Where::ReachesAll,
        }
    }

    /// The name.
    pub const fn name(self) -> &'static str {
        self.name
    }

    fn applies(self, stage: &Stage) -> Outcome<bool> {
        match self.only {
            Where::Everywhere => Ok(true),
            Where::Bounced => stage.bounces(),
            Where::ReachesAll => stage.reaches_all(),
        }
    }

    /// The name, and where it applies.
    pub fn describe(self) -> String {
        let place = match self.only {
            Where::Everywhere => "",
            Where::Bounced => " (where it bounces)",
            Where::ReachesAll => " (where devices reach all memory)",
        };
        format!("{}{place}", self.name)
    }
}

/// One cell of the matrix.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub flow: &'static str,
    pub title: &'static str,
    pub outcome: Kind,
    pub detail: String,
    pub controls: Vec<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ok,
    Wrong,
    Refused,
    Skipped,
    Error,
}

impl Kind {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ok => "ok",
            Kind::Wrong => "wrong",
            Kind::Refused => "refused",
            Kind::Skipped => "skipped",
            Kind::Error => "error",
        }
    }

    /// Whether something is not as it should be.
    pub fn is_bad(self) -> bool {
        matches!(self, Kind::Wrong | Kind::Error)
    }
}

impl Flow {
    /// Plays it in a scope of its own.
    pub fn play(&self, stage: &Stage) -> Outcome<Cell> {
        let mut controls = Vec::new();
        for control in self.controls {
            if control.applies(stage)? {
                controls.push(control.name());
            }
        }
        let scope = stage
            .model
            .scope(&format!("{}/{}", stage.label, self.name))?;
        let result = (self.run)(stage);
        drop(scope);
        let (outcome, detail) = judge(result);
        Ok(Cell {
            flow: self.name,
            title: self.title,
            outcome,
            detail,
            controls,
        })
    }
}

fn judge(result: Outcome) -> (Kind, String) {
    match result {
        Ok(()) => (Kind::Ok, String::new()),
        Err(Stop::Wrong { mismatch, place }) => {
            let file = place.file().rsplit('/').next().unwrap_or_default();
            let detail = format!(
                "first bad offset {:#x}: {:#04x} instead of {:#04x} ({file}:{})",
                mismatch.position,
                mismatch.found,
                mismatch.expected,
                place.line()
            );
            (Kind::Wrong, detail)
        }
        Err(Stop::Refused(Errno::BUSY)) => (Kind::Refused, "EBUSY".into()),
        Err(Stop::Refused(errno)) => (Kind::Refused, errno.to_string()),
        Err(Stop::Skip(what)) => (Kind::Skipped, format!("needs {what}")),
        Err(Stop::Fail(why)) => (Kind::Error, why),
    }
}

/// What is left when a map of contract 5 is refused: nothing. Other errors are errors.
pub fn unless_refused<T>(result: Result<T, Errno>) -> Outcome<Option<T>> {
    match result {
        Err(Errno::BUSY) => Ok(None),
        other => Ok(Some(other?)),
    }
}

#[cfg(test)]
mod tests {
    use selftests::Pattern;

    use super::*;

    #[test]
    fn wrong_data_is_told_by_its_first_bad_offset() {
        let pattern = Pattern::new(1);
        let mut bytes = pattern.bytes(0, 100);
        bytes[64] = !bytes[64];
        let flow = || -> Outcome { Ok(pattern.check(0, &bytes)?) };
        let (kind, detail) = judge(flow());
        assert_eq!(kind, Kind::Wrong);
        let start = format!(
            "first bad offset 0x40: {:#04x} instead of {:#04x} (flow.rs:",
            bytes[64], !bytes[64]
        );
        assert!(detail.starts_with(&start), "{detail}");
    }

    #[test]
    fn only_a_refusal_that_is_allowed_is_one() {
        assert_eq!(judge(Err(Stop::Refused(Errno::BUSY))).0, Kind::Refused);
        assert_eq!(judge(Err(Errno::BUSY.into())).0, Kind::Error);
        assert!(matches!(unless_refused::<()>(Err(Errno::BUSY)), Ok(None)));
        assert!(unless_refused::<()>(Err(Errno::NOMEM)).is_err());
    }

    #[test]
    fn cell_is_one_line_of_json() {
        let cell = Cell {
            flow: "f",
            title: "CPU write -> device read",
            outcome: Kind::Refused,
            detail: "EBUSY".into(),
            controls: vec!["two-writers"],
        };
        assert_eq!(
            serde_json::to_string(&cell).unwrap(),
            r#"{"flow":"f","title":"CPU write -> device read","outcome":"refused","detail":"EBUSY","controls":["two-writers"]}"#
        );
    }
}
