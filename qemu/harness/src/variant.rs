// SPDX-License-Identifier: GPL-2.0

//! Broken variants of the module: patches in selftests/mutants/, and what is built from them.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use protocol::DRIVER_MODULE;
use sha2::{Digest, Sha256};

use crate::{
    guest,
    layout::Layout,
    parallel,
    workshop::{SOURCES, Workshop},
};

/// What a built module depends on besides: how it is built, and against what.
const BUILDERS: &[&str] = &["ci/module", "ci/env.sh", "ci/versions"];

/// Files of a kernel's build directory that change when it is built anew.
const KERNEL: &[&str] = &[".config", "Module.symvers", "stamp"];

/// The header line of a patch that is a control of the matrix.
pub const CONTROL: &str = "control";

/// A patch against the tree that breaks the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patch {
    /// The file's name without suffix.
    pub name: String,
    /// Where it is.
    pub file: PathBuf,
    /// The text, header and diff.
    pub text: String,
}

impl Patch {
    /// What the lines "# KEY: VALUE" before the diff say.
    pub fn header<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let before = self
            .text
            .lines()
            .take_while(|line| !line.starts_with("--- "));
        before
            .filter_map(move |line| {
                line.strip_prefix("# ")?
                    .strip_prefix(key)?
                    .strip_prefix(':')
            })
            .map(str::trim)
    }
}

/// Every patch there is, sorted by name.
pub fn patches(layout: &Layout) -> Result<Vec<Patch>> {
    let directory = layout.root().join("selftests/mutants");
    let name = || directory.display().to_string();
    let mut all = Vec::new();
    for entry in fs::read_dir(&directory).with_context(name)? {
        let file = entry.with_context(name)?.path();
        if file.extension().is_none_or(|suffix| suffix != "patch") {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let name = file.file_stem().unwrap_or_default();
        all.push(Patch {
            name: name.to_string_lossy().into_owned(),
            file,
            text,
        });
    }
    if all.is_empty() {
        bail!("no patches in {}", directory.display());
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The variants built against one kernel, in the order of the patches. What was built
/// before from the same is not built again.
pub fn build_all(layout: &Layout, kernel: &str, patches: &[Patch]) -> Vec<Result<PathBuf>> {
    let mut built = Vec::new();
    parallel::each(
        patches,
        |patch, _| {
            if guest::interrupted() {
                bail!("interrupted");
            }
            build(layout, kernel, patch)
        },
        |_, news| {
            if let parallel::News::Done(result) = news {
                built.push(result);
            }
        },
    );
    built
}

/// Patches a copy of the module's source and builds it against one kernel; returns the module.
pub fn build(layout: &Layout, kernel: &str, patch: &Patch) -> Result<PathBuf> {
    let directory = layout
        .build()
        .join("mutants")
        .join(kernel)
        .join(&patch.name);
    let name = || directory.display().to_string();
    fs::create_dir_all(&directory).with_context(name)?;
    // Another run of the harness may want the same.
    let lock = File::create(directory.join("lock")).with_context(name)?;
    lock.lock().with_context(name)?;

    let key = key(layout, kernel, patch).context("cannot read what it is built from")?;
    let stamp = directory.join("stamp");
    let module = directory.join(format!("{DRIVER_MODULE}.ko"));
    if module.is_file() && fs::read_to_string(&stamp).is_ok_and(|built| built == key) {
        return Ok(module);
    }
    let workshop = Workshop::enter(layout, kernel)?;
    let built = workshop.build(layout.root(), kernel, &patch.file)?;
    fs::copy(built, &module).with_context(name)?;
    fs::write(&stamp, key).with_context(name)?;
    Ok(module)
}

/// Names everything that the variant is made from.
fn key(layout: &Layout, kernel: &str, patch: &Patch) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES.iter().chain(BUILDERS) {
        collect(&layout.root().join(source), &mut files)?;
    }
    let kernel = layout.kernels().join(kernel);
    // A tree of the user's own has no stamp.
    let kernel = KERNEL.iter().map(|name| kernel.join(name));
    files.extend(kernel.filter(|file| file.is_file()));
    files.sort();
    let mut hash = Sha256::new_with_prefix(&patch.text);
    for file in files {
        let text = fs::read(&file).with_context(|| file.display().to_string())?;
        hash.update(format!("{} {}\n", file.display(), text.len()));
        hash.update(text);
    }
    Ok(format!("{:x}", hash.finalize()))
}

/// Every file at or below a path.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        collect(&entry?.path(), files)?;
    }
    Ok(())
}

#[cfg(test)]
impl Patch {
    /// A patch that is in no file.
    pub fn for_tests(name: &str, text: &str) -> Self {
        Patch {
            name: name.into(),
            file: "/nonexistent".into(),
            text: text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_where_the_diff_begins() {
        let text = "\
# SPDX-License-Identifier: GPL-2.0
# expect: one
# control:
# expectation: not this
--- a/src/x.rs
# expect: never
";
        let patch = Patch::for_tests("x", text);
        assert_eq!(patch.header("expect").collect::<Vec<_>>(), ["one"]);
        assert_eq!(patch.header("control").collect::<Vec<_>>(), [""]);
        assert_eq!(patch.header("other").count(), 0);
    }

    #[test]
    fn the_key_changes_with_whatever_is_built_from() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        for directory in ["src", "uapi", "include", "ci", "build/kernel/k"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        let files = [
            "Kbuild",
            "src/a.rs",
            "uapi/u.h",
            "ci/module",
            "ci/env.sh",
            "ci/versions",
        ];
        for file in files.into_iter().chain(["build/kernel/k/.config"]) {
            fs::write(root.join(file), file).unwrap();
        }
        let layout = Layout::for_tests(root);
        let patch = Patch::for_tests("x", "one");
        let first = key(&layout, "k", &patch).unwrap();
        assert_eq!(key(&layout, "k", &patch).unwrap(), first);
        assert_ne!(
            key(&layout, "k", &Patch::for_tests("x", "two")).unwrap(),
            first
        );
        for file in ["src/a.rs", "build/kernel/k/.config", "ci/env.sh"] {
            fs::write(root.join(file), "changed").unwrap();
            assert_ne!(key(&layout, "k", &patch).unwrap(), first, "{file}");
            fs::write(root.join(file), file).unwrap();
        }
        assert_eq!(key(&layout, "k", &patch).unwrap(), first);
    }
}
