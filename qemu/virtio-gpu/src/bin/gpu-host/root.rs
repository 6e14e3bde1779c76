// SPDX-License-Identifier: GPL-2.0

//! The host's file system, in which the outer guest finds QEMU.

use std::{
    ffi::CStr,
    fs,
    os::unix::fs::chroot,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount, mount_bind_recursive};

/// The 9p tags under which the harness shares the host's root and a directory for results.
const ROOT_TAG: &str = "root";
const RESULTS_TAG: &str = "results";

/// How 9p is spoken; nobody changes the host's files meanwhile, so they may be cached.
const ROOT_OPTIONS: &CStr = c"trans=virtio,version=9p2000.L,cache=loose";
const RESULTS_OPTIONS: &CStr = c"trans=virtio,version=9p2000.L";

/// Where the harness has put what the inner guest boots, and where that is needed.
const LEVEL_2: &str = "/level2";

/// What every directory tree of Linux has, and what is the outer guest's own; /tmp last, which
/// [`enter`] relies upon.
const OWN: &[&str] = &["dev", "proc", "sys", "tmp"];

/// The places that are there after [`enter`].
pub struct Places {
    /// The inner guest's kernel.
    pub kernel: PathBuf,
    /// Its root file system.
    pub initramfs: PathBuf,
    /// For sockets and screens.
    pub scratch: PathBuf,
    /// What is kept on the host.
    pub results: PathBuf,
}

/// Makes the host's root this process's own, with the outer guest's devices in it.
pub fn enter() -> Result<Places> {
    let host = Path::new("/host");
    let scratch = Path::new("/tmp/virtio-gpu");
    let results = scratch.join("results");
    for directory in [host, &results] {
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
    }
    // An earlier run in the same guest has left it mounted if the last step below is there.
    // The results come first: what is mounted later below /tmp is not in the other root.
    if !host.join("tmp/virtio-gpu").exists() {
        let flags = MountFlags::empty();
        mount(RESULTS_TAG, &results, "9p", flags, RESULTS_OPTIONS)
            .context("cannot mount the directory for results over 9p")?;
        mount(ROOT_TAG, host, "9p", MountFlags::RDONLY, ROOT_OPTIONS)
            .context("cannot mount the host's root over 9p")?;
        for name in OWN {
            mount_bind_recursive(Path::new("/").join(name), host.join(name))
                .with_context(|| format!("cannot bind /{name} into the host's root"))?;
        }
    }
    let [kernel, initramfs] = ["kernel", "initramfs"].map(|name| scratch.join(name));
    for place in [&kernel, &initramfs] {
        let from = Path::new(LEVEL_2).join(place.file_name().unwrap_or_default());
        // The scratch directory is in both roots.
        fs::copy(&from, place).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    chroot(host).context("cannot change the root directory")?;
    std::env::set_current_dir(scratch).context("cannot change the directory")?;
    Ok(Places {
        kernel,
        initramfs,
        scratch: scratch.to_owned(),
        results,
    })
}
