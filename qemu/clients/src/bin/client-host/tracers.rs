// SPDX-License-Identifier: GPL-2.0

//! trace-cmd and bpftrace: what the documentation says to type, while `client-dma-buf` works.

use std::{collections::BTreeMap, path::Path, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};

use crate::{
    stage::{self, Stage},
    steps::{Client, Step},
    user::Groups,
};

pub const CLIENT: Client = Client {
    name: "tracers",
    steps: &[
        Step {
            name: "trace_cmd",
            run: trace_cmd,
        },
        Step {
            name: "bpftrace",
            run: bpftrace,
        },
        Step {
            name: "control_other_events",
            run: other_events,
        },
    ],
};

/// In pages.
const SIZES: &[&str] = &["1", "3", "512"];

/// How long a tracer may take; bpftrace compiles, and comes over 9p.
const LIMIT: Duration = Duration::from_secs(180);

/// As the documentation has it.
const COUNT: &str = "tracepoint:udmabuf:udmabuf_begin { @begun[comm, args.ino] = count(); }";

/// What works while somebody listens.
fn client(stage: &Stage) -> Command {
    let program = stage.places.programs.join("client-dma-buf");
    let mut command = stage.user.command(program, Groups::Device, LIMIT);
    command.args(SIZES);
    command
}

/// A tracer, which is root, that starts the client.
fn tracer(stage: &Stage, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(words).current_dir("/tmp");
    let client = client(stage);
    command.arg(client.get_program()).args(client.get_args());
    command
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command
}

/// What trace-cmd records of these events, and reports, by name.
fn recorded(stage: &Stage, events: &str) -> Result<BTreeMap<String, usize>> {
    let file = Path::new("/tmp/trace.dat");
    let words = ["record", "-q", "-o", "/tmp/trace.dat", "-e", events];
    stage::succeed(&mut tracer(stage, "trace-cmd", &words))?;
    let mut report = Command::new("trace-cmd");
    report.args(["report", "-i"]).arg(file);
    let report = stage::succeed(&mut report)?;
    std::fs::remove_file(file).context("trace.dat")?;
    ensure!(
        !report.contains("FAILED"),
        "it cannot read the format:\n{report}"
    );
    let mut count = BTreeMap::new();
    for line in report.lines() {
        let Some((_, event)) = line.split_once(": udmabuf_") else {
            continue;
        };
        let (name, fields) = event.split_once(':').context("an event without fields")?;
        let inode = fields
            .trim()
            .strip_prefix("ino=")
            .with_context(|| line.to_owned())?;
        ensure!(!inode.starts_with("0 "), "no buffer: {line}");
        *count.entry(name.to_owned()).or_default() += 1;
    }
    Ok(count)
}

/// Each buffer is made once, begun as often as ended, and released.
fn trace_cmd(stage: &Stage) -> Result<String> {
    let count = recorded(stage, "udmabuf")?;
    let of = |name: &str| count.get(name).copied().unwrap_or(0);
    ensure!(
        of("create") == SIZES.len() && of("release") == SIZES.len(),
        "of {} buffers there were {count:?}",
        SIZES.len()
    );
    ensure!(
        of("begin") >= SIZES.len() && of("begin") == of("end") && of("fault") > 0,
        "brackets and faults: {count:?}"
    );
    Ok(format!("{count:?}"))
}

/// A map has a line for each buffer.
fn bpftrace(stage: &Stage) -> Result<String> {
    let mut bpftrace = Command::new("bpftrace");
    // It takes the program as one string.
    let client = client(stage);
    let words = [client.get_program()].into_iter().chain(client.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    bpftrace
        .args(["-q", "-e", COUNT, "-c", &words.join(" ")])
        .current_dir("/tmp");
    let said = stage::succeed(&mut bpftrace)?;
    let lines = said
        .lines()
        .filter(|line| line.starts_with("@begun["))
        .count();
    ensure!(
        lines == SIZES.len(),
        "{lines} buffers instead of {}:\n{said}",
        SIZES.len()
    );
    Ok(format!("{lines} buffers begun"))
}

/// Who listens to something else hears nothing of brackets.
fn other_events(stage: &Stage) -> Result<String> {
    let count = recorded(stage, "udmabuf:udmabuf_refuse")?;
    ensure!(count.is_empty(), "not what was asked for: {count:?}");
    Ok("nothing but what was asked for".into())
}
