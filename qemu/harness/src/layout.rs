// SPDX-License-Identifier: GPL-2.0

//! Where everything is.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::kernel::Flavour;

/// The source tree, the build directory below it, and what set-up has put elsewhere.
#[derive(Clone)]
pub struct Layout {
    root: PathBuf,
    kernels: PathBuf,
    modules: PathBuf,
}

impl Layout {
    /// The source tree: `$UDMABUF_ROOT`, or the nearest directory above the current one that looks like it.
    /// `KSRC=` moves the kernels and modules, through `$UDMABUF_KERNELS` and `$UDMABUF_MODULES`.
    pub fn find() -> Result<Self> {
        let root = match env::var_os("UDMABUF_ROOT") {
            Some(root) => root.into(),
            None => Self::above_here()?,
        };
        let mut layout = Self::below(root);
        if let Some(kernels) = env::var_os("UDMABUF_KERNELS") {
            layout.kernels = kernels.into();
        }
        if let Some(modules) = env::var_os("UDMABUF_MODULES") {
            layout.modules = modules.into();
        }
        Ok(layout)
    }

    fn above_here() -> Result<PathBuf> {
        let here = env::current_dir().context("no current directory")?;
        match here
            .ancestors()
            .find(|directory| directory.join("ci/versions").is_file())
        {
            Some(root) => Ok(root.to_owned()),
            None => bail!("not inside the source tree: change into it or set UDMABUF_ROOT"),
        }
    }

    /// Everything is where it usually is.
    fn below(root: PathBuf) -> Self {
        Layout {
            kernels: root.join("build/kernel"),
            modules: root.join("build/modules"),
            root,
        }
    }

    /// The source tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Everything that a command makes.
    pub fn build(&self) -> PathBuf {
        self.root.join("build")
    }

    /// The build directories of the kernels.
    pub fn kernels(&self) -> &Path {
        &self.kernels
    }

    /// The modules built against the kernel of that name.
    pub fn modules(&self, kernel: &str) -> PathBuf {
        self.modules.join(kernel)
    }

    /// The guest programs for a Rust target, built for the page size of such a kernel.
    pub fn programs(&self, target: &str, flavour: Flavour) -> PathBuf {
        let build = match flavour {
            Flavour::Debian16k => "release-16k",
            _ => "release",
        };
        self.build().join("target").join(target).join(build)
    }

    /// The system with the package installed: its disk, and what boots it.
    pub fn installed(&self) -> PathBuf {
        self.build().join("installed")
    }

    /// The kernel's own selftest for a Rust target.
    pub fn kernel_selftest(&self, target: &str) -> PathBuf {
        let directory = self.build().join("kernel-selftest");
        directory.join(target).join("udmabuf")
    }

    /// The shell of guests for a Rust target.
    pub fn busybox(&self, target: &str) -> PathBuf {
        let directory = self.build().join("tools/busybox");
        directory.join(target).join("busybox")
    }

    /// The cache model, a plugin for QEMU.
    pub fn cache_model(&self) -> PathBuf {
        self.build().join("target/release/libcache_model.so")
    }

    /// The profiler, a plugin for QEMU.
    pub fn profiler(&self) -> PathBuf {
        self.build().join("target/release/libprofile.so")
    }

    /// Makes an empty file `build/<directory>/<name>.<suffix>`, ours until the
    /// returned file is closed; while another run has it, a number is added to the name.
    pub fn claim(&self, directory: &str, name: &str, suffix: &str) -> Result<(PathBuf, File)> {
        let directory = self.build().join(directory);
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let names = (2..).map(|number| format!("{name}-{number}"));
        for name in [name.to_owned()].into_iter().chain(names).take(100) {
            let path = directory.join(format!("{name}.{suffix}"));
            let file = File::options()
                .create(true)
                .append(true)
                .open(&path)
                .with_context(|| format!("cannot make {}", path.display()))?;
            if file.try_lock().is_ok() {
                // What an earlier run left must not be taken for this one's.
                file.set_len(0)
                    .with_context(|| format!("cannot empty {}", path.display()))?;
                return Ok((path, file));
            }
        }
        bail!(
            "all names like {name}.{suffix} in {} are in use",
            directory.display()
        )
    }

    /// A path as a reader wants it: relative to the source tree.
    pub fn short<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}

/// An error if a program was not built.
pub fn missing(file: &Path) -> Result<()> {
    if !file.is_file() {
        bail!("no program at {}: run ci/prepare", file.display());
    }
    Ok(())
}

#[cfg(test)]
impl Layout {
    /// A tree that is elsewhere.
    pub fn for_tests(root: &Path) -> Self {
        Self::below(root.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_kernel_with_larger_pages_has_programs_of_its_own() {
        let layout = Layout::for_tests(Path::new("/"));
        let target = "aarch64-unknown-linux-gnu";
        let usual = layout.programs(target, Flavour::Debian);
        assert_eq!(layout.programs(target, Flavour::Plain), usual);
        assert_ne!(layout.programs(target, Flavour::Debian16k), usual);
    }

    #[test]
    fn runs_at_the_same_time_do_not_share_a_file() {
        let scratch = tempfile::tempdir().unwrap();
        let layout = Layout::for_tests(scratch.path());
        let (first, mut held) = layout.claim("logs", "run", "log").unwrap();
        held.write_all(b"something").unwrap();
        let (second, _also_held) = layout.claim("logs", "run", "log").unwrap();
        assert!(first.ends_with("build/logs/run.log") && second.ends_with("run-2.log"));
        drop(held);
        let (again, _held) = layout.claim("logs", "run", "log").unwrap();
        assert_eq!(again, first);
        assert_eq!(fs::metadata(&again).unwrap().len(), 0);
    }
}
