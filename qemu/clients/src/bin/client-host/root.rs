// SPDX-License-Identifier: GPL-2.0

//! The root file system of the clients.

use std::{
    ffi::CStr,
    fs,
    os::unix::fs::chroot,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount, mount_bind_recursive};

use crate::user::{self, User};

/// The 9p tags under which the harness shares it, and a directory for results.
const ROOT_TAG: &str = "clients";
const RESULTS_TAG: &str = "results";

/// How 9p is spoken; nobody changes the clients' files meanwhile, so they may be cached.
const ROOT_OPTIONS: &CStr = c"trans=virtio,version=9p2000.L,cache=loose,msize=524288";
const RESULTS_OPTIONS: &CStr = c"trans=virtio,version=9p2000.L";

/// Where the root is mounted, and where the harness has put our own clients.
const ROOT: &str = "/clients";
const PROGRAMS: &str = "/programs";

/// What is the guest's own; /tmp last, which [`enter`] relies upon.
const OWN: &[&str] = &["dev", "proc", "sys", "tmp"];

/// The places that are there after [`enter`].
pub struct Places {
    /// The user's home, in which everything can be written.
    pub home: PathBuf,
    /// Our own clients.
    pub programs: PathBuf,
    /// What is kept on the host.
    pub results: PathBuf,
}

/// Makes the clients' root this process's own, with the guest's devices in it. It cannot be
/// written, but for /run and what is below /tmp.
pub fn enter() -> Result<(Places, User)> {
    let scratch = Path::new("/tmp/clients");
    let places = Places {
        home: scratch.join("home"),
        programs: scratch.join("programs"),
        results: scratch.join("results"),
    };
    let root = Path::new(ROOT);
    for directory in [root, &places.home, &places.programs, &places.results] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    // An earlier client in the same guest has left it mounted if the last step below is there.
    if !root.join("tmp/clients").exists() {
        let flags = MountFlags::empty();
        mount(RESULTS_TAG, &places.results, "9p", flags, RESULTS_OPTIONS)
            .context("cannot mount the directory for results over 9p")?;
        mount(ROOT_TAG, root, "9p", MountFlags::RDONLY, ROOT_OPTIONS)
            .context("cannot mount the clients' root over 9p")?;
        mount("tmpfs", root.join("run"), "tmpfs", flags, c"mode=0755").context("/run")?;
        for name in OWN {
            mount_bind_recursive(Path::new("/").join(name), root.join(name))
                .with_context(|| format!("cannot bind /{name} into the clients' root"))?;
        }
    }
    for entry in fs::read_dir(PROGRAMS).context(PROGRAMS)? {
        let from = entry.context(PROGRAMS)?;
        // The scratch directory is in both roots.
        fs::copy(from.path(), places.programs.join(from.file_name()))
            .with_context(|| format!("cannot copy {}", from.path().display()))?;
    }
    chroot(root).context("cannot change the root directory")?;
    std::env::set_current_dir("/").context("cannot change the directory")?;
    let user = User::new(places.home.clone())?;
    user::give(&places.home)?;
    Ok((places, user))
}
