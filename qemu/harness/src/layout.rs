// SPDX-License-Identifier: GPL-2.0

//! Where everything is.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// The source tree and the build directory below it.
pub struct Layout {
    root: PathBuf,
}

impl Layout {
    /// The source tree: `$UDMABUF_ROOT`, or the nearest directory above the current one that looks like it.
    pub fn find() -> Result<Self> {
        if let Some(root) = env::var_os("UDMABUF_ROOT") {
            return Ok(Layout { root: root.into() });
        }
        let here = env::current_dir().context("no current directory")?;
        match here
            .ancestors()
            .find(|directory| directory.join("ci/versions").is_file())
        {
            Some(root) => Ok(Layout {
                root: root.to_owned(),
            }),
            None => bail!("not inside the source tree: change into it or set UDMABUF_ROOT"),
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

    /// Logs, one per boot.
    pub fn logs(&self) -> PathBuf {
        self.build().join("logs")
    }

    /// The build directories of the kernels; `KSRC=` moves them.
    pub fn kernels(&self) -> PathBuf {
        env::var_os("UDMABUF_KERNELS").map_or_else(|| self.build().join("kernel"), PathBuf::from)
    }

    /// The modules built against the kernel of that name.
    pub fn modules(&self, kernel: &str) -> PathBuf {
        env::var_os("UDMABUF_MODULES")
            .map_or_else(|| self.build().join("modules"), PathBuf::from)
            .join(kernel)
    }

    /// The guest programs for a Rust target.
    pub fn programs(&self, target: &str) -> PathBuf {
        self.build().join("target").join(target).join("release")
    }

    /// A path as a reader wants it: relative to the source tree.
    pub fn short<'a>(&self, path: &'a Path) -> &'a Path {
        path.strip_prefix(&self.root).unwrap_or(path)
    }
}
