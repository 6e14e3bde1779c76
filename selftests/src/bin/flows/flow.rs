// SPDX-License-Identifier: GPL-2.0

//! A flow of data between CPU and devices, and how it ended.

use serde::Serialize;

use selftests::Outcome;
use selftests::outcome::Stop;

use crate::stage::Stage;

/// One flow.
#[derive(Serialize)]
pub struct Flow {
    #[serde(rename = "flow")]
    pub name: &'static str,
    /// What it does, in a few words.
    pub title: &'static str,
    /// With which drivers it has to go wrong, wherever something has to be done for the devices
    /// at all: names of patches in selftests/mutants, or `c` for the driver in the kernel. Each
    /// breaks just what the flow proves.
    pub controls: &'static [&'static str],
    /// Whether the system heap can run it, which has no memfd.
    pub heap: bool,
    #[serde(skip)]
    pub run: fn(&Stage) -> Outcome,
}

/// One cell of the matrix.
#[derive(Debug, Serialize)]
pub struct Cell {
    pub flow: &'static str,
    pub title: &'static str,
    pub outcome: Kind,
    pub detail: String,
    pub controls: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ok,
    Wrong,
    Error,
}

impl Kind {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ok => "ok",
            Kind::Wrong => "wrong",
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
            controls: self.controls,
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
        // Every machine of the matrix has what the flows need.
        Err(Stop::Skip(what)) => (Kind::Error, format!("needs {what}")),
        Err(Stop::Fail(why)) => (Kind::Error, why),
    }
}

#[cfg(test)]
mod tests {
    use selftests::Errno;
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
    fn a_refusal_is_an_error_and_so_is_a_skip() {
        assert_eq!(judge(Err(Errno::BUSY.into())).0, Kind::Error);
        assert_eq!(judge(Err(Stop::Skip("a camera".into()))).0, Kind::Error);
    }

    #[test]
    fn cell_is_one_line_of_json() {
        let cell = Cell {
            flow: "f",
            title: "CPU write -> device read",
            outcome: Kind::Wrong,
            detail: "why".into(),
            controls: &["whole-copies"],
        };
        assert_eq!(
            serde_json::to_string(&cell).unwrap(),
            r#"{"flow":"f","title":"CPU write -> device read","outcome":"wrong","detail":"why","controls":["whole-copies"]}"#
        );
    }
}
