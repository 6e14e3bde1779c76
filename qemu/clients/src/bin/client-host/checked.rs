// SPDX-License-Identifier: GPL-2.0

//! A client while every new buffer is checked: how its programs bracket, by what the driver says.

use std::fs;

use anyhow::{Context, Result};
use selftests::{
    brackets::{self, Brackets},
    driver::Driver,
};

use crate::stage::Stage;

/// What there is to say where the driver has no checker.
pub const NO_CHECKER: &str = "the driver in the kernel checks nothing";

/// Does once more what another step does: the same has to come out, for a checked buffer is like any
/// other. What it finds, and how programs bracketed. What the checker says is kept.
pub fn again(
    stage: &Stage,
    client: &str,
    step: impl FnOnce(&Stage) -> Result<String>,
) -> Result<String> {
    if stage.driver == Driver::C {
        return Ok(NO_CHECKER.to_owned());
    }
    let (found, brackets) = watch(stage, client, step)?;
    Ok(format!("{found}; {brackets}"))
}

/// What something finds while every new buffer is checked, until nothing is left of it.
pub fn watch<T>(
    stage: &Stage,
    client: &str,
    work: impl FnOnce(&Stage) -> Result<T>,
) -> Result<(T, Brackets)> {
    let (found, brackets) = brackets::watch(|| {
        let found = work(stage);
        // Accesses that nobody has ended are told of when a buffer goes.
        stage.settle()?;
        found
    })
    .context("the checker")?;
    let file = stage.places.results.join(format!("{client}-wrong.log"));
    let lines = brackets.lines.iter().map(|line| format!("{line}\n"));
    fs::write(&file, lines.collect::<String>()).context("cannot keep what the checker says")?;
    Ok((found?, brackets))
}
