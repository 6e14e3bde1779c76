// SPDX-License-Identifier: GPL-2.0

//! Programs that run beside others.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::stage::Stage;

/// A program that runs beside others, ended when this is dropped.
pub struct Running {
    child: Child,
    name: &'static str,
    messages: PathBuf,
    /// Where what it has said is kept.
    kept: PathBuf,
}

impl Running {
    /// Starts a command; what it says is kept.
    pub fn start(stage: &Stage, name: &'static str, mut command: Command) -> Result<Self> {
        let file = format!("{name}.log");
        // What is written over 9p is pinned meanwhile, and would be taken for buffers.
        let messages = stage.places.home.join(&file);
        let output = File::create(&messages).context("cannot keep what a client says")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {name}"))?;
        Ok(Running {
            child,
            name,
            messages,
            kept: stage.places.results.join(file),
        })
    }

    /// An error if it has ended, with its last words.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = fs::read(&self.messages).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            let last = last.unwrap_or("it said nothing");
            bail!("{} ended ({status}): {last}", self.name);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // To its keeper, timeout(1), which passes this on, and waits for the program itself.
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let _ = self.child.wait();
        let _ = fs::copy(&self.messages, &self.kept);
    }
}
