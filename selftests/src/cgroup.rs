// SPDX-License-Identifier: GPL-2.0

//! Groups of processes, and the memory that the kernel charges to each.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use rustix::io::Errno;
use rustix::mount;
use rustix::mount::MountFlags;
use rustix::mount::UnmountFlags;

/// Where the groups are seen while there is a [`Tree`].
const PLACE: &str = "/tmp/cgroup";

/// All groups; unmounted on drop.
#[derive(Debug)]
pub struct Tree(());

/// One group; removed on drop.
#[derive(Debug)]
pub struct Group<'a> {
    _tree: &'a Tree,
    path: PathBuf,
}

impl Tree {
    /// Mounts the groups, and has new ones count memory.
    ///
    /// # Errors
    ///
    /// `Unsupported` when the kernel has no groups, or none that count memory.
    pub fn mount() -> io::Result<Tree> {
        fs::create_dir_all(PLACE)?;
        mount::mount("cgroup2", PLACE, "cgroup2", MountFlags::empty(), c"").map_err(|errno| {
            match errno {
                Errno::NODEV => io::ErrorKind::Unsupported.into(),
                errno => io::Error::from(errno),
            }
        })?;
        let tree = Tree(());
        let controllers = fs::read_to_string(Path::new(PLACE).join("cgroup.controllers"))?;
        if !controllers.split_whitespace().any(|name| name == "memory") {
            return Err(io::ErrorKind::Unsupported.into());
        }
        fs::write(Path::new(PLACE).join("cgroup.subtree_control"), "+memory")?;
        Ok(tree)
    }

    /// Makes a group that nothing is charged to yet.
    ///
    /// # Errors
    ///
    /// When there is a group of that name.
    pub fn group(&self, name: &str) -> io::Result<Group<'_>> {
        let path = Path::new(PLACE).join(name);
        fs::create_dir(&path)?;
        Ok(Group { _tree: self, path })
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        // What is still mounted is in nobody's way.
        let _ = mount::unmount(PLACE, UnmountFlags::empty());
    }
}

impl Group<'_> {
    /// Runs `body` while this process belongs to the group.
    ///
    /// # Errors
    ///
    /// Those of joining and leaving.
    pub fn with<T>(&self, body: impl FnOnce() -> T) -> io::Result<T> {
        // 0 stands for the process that writes.
        fs::write(self.path.join("cgroup.procs"), "0")?;
        let result = body();
        fs::write(Path::new(PLACE).join("cgroup.procs"), "0")?;
        Ok(result)
    }

    /// Has the kernel slow down whoever of the group asks for more than so many bytes.
    ///
    /// # Errors
    ///
    /// Those of writing the file.
    pub fn slow_down_beyond(&self, bytes: u64) -> io::Result<()> {
        fs::write(self.path.join("memory.high"), bytes.to_string())
    }

    /// Memory of the kernel's own that is charged to the group, in bytes.
    ///
    /// # Errors
    ///
    /// Those of reading the file, and `InvalidData` when the number is not there.
    pub fn kernel_memory(&self) -> io::Result<u64> {
        let stat = fs::read_to_string(self.path.join("memory.stat"))?;
        let mut lines = stat.lines().filter_map(|line| line.split_once(' '));
        let value = lines.find_map(|(name, value)| (name == "kernel").then_some(value));
        number(value.unwrap_or_default())
    }

    /// The most memory of any kind that was charged to the group at the same time, in bytes.
    ///
    /// # Errors
    ///
    /// Those of reading the file.
    pub fn peak(&self) -> io::Result<u64> {
        number(fs::read_to_string(self.path.join("memory.peak"))?.trim_end())
    }
}

impl Drop for Group<'_> {
    fn drop(&mut self) {
        // No process is in it: cannot fail.
        let _ = fs::remove_dir(&self.path);
    }
}

fn number(text: &str) -> io::Result<u64> {
    text.parse()
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}
