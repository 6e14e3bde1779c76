// SPDX-License-Identifier: GPL-2.0

//! Mesa's software renderer for Vulkan: `client-vulkan` shares memory between two of its devices.

use std::{process::Command, time::Duration};

use anyhow::{Result, ensure};

use crate::{
    checked, node,
    stage::{self, Expected, Stage},
    steps::{Client, Step},
    user::Groups,
};

pub const CLIENT: Client = Client {
    name: "lavapipe",
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
            name: "control_without_the_group",
            run: without_the_group,
        },
        Step {
            name: "control_without_the_device",
            run: without_the_device,
        },
    ],
};

/// Around powers of two, a byte more and a byte less.
const SIZES: &[&str] = &[
    "1", "4095", "4096", "4097", "12288", "65535", "65536", "65537", "1048575", "1048576",
    "1228800", "2097151", "2097152", "2097153", "8294400",
];

/// Mesa's list of what its renderers are has one that runs on the CPU.
const DRIVER: &str = "/usr/share/vulkan/icd.d/lvp_icd.json";

/// How long it may take. The library comes over 9p, and is large.
const LIMIT: Duration = Duration::from_secs(180);

/// What it says when it has no device.
const REFUSAL: &str = "does not export dma-bufs";

fn client(stage: &Stage, groups: Groups) -> Command {
    let program = stage.places.programs.join("client-vulkan");
    let mut command = stage.user.command(program, groups, LIMIT);
    command.env("VK_DRIVER_FILES", DRIVER).args(SIZES);
    command
}

/// Every byte of every size, on every way.
fn every_size(stage: &Stage) -> Result<String> {
    let (output, made) = stage.watch(|| stage::succeed(&mut client(stage, Groups::Device)))?;
    stage.expect(&made, Expected::said(&output)?)?;
    let name = output.lines().next().unwrap_or_default();
    Ok(format!(
        "{name}; {} sizes, 0 bytes wrong; {made}",
        SIZES.len()
    ))
}

/// The same while every buffer is checked.
fn checked(stage: &Stage) -> Result<String> {
    checked::again(stage, CLIENT.name, every_size)
}

/// A user who is not in the group has no dma-bufs.
fn without_the_group(stage: &Stage) -> Result<String> {
    refused(stage, Groups::None)
}

/// Without the device nobody has.
fn without_the_device(stage: &Stage) -> Result<String> {
    let _hidden = node::hide()?;
    refused(stage, Groups::Device)
}

fn refused(stage: &Stage, groups: Groups) -> Result<String> {
    let (said, made) = stage.watch(|| stage::fail(&mut client(stage, groups)))?;
    ensure!(said.contains(REFUSAL), "another failure: {said}");
    stage.expect_nothing(&made)?;
    Ok(said)
}
