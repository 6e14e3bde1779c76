// SPDX-License-Identifier: GPL-2.0

//! Where variants of the module are built, one after another.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow};
use protocol::DRIVER_MODULE;

use crate::layout::Layout;

/// What the module is built from.
pub const SOURCES: &[&str] = &["Kbuild", "src", "uapi", "include"];

/// A copy of the module's source, and what was built from it against one kernel. What the next
/// variant leaves as it was is not compiled again: that is the C code, nearly half of the work.
pub struct Workshop {
    directory: PathBuf,
    _lock: File,
}

impl Workshop {
    /// The first one of a kernel that nobody is in.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn enter(layout: &Layout, kernel: &str) -> Result<Self> {
        let all = layout.build().join("mutants/workshops");
        let mut number = 0;
        loop {
            let directory = all.join(format!("{kernel}-{number}"));
            let name = || directory.display().to_string();
            fs::create_dir_all(&directory).with_context(name)?;
            let lock = File::create(directory.join("lock")).with_context(name)?;
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Workshop {
                        directory,
                        _lock: lock,
                    });
                }
                Err(TryLockError::WouldBlock) => number += 1,
                Err(TryLockError::Error(error)) => return Err(error).with_context(name),
            }
        }
    }

    /// Builds the module with a patch; returns where it is until the next one is built.
    ///
    /// # Errors
    ///
    /// When the patch does not apply, or the module does not build.
    pub fn build(&self, root: &Path, kernel: &str, patch: &Path) -> Result<PathBuf> {
        let source = self.directory.join("source");
        let output = self.directory.join("output");
        // Files that are as they were keep their times, others get the present one, so make knows.
        let mut copy = Command::new("rsync");
        copy.args(["--recursive", "--copy-links", "--checksum", "--delete"])
            .args(SOURCES)
            .arg(&source)
            .current_dir(root);
        quietly(&mut copy).context("cannot copy the module's source")?;
        let mut apply = Command::new("patch");
        apply
            .args(["-p1", "--batch", "--silent", "--fuzz=0", "-i"])
            .arg(patch)
            .current_dir(&source);
        quietly(&mut apply).context("the patch does not apply any more")?;
        let mut make = Command::new(root.join("ci/module"));
        make.arg(kernel).arg(&source).arg(&output);
        // Nobody debugs a variant. Debug information changes no code, and takes a fifth of the time.
        make.arg("KRUSTFLAGS=-Cdebuginfo=0");
        quietly(&mut make).context("it does not build")?;
        Ok(output.join(format!("{DRIVER_MODULE}.ko")))
    }
}

/// Runs a command; what it printed last is the error if it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    let error = said.lines().find(|line| line.starts_with("error"));
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    Err(anyhow!(
        "{}",
        error.or(last).unwrap_or("it said nothing").trim()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_enters_a_workshop_that_somebody_is_in() {
        let scratch = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(scratch.path());
        let enter = |kernel| Workshop::enter(&layout, kernel).unwrap();
        let (first, second, other) = (enter("k"), enter("k"), enter("l"));
        assert_ne!(first.directory, second.directory);
        assert_ne!(first.directory, other.directory);
        let place = first.directory.clone();
        drop(first);
        assert_eq!(enter("k").directory, place);
    }

    #[test]
    fn what_a_patch_does_not_touch_stays_as_old_as_it_was() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for directory in ["src", "uapi", "include", "ci"] {
            fs::create_dir(root.join(directory)).unwrap();
        }
        for file in ["Kbuild", "src/a", "src/b"] {
            fs::write(root.join(file), "old\n").unwrap();
        }
        // It builds nothing but what the source says. A shell writes it: while this process had it
        // open for writing, nobody could run it.
        let script = format!("mkdir -p $3 && cat $2/src/* >$3/{DRIVER_MODULE}.ko");
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >ci/module && chmod +x ci/module"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", write, "sh", &script]).current_dir(root);
        quietly(&mut shell).unwrap();
        let patch = root.join("patch");
        fs::write(
            &patch,
            "--- a/src/a\n+++ b/src/a\n@@ -1 +1 @@\n-old\n+new\n",
        )
        .unwrap();

        let workshop = Workshop::enter(&Layout::for_tests(root), "k").unwrap();
        let time = |file: &str| {
            let file = workshop.directory.join("source/src").join(file);
            fs::metadata(file).unwrap().modified().unwrap()
        };
        let build = || {
            let module = workshop.build(root, "k", &patch).unwrap();
            assert_eq!(fs::read_to_string(module).unwrap(), "new\nold\n");
            ["a", "b"].map(time)
        };
        let (first, second) = (build(), build());
        assert!(first[0] < second[0], "a was patched again");
        assert_eq!(first[1], second[1]);
    }

    #[test]
    fn a_command_that_fails_says_why() {
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "echo first; echo 'error: the reason' >&2; echo last; exit 1",
        ]);
        assert_eq!(
            quietly(&mut command).unwrap_err().to_string(),
            "error: the reason"
        );
        quietly(&mut Command::new("true")).unwrap();
    }
}
