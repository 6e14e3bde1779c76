// SPDX-License-Identifier: GPL-2.0

//! Who may open a node: the group kvm, and who sits in front of the machine.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use crate::command;

/// A user in the group kvm, who is logged in nowhere.
const MEMBER: &str = "user";

/// A user without groups, who is logged in on the machine's own terminal.
const DESK: &str = "desk";

/// A user who is neither.
const NOBODY: &str = "nobody";

/// How long it may take until somebody sits in front of the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// An error unless these may open a node, and nobody else; what is said of it.
pub fn check(node: &str) -> Result<String> {
    wait_for_the_desk()?;
    let facts = command::succeed(&["stat", "-c", "%U:%G %a", node])?;
    ensure!(facts.trim() == "root:kvm 660", "{node} is {}", facts.trim());
    for (user, may) in [(MEMBER, true), (DESK, true), (NOBODY, false)] {
        let opened = opens(user, node)?;
        ensure!(
            opened == may,
            "{user} {} open {node}",
            if opened { "can" } else { "cannot" }
        );
    }
    Ok(format!(
        "{node} is {}; {MEMBER} (in the group) and {DESK} (logged in on tty1) can open it, {NOBODY} cannot",
        facts.trim()
    ))
}

/// Whether a user, with all groups of theirs, can open it for reading and writing.
fn opens(user: &str, node: &str) -> Result<bool> {
    let id = command::succeed(&["id", "-u", user])?;
    let group = command::succeed(&["id", "-g", user])?;
    let (code, said) = command::to_end(&[
        "setpriv",
        "--reuid",
        id.trim(),
        "--regid",
        group.trim(),
        "--init-groups",
        "sh",
        "-c",
        &format!("exec 3<>{node}"),
    ])?;
    ensure!(
        code == Some(0) || said.contains("Permission denied"),
        "{user}: another failure: {said}"
    );
    Ok(code == Some(0))
}

fn wait_for_the_desk() -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !command::succeed(&["loginctl", "--no-legend", "list-sessions"])?
        .lines()
        .any(|line| line.contains(DESK) && line.contains("seat0"))
    {
        ensure!(Instant::now() < deadline, "{DESK} is not logged in");
        thread::sleep(Duration::from_millis(500));
    }
    // What a session changes, udev changes a moment later.
    command::succeed(&["udevadm", "settle"]).context("udevadm")?;
    Ok(())
}
