// SPDX-License-Identifier: GPL-2.0

//! What a script did.

use std::process::Output;

use anyhow::{Result, ensure};

/// How a script ended and what it said.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; nothing if a signal ended it.
    pub code: Option<i32>,
    /// Its product.
    pub stdout: String,
    /// What it told the user.
    pub stderr: String,
}

impl Outcome {
    /// The one line of a script that succeeded.
    pub fn line(&self) -> Result<&str> {
        ensure!(self.code == Some(0), "it failed: {self:?}");
        let mut lines = self.stdout.lines();
        let line = lines.next().unwrap_or_default();
        ensure!(
            !line.is_empty() && lines.next().is_none(),
            "not one line: {self:?}"
        );
        Ok(line)
    }

    /// It refused with `code`, made nothing, and gave one reason, in which all of `words` are.
    pub fn refuses(&self, code: i32, words: &[&str]) -> Result<()> {
        ensure!(self.code == Some(code), "not exit code {code}: {self:?}");
        ensure!(self.stdout.is_empty(), "it made something: {self:?}");
        let errors: Vec<_> = self
            .stderr
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        ensure!(errors.len() == 1, "not one reason: {self:?}");
        for word in words {
            ensure!(
                errors[0].contains(word),
                "no '{word}' in the reason: {self:?}"
            );
        }
        Ok(())
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
