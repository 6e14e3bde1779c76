// SPDX-License-Identifier: GPL-2.0

//! What the results are results of.

use std::{fmt, path::Path, process::Command};

use serde::Serialize;

use crate::machine::Machine;

/// What is not known.
const UNKNOWN: &str = "unknown";

/// The first line of the results.
#[derive(Clone, Debug, Serialize)]
pub struct Versions {
    /// When it was done, in UTC.
    pub date: String,
    /// The kernel's release.
    pub kernel: String,
    /// The version of QEMU.
    pub qemu: String,
    /// The commit of this project, and whether that is all.
    pub commit: String,
    /// The version of the compiler of driver and programs.
    pub rustc: String,
    /// The command that makes them again.
    pub command: String,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Versions {
            date,
            kernel,
            qemu,
            commit,
            rustc,
            command,
        } = self;
        write!(
            f,
            "Measured on {date} with Linux {kernel}, QEMU {qemu} and rustc {rustc} at commit {commit}, \
             by `{command}`."
        )
    }
}

impl Versions {
    /// The versions in use now, with these kernels on these machines, of the project in `root`.
    pub fn find(
        root: &Path,
        kernels: &[String],
        machines: &[&dyn Machine],
        command: String,
    ) -> Self {
        let qemus = machines.iter().map(|machine| {
            let said = ask(Command::new(machine.board().qemu).arg("--version"));
            version(&said, "version").unwrap_or_else(|| UNKNOWN.into())
        });
        let rustc = ask(Command::new("rustc").arg("--version"));
        let mut describe = Command::new("git");
        describe.arg("-C").arg(root);
        describe.args([
            "describe",
            "--always",
            "--dirty",
            "--abbrev=12",
            "--exclude=*",
        ]);
        let commit = ask(&mut describe);
        Versions {
            date: jiff::Timestamp::now()
                .strftime("%Y-%m-%d %H:%M")
                .to_string(),
            kernel: each_once(kernels.iter().cloned()),
            qemu: each_once(qemus),
            commit: match commit.trim() {
                "" => UNKNOWN.into(),
                commit => commit.into(),
            },
            rustc: version(&rustc, "rustc").unwrap_or_else(|| UNKNOWN.into()),
            command,
        }
    }
}

/// What a program says; nothing if it cannot be run or fails.
fn ask(command: &mut Command) -> String {
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        _ => String::new(),
    }
}

/// The word after another one, as in "QEMU emulator version 10.0.2 (...)".
fn version(said: &str, before: &str) -> Option<String> {
    let mut words = said.split_whitespace();
    words.find(|word| *word == before)?;
    words.next().map(str::to_owned)
}

fn each_once(texts: impl Iterator<Item = String>) -> String {
    let mut once: Vec<String> = Vec::new();
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    match once.is_empty() {
        true => UNKNOWN.into(),
        false => once.join(", "),
    }
}

#[cfg(test)]
impl Versions {
    /// Versions of nothing, for tests.
    pub fn for_tests() -> Self {
        Versions {
            date: "2026-11-21 12:00".into(),
            kernel: "7.0".into(),
            qemu: "10.0.2".into(),
            commit: "0123456789ab".into(),
            rustc: "1.95.0".into(),
            command: "make bench".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_the_word_after_another() {
        let qemu = "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright";
        assert_eq!(version(qemu, "version").unwrap(), "10.0.2");
        let rustc = "rustc 1.95.0 (59807616e 2026-04-14)";
        assert_eq!(version(rustc, "rustc").unwrap(), "1.95.0");
        assert_eq!(version("what?", "version"), None);
    }

    #[test]
    fn what_is_not_there_is_unknown() {
        let nowhere = tempfile::tempdir().unwrap();
        let versions = Versions::find(nowhere.path(), &[], &[], "make bench".into());
        assert_eq!(versions.commit, UNKNOWN);
        assert_eq!(
            (versions.kernel.as_str(), versions.qemu.as_str()),
            (UNKNOWN, UNKNOWN)
        );
        let kernels = ["7.0", "7.1", "7.0"].map(String::from);
        let versions = Versions::find(nowhere.path(), &kernels, &[], "make bench".into());
        assert_eq!(versions.kernel, "7.0, 7.1");
    }
}
