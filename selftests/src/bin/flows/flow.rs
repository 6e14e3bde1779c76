// SPDX-License-Identifier: GPL-2.0

//! A flow of data between CPU and devices, and how it ended.

use serde::Serialize;

use selftests::Outcome;
use selftests::outcome::Stop;

use crate::stage::Refusal;
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
    /// Whether devices that are not coherent with the CPU are refused in it, and rightly so.
    pub refuses: bool,
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
    /// The devices that were refused.
    pub refused: Vec<u32>,
    /// The most bytes of cache lines that may be maintained in the flow's [`Counted`] scope.
    pub allowed: Option<usize>,
    pub controls: &'static [&'static str],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Ok,
    /// Some device was, and all else was right.
    Refused,
    /// Whoever made the buffer does not offer what the flow is about.
    Absent,
    Wrong,
    Error,
}

impl Kind {
    /// As in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ok => "ok",
            Kind::Refused => "refused",
            Kind::Absent => "absent",
            Kind::Wrong => "wrong",
            Kind::Error => "error",
        }
    }

    /// Whether something is not as it should be.
    pub fn is_bad(self) -> bool {
        !matches!(self, Kind::Ok | Kind::Refused)
    }
}

impl Flow {
    /// Plays it in a scope of its own.
    pub fn play(&self, stage: &Stage) -> Outcome<Cell> {
        stage.enter(self.name);
        let scope = stage.scope("")?;
        let result = (self.run)(stage);
        drop(scope);
        let found = stage.leave();
        let (outcome, detail) = judge(result, &found.refusals);
        Ok(Cell {
            flow: self.name,
            title: self.title,
            outcome,
            detail,
            refused: found
                .refusals
                .iter()
                .map(|refusal| refusal.device)
                .collect(),
            allowed: found.allowed,
            controls: self.controls,
        })
    }
}

fn judge(result: Outcome, refusals: &[Refusal]) -> (Kind, String) {
    match result {
        Ok(()) if refusals.is_empty() => (Kind::Ok, String::new()),
        Ok(()) => {
            let said: Vec<_> = refusals.iter().map(Refusal::to_string).collect();
            (Kind::Refused, said.join(", "))
        }
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
        Err(Stop::Broken(why)) => (Kind::Wrong, why),
        Err(Stop::Absent(what)) => (Kind::Absent, what),
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
        let (kind, detail) = judge(flow(), &[]);
        assert_eq!(kind, Kind::Wrong);
        let start = format!(
            "first bad offset 0x40: {:#04x} instead of {:#04x} (flow.rs:",
            bytes[64], !bytes[64]
        );
        assert!(detail.starts_with(&start), "{detail}");
    }

    #[test]
    fn a_refusal_is_an_error_and_so_is_a_skip() {
        let kind = |stop| judge(Err(stop), &[]).0;
        assert_eq!(kind(Errno::BUSY.into()), Kind::Error);
        assert_eq!(kind(Stop::Skip("a camera".into())), Kind::Error);
        assert_eq!(kind(Stop::Broken("a rule".into())), Kind::Wrong);
        assert_eq!(kind(Stop::Absent("a call".into())), Kind::Absent);
    }

    #[test]
    fn devices_that_were_refused_are_told() {
        let refusals = [
            Refusal {
                device: 0,
                call: "attach",
            },
            Refusal {
                device: 1,
                call: "map",
            },
        ];
        let (kind, detail) = judge(Ok(()), &refusals);
        assert_eq!(kind, Kind::Refused);
        assert_eq!(detail, "edu 0 at attach, edu 1 at map");
        assert!(!kind.is_bad());
        assert_eq!(judge(Err(Errno::BUSY.into()), &refusals).0, Kind::Error);
    }

    #[test]
    fn cell_is_one_line_of_json() {
        let cell = Cell {
            flow: "f",
            title: "CPU write -> device read",
            outcome: Kind::Wrong,
            detail: "why".into(),
            refused: vec![0],
            allowed: None,
            controls: &["whole-copies"],
        };
        assert_eq!(
            serde_json::to_string(&cell).unwrap(),
            r#"{"flow":"f","title":"CPU write -> device read","outcome":"wrong","detail":"why","refused":[0],"allowed":null,"controls":["whole-copies"]}"#
        );
    }
}
