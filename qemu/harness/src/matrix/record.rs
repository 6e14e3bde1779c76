// SPDX-License-Identifier: GPL-2.0

//! The matrix as files: JSON for programs, Markdown for people, and a picture of it.

use std::{fmt, fs, process::Command};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{cause, cell::Cell, column::Column, cost, flows::Flow, picture, table::Table, verdict};
use crate::{layout::Layout, machine::Judge};

/// What the results are results of.
#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    /// The day, in UTC.
    pub date: String,
    /// The kernel's release.
    pub kernel: String,
    /// The version of QEMU.
    pub qemu: String,
    /// The command that makes them again.
    pub command: String,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Versions {
            date,
            kernel,
            qemu,
            command,
        } = self;
        write!(
            f,
            "Measured on {date} with Linux {kernel} and QEMU {qemu}, by `{command}`."
        )
    }
}

impl Versions {
    /// The versions in use now.
    pub fn find(columns: &[Column], command: String) -> Self {
        let mut kernels: Vec<_> = columns.iter().filter_map(|c| c.kernel.clone()).collect();
        kernels.dedup();
        let mut qemus: Vec<_> = columns
            .iter()
            .map(|c| qemu(c.machine.board().qemu))
            .collect();
        qemus.dedup();
        Versions {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            kernel: kernels.join(", "),
            qemu: qemus.join(", "),
            command,
        }
    }
}

/// The version of a QEMU program.
fn qemu(program: &str) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    version(&text.unwrap_or_default()).unwrap_or_else(|| "of unknown version".into())
}

/// The number in "QEMU emulator version 10.0.2 (...)".
fn version(text: &str) -> Option<String> {
    let after = text.split_once(" version ")?.1;
    after.split_whitespace().next().map(str::to_owned)
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    versions: &'a Versions,
    flows: &'a [Flow],
    machines: Vec<Machine<'a>>,
}

#[derive(Serialize)]
struct Machine<'a> {
    machine: &'static str,
    about: &'static str,
    judge: &'static str,
    seconds: f32,
    controls_red: usize,
    controls: usize,
    runs: Vec<Run<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cost: Vec<cost::Row>,
}

#[derive(Serialize)]
struct Run<'a> {
    label: &'a str,
    seconds: f32,
    cells: Vec<Record<'a>>,
}

#[derive(Serialize)]
struct Record<'a> {
    flow: &'a str,
    #[serde(flatten)]
    cell: &'a Cell,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
}

fn machine<'a>(table: &Table<'a>, column: &'a Column) -> Machine<'a> {
    let (controls_red, controls) = match table.controlled {
        true => verdict::controls_red(column, table.flows, table.controls),
        false => (0, 0),
    };
    let runs = column.runs.iter().map(|run| {
        let record = |(flow, cell): &'a (String, Cell)| Record {
            flow,
            cell,
            why: cause::of(&run.label, column.machine, flow, cell),
        };
        Run {
            label: &run.label,
            seconds: run.time.as_secs_f32(),
            cells: run.cells.iter().map(record).collect(),
        }
    });
    Machine {
        machine: column.machine.name(),
        about: column.machine.about(),
        judge: match column.machine.judge() {
            Judge::Data => "data",
            Judge::Model => "model",
            Judge::Nothing => "nothing",
        },
        seconds: column.time.as_secs_f32(),
        controls_red,
        controls,
        runs: runs.collect(),
        cost: cost::rows(column),
    }
}

/// The table as JSON.
fn json(table: &Table<'_>, versions: &Versions) -> Result<String> {
    let document = Document {
        versions,
        flows: table.flows,
        machines: table
            .columns
            .iter()
            .map(|column| machine(table, column))
            .collect(),
    };
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

/// Writes `NAME.json`, `NAME.md` and `NAME.svg` into build/results/.
pub fn write(layout: &Layout, name: &str, table: &Table<'_>, versions: &Versions) -> Result<()> {
    let directory = layout.build().join("results");
    let markdown = table.markdown(versions);
    let texts = [
        (".json", json(table, versions)?),
        (".svg", picture::svg(&markdown)?),
        (".md", markdown),
    ];
    fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    for (suffix, text) in texts {
        let file = directory.join(format!("{name}{suffix}"));
        fs::write(&file, text).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{
        super::{cell::tests::wrong, column::tests::column, plan::tests::flow},
        *,
    };

    #[test]
    fn the_version_is_the_number() {
        let text = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(version(text).unwrap(), "10.0.2");
        assert_eq!(version("what?"), None);
    }

    #[test]
    fn files_hold_every_cell() {
        let scratch = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(scratch.path());
        let flows = [flow("cpu_to_device", &[])];
        let cells = [
            ("c", "cpu_to_device", wrong()),
            ("rust", "cpu_to_device", Cell::Ok),
        ];
        let columns = [column("swiotlb", &cells)];
        let table = Table {
            flows: &flows,
            columns: &columns,
            controls: &[],
            controlled: false,
        };
        let versions = Versions::find(&[], "ci/harness matrix".into());
        write(&layout, "matrix", &table, &versions).unwrap();
        let text = fs::read_to_string(scratch.path().join("build/results/matrix.json")).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let runs = &document["machines"][0]["runs"];
        assert_eq!(runs[0]["label"], "c");
        assert_eq!(runs[0]["cells"][0]["outcome"], "wrong");
        assert!(
            runs[0]["cells"][0]["why"]
                .as_str()
                .unwrap()
                .contains("end_cpu_udmabuf")
        );
        assert_eq!(runs[1]["cells"][0]["outcome"], "ok");
        assert_eq!(document["date"].as_str().unwrap().len(), "2026-11-21".len());
        let markdown = scratch.path().join("build/results/matrix.md");
        assert!(fs::read_to_string(markdown).unwrap().contains("✗ · ✓"));
        let picture = scratch.path().join("build/results/matrix.svg");
        let picture = fs::read_to_string(picture).unwrap();
        assert!(picture.contains("cpu_to_device") && picture.contains("✗"));
    }
}
