// SPDX-License-Identifier: GPL-2.0

//! The guest's root file system: an uncompressed cpio archive in the newc format.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use cpio::newc::{Builder, ModeFileType, trailer};

/// An archive under construction. Only what a job needs goes in, so that boots stay short.
#[derive(Default)]
pub struct Initramfs {
    files: Vec<(String, PathBuf)>,
}

impl Initramfs {
    /// An archive with `init` as PID 1.
    pub fn new(init: &Path) -> Self {
        let mut archive = Initramfs::default();
        archive.add("/init", init);
        archive
    }

    /// Puts a file of the host at an absolute place in the guest, executable.
    pub fn add(&mut self, place: &str, file: &Path) {
        if !self.files.iter().any(|(taken, _)| taken == place) {
            self.files.push((place.to_owned(), file.to_owned()));
        }
    }

    /// Copies the files below a directory instead, for a guest that has a root file system of its own.
    ///
    /// # Errors
    ///
    /// When a file cannot be copied.
    pub fn copy(&self, below: &Path) -> Result<()> {
        for (place, file) in &self.files {
            let to = below.join(place.trim_start_matches('/'));
            fs::create_dir_all(to.parent().unwrap_or(below))
                .and_then(|()| fs::copy(file, &to))
                .with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
        }
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or the archive cannot be written.
    pub fn write(&self, to: &Path) -> Result<()> {
        let file = File::create(to).with_context(|| format!("cannot make {}", to.display()))?;
        let mut out = BufWriter::new(file);
        let mut number = 0;
        let mut entry = |name: &str, kind, mode| {
            number += 1;
            Builder::new(name)
                .ino(number)
                .nlink(1)
                .set_mode_file_type(kind)
                .mode(mode)
        };

        let places = self
            .files
            .iter()
            .map(|(place, _)| place.trim_start_matches('/'));
        for directory in directories(places) {
            out = entry(&directory, ModeFileType::Directory, 0o040_755)
                .write(out, 0)
                .finish()?;
        }
        // PID 1 gets its first descriptors from here, before it can mount a devtmpfs.
        out = entry("dev/console", ModeFileType::Char, 0o020_600)
            .rdev_major(5)
            .rdev_minor(1)
            .write(out, 0)
            .finish()?;
        for (place, path) in &self.files {
            let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            let size = data
                .len()
                .try_into()
                .context("file too large for an initramfs")?;
            let name = place.trim_start_matches('/');
            let mut writer = entry(name, ModeFileType::Regular, 0o100_755).write(out, size);
            writer.write_all(&data)?;
            out = writer.finish()?;
        }
        trailer(out)?
            .flush()
            .with_context(|| format!("cannot write {}", to.display()))
    }
}

/// Every directory that the files need, parents first, and those that init mounts on.
fn directories<'a>(files: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut all: BTreeSet<String> = ["dev", "proc", "sys", "tmp"].map(String::from).into();
    for file in files {
        for parent in Path::new(file).ancestors().skip(1) {
            if parent != Path::new("") {
                all.insert(parent.to_string_lossy().into_owned());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use cpio::newc::Reader;

    use super::*;

    /// Names, modes and contents of an archive.
    fn entries(archive: &Path) -> Vec<(String, u32, Vec<u8>)> {
        let mut file = File::open(archive).unwrap();
        let mut all = Vec::new();
        loop {
            let mut reader = Reader::new(file).unwrap();
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return all;
            }
            let mut data = Vec::new();
            reader.read_to_end(&mut data).unwrap();
            all.push((entry.name().to_owned(), entry.mode(), data));
            file = reader.finish().unwrap();
        }
    }

    #[test]
    fn archive_holds_what_was_added_below_its_directories() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("program");
        fs::write(&program, b"some odd\0bytes").unwrap();
        let mut archive = Initramfs::new(&program);
        archive.add("/usr/lib/thing", &program);
        archive.add("/usr/lib/thing", Path::new("/nonexistent"));
        let to = scratch.path().join("cpio");
        archive.write(&to).unwrap();

        let entries = entries(&to);
        let find = |name: &str| {
            entries
                .iter()
                .position(|entry| entry.0 == name)
                .expect(name)
        };
        assert!(find("usr") < find("usr/lib") && find("usr/lib") < find("usr/lib/thing"));
        assert_eq!(entries[find("usr")].1, 0o040_755);
        assert_eq!(entries[find("dev/console")].1, 0o020_600);
        assert_eq!(entries[find("init")].1, 0o100_755);
        assert_eq!(entries[find("usr/lib/thing")].2, b"some odd\0bytes");
        for directory in ["proc", "sys", "tmp"] {
            find(directory);
        }
    }

    #[test]
    fn files_can_be_below_a_directory_instead() {
        let scratch = tempfile::tempdir().unwrap();
        let program = scratch.path().join("program");
        fs::write(&program, b"something").unwrap();
        let mut archive = Initramfs::new(&program);
        archive.add("/programs/client", &program);
        let below = scratch.path().join("share");
        archive.copy(&below).unwrap();
        for place in ["init", "programs/client"] {
            assert_eq!(fs::read(below.join(place)).unwrap(), b"something");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let scratch = tempfile::tempdir().unwrap();
        let archive = Initramfs::new(Path::new("/nonexistent/init"));
        for error in [
            archive.write(&scratch.path().join("cpio")).unwrap_err(),
            archive.copy(&scratch.path().join("share")).unwrap_err(),
        ] {
            assert!(format!("{error:#}").contains("/nonexistent/init"));
        }
    }
}
