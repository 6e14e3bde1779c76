// SPDX-License-Identifier: GPL-2.0

//! The matrix as files: JSON for programs, Markdown for people, and a picture of it.

use std::fs;

use anyhow::{Context, Result};
use serde::Serialize;

use super::{cause, cell::Cell, column::Column, cost, flows::Flow, picture, table::Table, verdict};
use crate::{layout::Layout, machine::Judge, versions::Versions};

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
        let versions = Versions::for_tests();
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
        assert_eq!(
            document["date"].as_str().unwrap().len(),
            "2026-11-21 12:00".len()
        );
        let markdown = scratch.path().join("build/results/matrix.md");
        assert!(fs::read_to_string(markdown).unwrap().contains("✗ · ✓"));
        let picture = scratch.path().join("build/results/matrix.svg");
        let picture = fs::read_to_string(picture).unwrap();
        assert!(picture.contains("cpu_to_device") && picture.contains("✗"));
    }
}
