// SPDX-License-Identifier: GPL-2.0

//! The Rust crate `dma-buf`: `client-dma-buf` gives it descriptors of the driver.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    node,
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
            name: "control_without_the_group",
            run: without_the_group,
        },
        Step {
            name: "control_without_the_device",
            run: without_the_device,
        },
    ],
};

/// In pages.
const SIZES: &[&str] = &["1", "2", "3", "16", "300", "511", "512", "513", "2025"];

/// How long it may take.
const LIMIT: Duration = Duration::from_secs(60);

fn client(stage: &Stage, groups: Groups) -> Command {
    let program = stage.places.programs.join("client-dma-buf");
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
