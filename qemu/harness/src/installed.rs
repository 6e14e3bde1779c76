// SPDX-License-Identifier: GPL-2.0

//! The Debian system that set-up has installed on a disk, with the package on it.

use std::process::Command;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::{
    boot::Boot,
    kernel::Kernel,
    layout::Layout,
    machine::Machine,
    qemu::{Disk, Pace},
};

/// Memory of the machine, in GiB.
const MEMORY: u32 = 4;

/// What of it is set aside in huge pages, in MiB.
const HUGE_MEMORY: u32 = 64;

/// What the kernel is told when nobody has asked the system's boot menu.
const ROOT: &str = "root=/dev/vda ro";

/// A system that can be started, and changed: what set-up has made stays as it is.
pub struct System {
    /// Its kernel.
    pub kernel: Kernel,
    /// What was changed on the disk, as long as this lives.
    scratch: TempDir,
}

impl System {
    /// A system as set-up has left it.
    ///
    /// # Errors
    ///
    /// When there is none, or no qemu-img.
    pub fn prepare(layout: &Layout) -> Result<Self> {
        let kernel = Kernel::installed(layout)?;
        // Below the build directory, for it can grow by some hundred MB.
        let scratch = tempfile::tempdir_in(layout.build()).context("cannot make a directory")?;
        let output = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"])
            .arg(std::path::absolute(layout.installed().join("disk"))?)
            .arg(scratch.path().join("disk"))
            .output()
            .context("cannot start qemu-img")?;
        if !output.status.success() {
            bail!(
                "qemu-img: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(System { kernel, scratch })
    }

    /// A start of it, with those parameters of the kernel.
    pub fn boot<'a>(
        &'a self,
        layout: &'a Layout,
        machine: &'a dyn Machine,
        parameters: Option<String>,
    ) -> Boot<'a> {
        Boot {
            pace: Pace::Real,
            memory: MEMORY,
            huge_memory: HUGE_MEMORY,
            disk: Some(Disk {
                image: self.scratch.path().join("disk"),
                parameters: parameters.unwrap_or_else(|| ROOT.into()),
            }),
            ..Boot::new(layout, machine, &self.kernel)
        }
    }
}
