// SPDX-License-Identifier: GPL-2.0

//! Which driver has which name, and the command that exchanges them.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::{command, node};

/// What GRUB says to the kernel.
const BOOT_MENU: &str = "/boot/grub/grub.cfg";

/// Where the harness reads it for the next start: in a directory of the host.
const KEPT: &str = "/run/udmabuf-results/grub.cfg";
const HOST_DIRECTORY: &str = "/run/udmabuf-results";
const MOUNT: &[&str] = &[
    "mount",
    "-t",
    "9p",
    "-o",
    "trans=virtio,version=9p2000.L",
    "results",
];

/// What keeps the kernel's own driver from starting, and gives ours the name.
const WORDS: &str = "initcall_blacklist=udmabuf_dev_init udmabuf_rs.node=udmabuf";

/// The kernel's own driver has the common name, ours its own, and udev has made no link.
pub fn side_by_side() -> Result<String> {
    ensure!(
        node::taken().as_deref() == Some(node::OURS),
        "the module's node is {:?}",
        node::taken()
    );
    node::check(node::OURS)?;
    node::check(node::COMMON)?;
    let status = status()?;
    ensure!(
        status.contains(
            "now: /dev/udmabuf is the kernel's own driver, udmabuf-rs is /dev/udmabuf-rs"
        ),
        "{status}"
    );
    Ok(status)
}

/// Ours has the common name, and there is no other one.
pub fn exchanged() -> Result<String> {
    ensure!(
        node::taken().as_deref() == Some(node::COMMON),
        "the module's node is {:?}",
        node::taken()
    );
    node::check(node::COMMON)?;
    ensure!(!node::exists(node::OURS), "/dev/{} is there", node::OURS);
    let status = status()?;
    ensure!(
        status.contains("now: /dev/udmabuf is udmabuf-rs"),
        "{status}"
    );
    Ok(status)
}

/// Nothing changes before the next start, for which the boot menu is made.
pub fn switch_on() -> Result<String> {
    let said = command::succeed(&["udmabuf-rs-switch", "on"])?;
    node::check(node::OURS)?;
    ensure!(menu()?.contains(WORDS), "not in {BOOT_MENU}");
    Ok(said)
}

/// The same backwards.
pub fn switch_off() -> Result<String> {
    let said = command::succeed(&["udmabuf-rs-switch", "off"])?;
    node::check(node::COMMON)?;
    ensure!(!menu()?.contains(WORDS), "still in {BOOT_MENU}");
    Ok(said)
}

/// Where a name is taken, the module says so and is not loaded. Before it does, sysfs prints a stack
/// trace, which is not for the console: who reads that is looking for faults.
pub fn taken_name_is_refused() -> Result<String> {
    command::succeed(&["rmmod", "udmabuf_rs"])?;
    command::succeed(&["dmesg", "--console-off"])?;
    let (code, said) = command::to_end(&["modprobe", "udmabuf_rs", "node=udmabuf"])?;
    command::succeed(&["dmesg", "--console-on"])?;
    command::succeed(&["modprobe", "udmabuf_rs"])?;
    ensure!(
        code != Some(0) && said.contains("Device or resource busy"),
        "modprobe ended with {code:?}: {said}"
    );
    let log = command::succeed(&["dmesg"])?;
    let mut lines = log.lines().rev();
    let line = lines.find(|line| line.contains("udmabuf_rs: /dev/udmabuf is another driver's"));
    // udev has seen one of the two nodes go and come.
    command::succeed(&["udevadm", "settle"])?;
    side_by_side()?;
    Ok(line.context("nothing in the kernel log")?.to_owned())
}

fn status() -> Result<String> {
    command::succeed(&["udmabuf-rs-switch", "status"])
}

/// The boot menu, which is kept for the harness.
fn menu() -> Result<String> {
    let menu = fs::read_to_string(BOOT_MENU).context(BOOT_MENU)?;
    fs::create_dir_all(HOST_DIRECTORY).context(HOST_DIRECTORY)?;
    command::succeed(&[MOUNT, &[HOST_DIRECTORY]].concat())?;
    fs::write(KEPT, &menu).context(KEPT)?;
    Ok(menu)
}
