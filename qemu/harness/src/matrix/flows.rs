// SPDX-License-Identifier: GPL-2.0

//! What the guest program `flows` says.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, bail};
use protocol::Stream;
use serde::{Deserialize, Serialize};

use crate::{kernel::Flavour, layout::Layout};

/// The name of the program.
pub const PROGRAM: &str = "flows";

/// The argument that makes the program measure what syncing costs instead.
pub const COST: &str = "cost";

/// A flow: one way that data takes through a buffer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// Its name.
    #[serde(rename = "flow")]
    pub name: String,
    /// What it does, in a few words.
    pub title: String,
    /// Whether the system heap can run it as well.
    #[serde(default)]
    pub heap: bool,
    /// Whether devices that are not coherent with the CPU are refused in it, and rightly so.
    #[serde(default)]
    pub refuses: bool,
    /// The variants that break just what it proves.
    #[serde(default)]
    pub controls: Vec<String>,
}

/// What the program says of one flow that it has run.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Outcome {
    /// The flow.
    pub flow: String,
    /// How it went.
    pub outcome: Went,
    /// More about it.
    #[serde(default)]
    pub detail: Option<String>,
    /// The devices that were refused.
    #[serde(default)]
    pub refused: Vec<u32>,
    /// The most bytes of cache lines that may be maintained in the scope of that name below the
    /// flow's: [`COUNTED`].
    #[serde(default)]
    pub allowed: Option<u64>,
}

/// The part of a flow in which cache maintenance is counted.
pub const COUNTED: &str = "counted";

/// How a flow went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Went {
    /// Every byte was right.
    Ok,
    /// Some device was refused, and all else was right.
    Refused,
    /// Whoever made the buffers does not offer what it is about.
    Absent,
    /// Some byte was wrong, or another rule was broken.
    Wrong,
    /// A call failed that should not have, or something that it needs is not there.
    Error,
}

/// All flows, as the program that was built for this host lists them.
pub fn list(layout: &Layout) -> Result<Vec<Flow>> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let program = layout.programs(&target, Flavour::Debian).join(PROGRAM);
    if !program.is_file() {
        bail!("no program at {}: run ci/prepare", program.display());
    }
    ask(&program).with_context(|| format!("cannot list the flows of {}", program.display()))
}

fn ask(program: &Path) -> Result<Vec<Flow>> {
    let output = Command::new(program).args(["--list", "--json"]).output()?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}", output.status, said.trim());
    }
    parse_list(&String::from_utf8(output.stdout)?)
}

fn parse_list(text: &str) -> Result<Vec<Flow>> {
    let mut flows: Vec<Flow> = Vec::new();
    for line in text.lines() {
        let flow: Flow = serde_json::from_str(line).with_context(|| line.to_owned())?;
        if flows.iter().any(|other| other.name == flow.name) {
            bail!("two flows are named {}", flow.name);
        }
        if flow.name != COST {
            flows.push(flow);
        }
    }
    if flows.is_empty() {
        bail!("there are none");
    }
    Ok(flows)
}

/// The output of one run of the program, while it comes.
#[derive(Default)]
pub struct Listener {
    line: Vec<u8>,
    stderr: Vec<u8>,
    /// What the flows came to, in the order in which they were run.
    pub outcomes: Vec<Outcome>,
    /// Lines that are none.
    pub noise: Vec<String>,
}

impl Listener {
    /// Takes in output of the program.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) {
        if stream == Stream::Stderr {
            self.stderr.extend_from_slice(bytes);
            return;
        }
        for &byte in bytes {
            if byte == b'\n' {
                self.end_line();
            } else {
                self.line.push(byte);
            }
        }
    }

    /// The program has ended: so has its last line.
    pub fn finish(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    /// What it wrote to stderr, without empty lines.
    pub fn stderr(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        let lines = text.lines().filter(|line| !line.trim().is_empty());
        lines.map(str::to_owned).collect()
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        match serde_json::from_slice(&line) {
            Ok(outcome) => self.outcomes.push(outcome),
            Err(_) => self.noise.push(String::from_utf8_lossy(&line).into_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &[u8] = br#"{"flow":"a","title":"A","outcome":"ok","detail":"","controls":["x"]}
{"flow":"b","title":"B","outcome":"wrong","detail":"first bad offset 0x40: 0x12 instead of 0x34"}
what is this?
{"flow":"c","title":"C","outcome":"error","detail":"EBUSY","controls":[]}"#;

    #[test]
    fn outcomes_are_read_however_the_output_is_cut() {
        let mut listener = Listener::default();
        for piece in LINES.chunks(7) {
            listener.output(Stream::Stdout, piece);
        }
        listener.output(Stream::Stderr, b"\noops\n");
        listener.finish();
        let went: Vec<_> = listener.outcomes.iter().map(|o| o.outcome).collect();
        assert_eq!(went, [Went::Ok, Went::Wrong, Went::Error]);
        assert_eq!(listener.outcomes[2].detail.as_deref(), Some("EBUSY"));
        assert_eq!(listener.noise, ["what is this?"]);
        assert_eq!(listener.stderr(), ["oops"]);
    }

    #[test]
    fn an_unknown_outcome_is_noise() {
        let mut listener = Listener::default();
        listener.output(
            Stream::Stdout,
            b"{\"flow\":\"a\",\"outcome\":\"perhaps\"}\n",
        );
        assert_eq!(listener.outcomes, []);
        assert_eq!(listener.noise.len(), 1);
    }

    #[test]
    fn the_list_has_every_flow_once() {
        let a = r#"{"flow":"a","title":"A","heap":true,"controls":["x","c"]}"#;
        let cost = r#"{"flow":"cost","title":"Cost"}"#;
        let flows = parse_list(&format!("{a}\n{cost}\n")).unwrap();
        assert_eq!(flows.len(), 1);
        assert_eq!(flows[0].controls, ["x", "c"]);
        assert!(flows[0].heap);
        for wrong in ["", cost, "nonsense", &format!("{a}\n{a}\n")] {
            assert!(parse_list(wrong).is_err(), "{wrong:?}");
        }
    }
}
