// SPDX-License-Identifier: GPL-2.0

//! What the guest program `bench` says.

use std::collections::BTreeSet;

use protocol::{
    Outcome, Stream,
    bench::{Line, Record},
};

/// The most of a broken line that is shown.
const SHOWN: usize = 160;

/// Notes that are repeated where the program has failed.
const LAST_WORDS: usize = 10;

/// The output of the program, while it comes.
#[derive(Default)]
pub struct Listener {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    plan: Option<usize>,
    records: Vec<Record>,
    names: BTreeSet<String>,
    symbols: Vec<(u64, String)>,
    notes: Vec<String>,
    told: usize,
    wrong: Vec<String>,
}

impl Listener {
    /// Takes in output of the program.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) {
        for &byte in bytes {
            let line = match stream {
                Stream::Stdout => &mut self.stdout,
                Stream::Stderr => &mut self.stderr,
            };
            if byte == b'\n' {
                let line = std::mem::take(line);
                self.line(stream, &String::from_utf8_lossy(&line));
            } else {
                line.push(byte);
            }
        }
    }

    fn line(&mut self, stream: Stream, line: &str) {
        let line = line.trim_end();
        if line.is_empty() {
            return;
        }
        if stream == Stream::Stderr || !line.starts_with('{') {
            self.notes.push(line.to_owned());
            return;
        }
        match serde_json::from_str(line) {
            Ok(Line::Plan(plan)) => match self.plan.replace(plan) {
                None if self.records.is_empty() => {}
                _ => self.wrong.push(format!(
                    "its plan of {plan} records does not come first, or not alone"
                )),
            },
            Ok(Line::Record(record)) => {
                let name = record.name();
                if self.names.insert(name.clone()) {
                    self.records.push(record);
                } else {
                    self.wrong.push(format!("it measured {name} twice"));
                }
            }
            Ok(Line::Symbol(address, name)) => self.symbols.push((address, name)),
            Err(error) => {
                let mut shown: String = line.chars().take(SHOWN).collect();
                if shown.len() < line.len() {
                    shown += "...";
                }
                self.wrong.push(format!("broken line '{shown}': {error}"));
            }
        }
    }

    /// How far it is, for a reader who waits.
    pub fn progress(&self) -> String {
        let Some(plan) = self.plan else {
            return "prepares".into();
        };
        let mut text = format!("{} of {plan}", self.records.len());
        if let Some(last) = self.records.last() {
            let size = crate::number::size(last.bytes);
            let pages = super::row::pages(last.pages);
            text += &format!(", {} {} {pages} {size}", last.case, last.contender);
        }
        text
    }

    /// What it said for a reader since this was asked last.
    pub fn news(&mut self) -> &[String] {
        let from = std::mem::replace(&mut self.told, self.notes.len());
        &self.notes[from..]
    }

    /// Takes what was said without a newline after it for a line.
    pub fn finish(&mut self) {
        self.output(Stream::Stdout, b"\n");
        self.output(Stream::Stderr, b"\n");
    }

    /// Why this is not all that was to be measured, if it is not: the program ended so, or never.
    pub fn problems(&self, outcome: Option<&Outcome>) -> Vec<String> {
        let mut problems = Vec::new();
        if outcome != Some(&Outcome::Exited(0)) {
            let before = self.notes.len().saturating_sub(LAST_WORDS);
            problems.extend_from_slice(&self.notes[before..]);
        }
        problems.extend_from_slice(&self.wrong);
        let records = self.records.len();
        match (self.plan, outcome) {
            (None, _) => problems.push("it said no plan".into()),
            (Some(plan), _) if plan != records => {
                problems.push(format!("{records} records of {plan}"));
            }
            _ => {}
        }
        match outcome {
            Some(Outcome::Exited(0)) => {}
            Some(outcome) => problems.push(outcome.to_string()),
            None => problems.push("the guest was gone before it ended".into()),
        }
        problems
    }

    /// Where the functions of modules are, if it was asked.
    pub fn take_symbols(&mut self) -> Vec<(u64, String)> {
        std::mem::take(&mut self.symbols)
    }

    /// What was measured.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

#[cfg(test)]
mod tests {
    use protocol::bench::{Case, Contender};

    use super::{super::tests::record, *};

    fn line(line: &Line) -> Vec<u8> {
        let mut line = serde_json::to_vec(line).unwrap();
        line.push(b'\n');
        line
    }

    fn said(plan: usize, sizes: &[u64]) -> Listener {
        let mut listener = Listener::default();
        listener.output(Stream::Stdout, &line(&Line::Plan(plan)));
        for &bytes in sizes {
            let record = Line::Record(record(Case::Create, Contender::C, bytes, 9));
            for half in line(&record).chunks(20) {
                listener.output(Stream::Stdout, half);
            }
        }
        listener
    }

    fn problems(listener: &Listener, code: i32) -> Vec<String> {
        listener.problems(Some(&Outcome::Exited(code)))
    }

    #[test]
    fn all_records_and_a_good_end_are_no_problem() {
        let listener = said(2, &[4096, 8192]);
        assert_eq!(listener.progress(), "2 of 2, create c 4k 8 KiB");
        assert_eq!(problems(&listener, 0), [] as [&str; 0]);
        assert_eq!(listener.into_records()[1].bytes, 8192);
    }

    #[test]
    fn a_broken_line_is_named() {
        let mut listener = said(1, &[4096]);
        listener.output(Stream::Stdout, b"{\"record\":{\"case\"\n");
        let problems = problems(&listener, 0);
        assert!(
            problems.len() == 1 && problems[0].contains("'{\"record\":{\"case\"'"),
            "{problems:?}"
        );
    }

    #[test]
    fn a_line_that_is_cut_off_is_broken() {
        let mut listener = said(1, &[4096]);
        listener.output(Stream::Stdout, b"{\"plan\":");
        assert!(problems(&listener, 0).is_empty());
        listener.finish();
        assert_eq!(problems(&listener, 0).len(), 1);
    }

    #[test]
    fn records_have_to_be_as_many_as_planned_and_each_once() {
        assert_eq!(problems(&said(3, &[4096]), 0), ["1 records of 3"]);
        let twice = problems(&said(2, &[4096, 4096]), 0);
        assert!(twice[0].contains("twice") && twice.len() == 2, "{twice:?}");
        assert_eq!(
            problems(&Listener::default(), 0),
            ["it said no plan"],
            "a program that says nothing has measured nothing"
        );
        let mut listener = said(1, &[4096]);
        listener.output(Stream::Stdout, &line(&Line::Plan(1)));
        assert_eq!(problems(&listener, 0).len(), 1);
    }

    #[test]
    fn the_end_counts_whatever_was_measured() {
        let mut listener = said(1, &[4096]);
        listener.output(Stream::Stderr, b"no heap here\n");
        assert_eq!(problems(&listener, 3), ["no heap here", "exit code 3"]);
        assert_eq!(listener.problems(None).len(), 2);
        assert!(problems(&listener, 0).is_empty());
    }

    #[test]
    fn notes_are_told_once() {
        let mut listener = said(1, &[]);
        listener.output(Stream::Stdout, b"# takes a while\nhal");
        assert_eq!(listener.news(), ["# takes a while"]);
        listener.output(Stream::Stdout, b"f\n\n");
        assert_eq!(listener.news(), ["half"]);
        assert!(listener.news().is_empty());
    }
}
