// SPDX-License-Identifier: GPL-2.0

//! QEMU while every new buffer is checked.

use std::fs;

use anyhow::{Context, Result};
use selftests::{brackets, driver::Driver};

use super::{pictures, sharing};
use crate::stage::Stage;

/// What other steps do, once more: a checked buffer is like any other to QEMU, and to this program, which
/// brackets all that it does. What the checker says is kept.
pub fn again(stage: &mut Stage) -> Result<String> {
    if stage.driver == Driver::C {
        return Ok("the driver in the kernel checks nothing".to_owned());
    }
    let (found, brackets) = brackets::watch(|| {
        pictures::large(stage)?;
        pictures::one_memory(stage)?;
        sharing::updates(stage)
    })
    .context("the checker")?;
    let lines = brackets.lines.iter().map(|line| format!("{line}\n"));
    fs::write(stage.results("wrong.log"), lines.collect::<String>())
        .context("cannot keep what the checker says")?;
    Ok(format!("{}; {brackets}", found?))
}
