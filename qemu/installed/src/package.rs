// SPDX-License-Identifier: GPL-2.0

//! The package: what apt makes of it.

use std::{fs, path::Path};

use anyhow::{Context, Result, bail, ensure};

use crate::{command, node, rights};

/// The package of a later version, which set-up has put there.
const NEXT: &str = "/srv/next/udmabuf-rs-dkms_99.0_all.deb";
const NEXT_VERSION: &str = "99.0";

/// The kernels' crates, and where they are kept for the next installation: making them takes three
/// minutes of a real machine, and an hour here.
const CRATES: &str = "/var/cache/udmabuf-rs";
const KEPT_CRATES: &str = "/srv/crates";

/// What set-up has put there for later steps, with the package's name in it.
const SET_UP: &str = "/srv/";

/// The module was loaded when the system started, and DKMS has built and signed it: set-up has installed the
/// kernel's headers once more after the package, as those of a new kernel are.
pub fn is_loaded() -> Result<String> {
    ensure!(node::taken().is_some(), "the module is not loaded");
    let file = command::succeed(&["modinfo", "-F", "filename", "udmabuf_rs"])?;
    ensure!(
        file.contains("/updates/dkms/udmabuf_rs.ko"),
        "the module is {file}"
    );
    let signer = command::succeed(&["modinfo", "-F", "signer", "udmabuf_rs"])?;
    ensure!(signer.contains("DKMS"), "signed by: {signer}");
    Ok(file)
}

/// A kernel that is too old is left alone, and somebody who asks is told why.
pub fn old_kernel_is_skipped() -> Result<String> {
    let old = kernels()?.into_iter().find(|name| name.starts_with("6."));
    let old = old.context("no old kernel here")?;
    let dkms = Path::new("/lib/modules").join(&old).join("updates/dkms");
    let built = dkms
        .read_dir()
        .is_ok_and(|mut found| found.next().is_some());
    ensure!(!built, "a module was built for {old}");
    let version = version()?;
    let (_, said) = command::to_end(&[
        "dkms",
        "build",
        &format!("udmabuf-rs/{version}"),
        "-k",
        &old,
    ])?;
    let reason = format!("skips the kernel {old} (");
    let log = command::succeed(&["journalctl", "--no-pager", "-t", "udmabuf-rs", "-o", "cat"])?;
    match log.lines().rev().find(|line| line.contains(&reason)) {
        Some(line) => Ok(line.to_owned()),
        None => bail!("no reason in the system's log: {log}\ndkms says: {said}"),
    }
}

/// A later version takes the place of this one, in one go.
pub fn upgrade() -> Result<String> {
    let said = command::succeed(&["apt-get", "-q", "install", "-y", NEXT])?;
    ensure!(version()? == NEXT_VERSION, "{said}");
    let status = command::succeed(&["dkms", "status", "udmabuf-rs"])?;
    ensure!(
        status.contains(NEXT_VERSION)
            && status.lines().count() == 1
            && status.contains("installed"),
        "dkms status: {status}"
    );
    is_loaded()?;
    Ok(status)
}

/// Without it nothing is there that was not there before.
pub fn purge() -> Result<String> {
    command::succeed(&["cp", "-a", CRATES, KEPT_CRATES])?;
    let said = command::succeed(&["apt-get", "-q", "purge", "-y", "udmabuf-rs-dkms"])?;
    ensure!(node::taken().is_none(), "the module is loaded: {said}");
    ensure!(!node::exists(node::OURS), "the node is there");
    node::check(node::COMMON)?;
    let found = command::succeed(&["find", "/", "-xdev", "-name", "*udmabuf*rs*"])?;
    let ours: Vec<_> = found
        .lines()
        .filter(|path| !path.starts_with(SET_UP))
        .collect();
    ensure!(ours.is_empty(), "left behind: {}", ours.join(" "));
    let status = command::succeed(&["dkms", "status"])?;
    ensure!(status.trim().is_empty(), "dkms status: {status}");
    Ok("no file, no module, no node of the package is left".into())
}

/// Installed on a running system, it is there at once.
pub fn install() -> Result<String> {
    fs::rename(KEPT_CRATES, CRATES).context("cannot put the crates back")?;
    command::succeed(&["apt-get", "-q", "install", "-y", NEXT])?;
    is_loaded()?;
    rights::check("/dev/udmabuf-rs")
}

/// The version that is installed.
fn version() -> Result<String> {
    command::succeed(&["dpkg-query", "-W", "-f", "${Version}", "udmabuf-rs-dkms"])
}

/// The kernels that there are modules or headers of.
fn kernels() -> Result<Vec<String>> {
    let entries = fs::read_dir("/lib/modules").context("/lib/modules")?;
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
