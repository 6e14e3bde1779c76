// SPDX-License-Identifier: GPL-2.0

//! A guest in the guest: what the outer one needs to boot an inner one under the host's QEMU. Both
//! boot the same kernel, and load the same module.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use protocol::DRIVER_MODULE;
use tempfile::TempDir;

use crate::{
    boot::{Boot, Task},
    command::test::missing,
    initramfs::Initramfs,
    kernel::{Flavour, Kernel},
    layout::Layout,
    machine::{Machine, X86Direct},
    qemu::{Pace, Share},
    usage::refuse,
};

/// The machine of the outer guest.
pub const MACHINE: &dyn Machine = &X86Direct;

/// What runs in the outer guest, and what in the inner one.
const HOST_PROGRAM: &str = "gpu-host";
const GUEST_PROGRAM: &str = "gpu-guest";

/// How long the outer program may take; it bounds every step of its own.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Everything that an inner guest takes.
pub struct Nested<'a> {
    layout: &'a Layout,
    kernel: Kernel,
    qemu: PathBuf,
    /// The inner guest's root file system, as long as this lives.
    scratch: TempDir,
    results: PathBuf,
    _claim: File,
}

impl<'a> Nested<'a> {
    /// Puts everything in place. What comes out goes to `build/screens/<name>/`, which is
    /// emptied.
    ///
    /// # Errors
    ///
    /// When something is missing, which is named.
    pub fn prepare(layout: &'a Layout, name: &str, kernel: Kernel) -> Result<Self> {
        let qemu = find_program(MACHINE.board().qemu)?;
        let programs = layout.programs(MACHINE.board().target);
        let (init, program) = (programs.join("init"), programs.join(GUEST_PROGRAM));
        for file in [&init, &program, &programs.join(HOST_PROGRAM)] {
            missing(file)?;
        }
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let mut archive = Initramfs::new(&init);
        archive.add(&format!("/bin/{GUEST_PROGRAM}"), &program);
        let module = format!("/modules/{DRIVER_MODULE}.ko");
        archive.add(&module, &kernel.module(DRIVER_MODULE)?);
        archive.write(&scratch.path().join("initramfs"))?;

        let (lock, claim) = layout.claim("screens", name, "lock")?;
        let results = lock.with_extension("");
        // What an earlier run left must not be taken for this one's.
        if results.exists() {
            fs::remove_dir_all(&results)
                .with_context(|| format!("cannot empty {}", results.display()))?;
        }
        fs::create_dir(&results).with_context(|| format!("cannot make {}", results.display()))?;
        Ok(Nested {
            layout,
            kernel,
            qemu,
            scratch,
            results,
            _claim: claim,
        })
    }

    /// The kernel of both guests.
    pub fn kernel(layout: &Layout) -> Result<Kernel> {
        Kernel::find(layout, MACHINE, Flavour::Plain)
    }

    /// Where screens and the inner guest's logs are.
    pub fn results(&self) -> &Path {
        &self.results
    }

    /// A run of the outer program, which boots an inner guest for it.
    pub fn task(&self, arguments: &[&str]) -> Result<Task> {
        let programs = self.layout.programs(MACHINE.board().target);
        let qemu = self.qemu.to_str().context("QEMU has an odd name")?;
        let mut words = vec!["--qemu".to_owned(), qemu.to_owned()];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        Task::new(&programs.join(HOST_PROGRAM), words, Some(TIME_LIMIT))
    }

    /// A boot of the outer guest. It sees the host's root, where QEMU is.
    pub fn boot(&self, name: String, tasks: Vec<Task>) -> Boot<'_> {
        let share = |tag, directory: &Path, writable| Share {
            tag,
            directory: directory.to_owned(),
            writable,
        };
        Boot {
            name,
            tasks,
            unload: true,
            pace: Pace::Real,
            files: vec![
                ("/level2/kernel".into(), self.kernel.image.clone()),
                (
                    "/level2/initramfs".into(),
                    self.scratch.path().join("initramfs"),
                ),
            ],
            shares: vec![
                share("root", Path::new("/"), false),
                share("results", &self.results, true),
            ],
            ..Boot::new(self.layout, MACHINE, &self.kernel)
        }
    }
}

/// The file that a command of that name is.
fn find_program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).map(|directory| directory.join(name));
    match places.find(|place| place.is_file()) {
        // The outer guest has the host's directories, but not what it calls the current one.
        Some(place) => Ok(std::path::absolute(place)?),
        None => refuse!("no {name} in PATH: run ci/setup"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let error = find_program("no-such-program").unwrap_err();
        assert!(error.to_string().contains("no no-such-program in PATH"));
        assert!(find_program("sh").unwrap().is_absolute());
    }
}
