// SPDX-License-Identifier: GPL-2.0

//! A guest in the guest: what the outer one needs to boot an inner one under the host's QEMU. The
//! inner one is emulated by an emulated CPU, so it is what boots with the fewest instructions.

use std::{
    env,
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use protocol::DRIVER_MODULE;
use tempfile::TempDir;

use crate::{
    boot::{Boot, Task},
    initramfs::Initramfs,
    kernel::{Flavour, Further, Kernel},
    layout::{Layout, missing},
    machine::{Arm64Coherent, Machine, X86Direct},
    qemu::{Pace, Share},
    usage::refuse,
};

/// The machine of the outer guest.
pub const MACHINE: &dyn Machine = &X86Direct;

/// The machine that the inner guest's is like: an arm64 kernel decompresses nothing, and finds little to
/// look for.
const INNER: &dyn Machine = &Arm64Coherent;

/// What runs in the outer guest, and what in the inner one.
const HOST_PROGRAM: &str = "gpu-host";
const GUEST_PROGRAM: &str = "gpu-guest";

/// How long the outer program may take; it bounds every step of its own.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// Directories of the host that the outer guest does not see: it has its own ones there.
const HIDDEN: &[&str] = &["/dev", "/proc", "/sys", "/tmp"];

/// Everything that an inner guest takes.
pub struct Nested<'a> {
    layout: &'a Layout,
    /// The outer guest's.
    kernel: Kernel,
    inner: Kernel,
    qemu: PathBuf,
    /// What the outer guest has as its root, in which QEMU is.
    root: PathBuf,
    /// The inner guest's root file system, as long as this lives.
    scratch: TempDir,
    results: PathBuf,
    _claim: File,
}

impl<'a> Nested<'a> {
    /// Puts everything in place. What comes out will go to `build/screens/<name>/`.
    ///
    /// # Errors
    ///
    /// When something is missing, which is named.
    pub fn prepare(layout: &'a Layout, name: &str, kernel: Kernel) -> Result<Self> {
        let inner = Kernel::find(layout, INNER, Flavour::frequent(INNER.board())?)?;
        let qemu = find_program(INNER.board().qemu)?;
        let programs = layout.programs(INNER.board().target, inner.flavour);
        let (init, program) = (programs.join("init"), programs.join(GUEST_PROGRAM));
        for file in [&init, &program] {
            missing(file)?;
        }
        let scratch = tempfile::tempdir().context("cannot make a temporary directory")?;
        let mut archive = Initramfs::new(&init);
        archive.add(&format!("/bin/{GUEST_PROGRAM}"), &program);
        let module = format!("/modules/{DRIVER_MODULE}.ko");
        archive.add(&module, &inner.module(DRIVER_MODULE)?);
        for (place, file) in inner.further_modules(&[Further::Camera, Further::Screen])? {
            archive.add(&place, &file);
        }
        archive.write(&scratch.path().join("initramfs"))?;

        let (lock, claim) = layout.claim("screens", name, "lock")?;
        let results = lock.with_extension("");
        Ok(Nested {
            layout,
            kernel,
            inner,
            qemu,
            root: PathBuf::from("/"),
            scratch,
            results,
            _claim: claim,
        })
    }

    /// The same with QEMU out of another root file system than the host's.
    ///
    /// # Errors
    ///
    /// When there is none in it.
    pub fn with_root(self, root: &Path) -> Result<Self> {
        let root = std::path::absolute(root)?;
        let place = qemu_in(&root);
        missing(&place)?;
        let qemu = Path::new("/").join(place.strip_prefix(&root)?);
        Ok(Nested { qemu, root, ..self })
    }

    /// The kernel of the outer guest.
    pub fn kernel(layout: &Layout) -> Result<Kernel> {
        Kernel::find(layout, MACHINE, Flavour::usual()?)
    }

    /// Where screens and the inner guest's logs are.
    pub fn results(&self) -> &Path {
        &self.results
    }

    /// Empties that directory, before a boot: what an earlier one left must not be taken for
    /// what this one makes.
    pub fn clear_results(&self) -> Result<()> {
        let directory = &self.results;
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        fs::create_dir(directory).with_context(|| format!("cannot make {}", directory.display()))
    }

    /// A run of the outer program, which boots an inner guest for it.
    pub fn task(&self, arguments: &[&str]) -> Result<Task> {
        let programs = self
            .layout
            .programs(MACHINE.board().target, self.kernel.flavour);
        let qemu = self.qemu.to_str().context("QEMU has an odd name")?;
        let mut words = vec!["--qemu".to_owned(), qemu.to_owned()];
        words.extend(arguments.iter().map(|word| (*word).to_owned()));
        let file = programs.join(HOST_PROGRAM);
        missing(&file)?;
        Task::new(&file, words, Some(TIME_LIMIT))
    }

    /// A boot of the outer guest. It sees the root, where QEMU is.
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
            further: vec![Further::HostFiles],
            files: vec![
                ("/level2/kernel".into(), self.inner.image.clone()),
                (
                    "/level2/initramfs".into(),
                    self.scratch.path().join("initramfs"),
                ),
            ],
            shares: vec![
                share("root", &self.root, false),
                share("results", &self.results, true),
            ],
            ..Boot::new(self.layout, MACHINE, &self.kernel)
        }
    }
}

/// Where the inner guest's QEMU is in a root file system.
pub fn qemu_in(root: &Path) -> PathBuf {
    root.join("usr/bin").join(INNER.board().qemu)
}

/// The file that a command of that name is.
fn find_program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = env::split_paths(&path).map(|directory| directory.join(name));
    let Some(place) = places.find(|place| is_program(place)) else {
        refuse!("no {name} in PATH: run ci/setup");
    };
    // The outer guest has the host's directories, but not what it calls the current one.
    let place = std::path::absolute(place)?;
    if let Some(own) = HIDDEN.iter().find(|own| place.starts_with(own)) {
        let place = place.display();
        refuse!("the guest has an {own} of its own and does not see {place}: install it elsewhere");
    }
    Ok(place)
}

fn is_program(place: &Path) -> bool {
    let executable = |file: fs::Metadata| file.is_file() && file.permissions().mode() & 0o111 != 0;
    fs::metadata(place).is_ok_and(executable)
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
