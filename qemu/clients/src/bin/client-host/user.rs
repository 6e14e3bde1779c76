// SPDX-License-Identifier: GPL-2.0

//! An ordinary user, whose only privilege is the group that owns `/dev/udmabuf`.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};

/// The user's number and that of the group of the same name.
const ID: u32 = 1000;

/// The group that systemd's rule gives the device to.
const GROUP: &str = "kvm";

/// Where the groups are.
const GROUPS: &str = "/etc/group";

/// Which groups a program runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Groups {
    /// The user's own, and that of the device.
    Device,
    /// The user's own one.
    None,
}

/// The user.
pub struct User {
    home: PathBuf,
    /// The number of the device's group.
    pub group: u32,
}

impl User {
    /// One with that home.
    pub fn new(home: PathBuf) -> Result<Self> {
        let groups = fs::read_to_string(GROUPS).context(GROUPS)?;
        let group = number(&groups, GROUP);
        let group = group.with_context(|| format!("{GROUPS} has no group {GROUP}"))?;
        Ok(User { home, group })
    }

    /// A command of the user's, which ends after that time.
    pub fn command(&self, program: impl AsRef<OsStr>, groups: Groups, limit: Duration) -> Command {
        let mut command = Command::new("/usr/bin/setpriv");
        command.arg(format!("--reuid={ID}"));
        command.arg(format!("--regid={ID}"));
        match groups {
            Groups::Device => command.arg(format!("--groups={}", self.group)),
            Groups::None => command.arg("--clear-groups"),
        };
        command.args(["--no-new-privs", "--"]);
        command.args(["/usr/bin/timeout", "--kill-after=5"]);
        command.arg(limit.as_secs().to_string());
        command.arg(program);
        command
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("HOME", &self.home)
            .env("XDG_RUNTIME_DIR", &self.home)
            .env("LANG", "C.UTF-8")
            .current_dir(&self.home);
        command
    }
}

/// The number of a group, in the format of /etc/group.
fn number(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    lines
        .find_map(|mut fields| (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()))?
}

/// Makes a directory the user's own.
pub fn give(directory: &Path) -> Result<()> {
    chown(directory, Some(ID), Some(ID))
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(0o700)))
        .with_context(|| format!("cannot give away {}", directory.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_whole_name() {
        let groups = "root:x:0:\nkvmx:x:7:\nkvm:x:104:user\n";
        assert_eq!(number(groups, "kvm"), Some(104));
        assert_eq!(number(groups, "video"), None);
        assert_eq!(number("kvm:x:many:\n", "kvm"), None);
    }
}
