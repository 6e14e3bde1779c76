// SPDX-License-Identifier: GPL-2.0

//! The results as files: JSON lines for programs, Markdown for people.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use protocol::bench::Record;
use serde::Serialize;

use super::{slower::Slower, table::Table};
use crate::{layout::Layout, versions::Versions};

/// The files of one run, which nobody else writes meanwhile.
pub struct Results {
    lines: PathBuf,
    file: File,
}

impl Results {
    /// Empty results in `build/results/bench-<time>.jsonl`.
    pub fn open(layout: &Layout) -> Result<Self> {
        let time = jiff::Timestamp::now().strftime("%Y-%m-%d-%H%M%S");
        let (lines, file) = layout.claim("results", &format!("bench-{time}"), "jsonl")?;
        Ok(Results { lines, file })
    }

    /// Where the lines are.
    pub fn lines(&self) -> &Path {
        &self.lines
    }

    /// Where the table is.
    pub fn markdown(&self) -> PathBuf {
        self.lines.with_extension("md")
    }

    /// Removes what is empty, since nothing was measured.
    pub fn discard(self) {
        // An empty file does no harm.
        let _ = fs::remove_file(&self.lines);
    }

    /// Writes everything.
    pub fn write(&mut self, versions: &Versions, records: &[Record]) -> Result<()> {
        let mut text = line(versions)?;
        for record in records {
            text += &line(record)?;
        }
        let slower = Slower::new(records);
        text += &line(&slower)?;
        let whole = |path: &Path| format!("cannot write {}", path.display());
        let written = self.file.write_all(text.as_bytes());
        written.with_context(|| whole(&self.lines))?;
        let path = self.markdown();
        let table = Table::new(records).markdown(versions);
        let markdown = format!("{table}\n{}", slower.markdown());
        fs::write(&path, markdown).with_context(|| whole(&path))
    }
}

fn line(of: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(of).context("cannot write results")? + "\n")
}

#[cfg(test)]
mod tests {
    use protocol::bench::Case;

    use super::{super::tests::sweep, *};

    #[test]
    fn files_hold_every_record_and_what_they_are_of() {
        let scratch = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(scratch.path());
        let mut results = Results::open(&layout).unwrap();
        let records = sweep(Case::Close);
        results.write(&Versions::for_tests(), &records).unwrap();
        let text = fs::read_to_string(results.lines()).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let first: serde_json::Value = serde_json::from_str(first).unwrap();
        assert_eq!(first["kernel"], "7.0");
        assert_eq!(first["commit"], "0123456789ab");
        assert_eq!(
            (&first["qemu"], &first["rustc"]),
            (&"10.0.2".into(), &"1.95.0".into())
        );
        let (rest, last) = rest.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(last, r#"{"slower":[]}"#);
        let read: Vec<Record> = rest
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(read, records);
        let markdown = fs::read_to_string(results.markdown()).unwrap();
        assert!(markdown.contains("| close | 4k | 1 | 1 GiB |"));
        assert!(markdown.ends_with("than C:\n\n- none\n"), "{markdown}");
        results.discard();
        assert!(!fs::exists(scratch.path().join(results_of(&layout))).unwrap());
    }

    fn results_of(layout: &Layout) -> PathBuf {
        let results = fs::read_dir(layout.build().join("results")).unwrap();
        let mut paths = results.map(|entry| entry.unwrap().path());
        let lines = |path: &PathBuf| path.extension().is_some_and(|end| end == "jsonl");
        paths.find(lines).unwrap_or_else(|| "none".into())
    }
}
