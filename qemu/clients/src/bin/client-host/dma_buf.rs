// SPDX-License-Identifier: GPL-2.0

//! The Rust crate `dma-buf`: `client-dma-buf` gives it descriptors of the driver.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};
use selftests::driver::Driver;

use crate::{
    checked, node,
    stage::{self, Expected, Stage},
    steps::{Client, Step},
    user::Groups,
};

pub const CLIENT: Client = Client {
    name: "dma-buf",
    steps: &[
        Step {
            name: "every_size",
            run: every_size,
        },
        Step {
            name: "checked",
            run: checked,
        },
        Step {
            name: "control_carelessly",
            run: carelessly,
        },
        Step {
            name: "control_without_the_group",
            run: without_the_group,
        },
        Step {
            name: "control_without_the_device",
            run: without_the_device,
        },
    ],
};

/// The program.
const PROGRAM: &str = "client-dma-buf";

/// In pages.
const SIZES: &[&str] = &["1", "2", "3", "16", "300", "511", "512", "513", "2025"];

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);

fn client(stage: &Stage, groups: Groups) -> Command {
    let program = stage.places.programs.join(PROGRAM);
    let mut command = stage.user.command(program, groups, LIMIT);
    command.args(SIZES);
    command
}

/// Every byte of every size, both ways.
fn every_size(stage: &Stage) -> Result<String> {
    let (output, made) = stage.watch(|| stage::succeed(&mut client(stage, Groups::Device)))?;
    stage.expect(&made, Expected::said(&output)?)?;
    Ok(format!("{} sizes, 0 bytes wrong; {made}", SIZES.len()))
}

/// The same while every buffer is checked: the crate brackets all that it does.
fn checked(stage: &Stage) -> Result<String> {
    if stage.driver == Driver::C {
        return Ok(checked::NO_CHECKER.to_owned());
    }
    let (found, brackets) = checked::watch(stage, CLIENT.name, every_size)?;
    ensure!(
        brackets.wrong() == 0,
        "the checker is wrong:\n{}",
        brackets.lines.join("\n")
    );
    let program = brackets.programs.get(PROGRAM).cloned().unwrap_or_default();
    ensure!(
        program.begun >= SIZES.len() && program.begun == program.ended && program.faults > 0,
        "no program brackets so: {brackets}"
    );
    Ok(format!("{found}; {brackets}"))
}

/// A byte of each buffer that is read outside of any bracket is told of, and nothing else.
fn carelessly(stage: &Stage) -> Result<String> {
    if stage.driver == Driver::C {
        return Ok(checked::NO_CHECKER.to_owned());
    }
    let (_, brackets) = checked::watch(stage, "dma-buf-carelessly", |stage| {
        stage::succeed(client(stage, Groups::Device).arg("--carelessly"))
    })?;
    let told = brackets.programs.get(PROGRAM).map(|did| &did.wrong);
    let expected = [("outside".to_owned(), SIZES.len())].into();
    ensure!(
        told == Some(&expected) && brackets.wrong() == SIZES.len(),
        "one touch outside of each of {} buffers: {brackets}",
        SIZES.len()
    );
    Ok(brackets.to_string())
}

/// A user who is not in the group cannot open the device.
fn without_the_group(stage: &Stage) -> Result<String> {
    refused(stage, Groups::None, "Permission denied")
}

/// Without the device nobody can.
fn without_the_device(stage: &Stage) -> Result<String> {
    let _hidden = node::hide()?;
    refused(stage, Groups::Device, "No such file")
}

fn refused(stage: &Stage, groups: Groups, why: &str) -> Result<String> {
    let (said, made) = stage.watch(|| stage::fail(&mut client(stage, groups)))?;
    ensure!(said.contains(why), "another failure: {said}");
    stage.expect_nothing(&made)?;
    Ok(said)
}
