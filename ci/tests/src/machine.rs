// SPDX-License-Identifier: GPL-2.0

//! The machine, all in one directory.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::Outcome;

/// The kernel that the machine has headers of.
pub const RELEASE: &str = "7.3.4+deb13-amd64";

/// The compiler that built it.
pub const RUSTC: &str = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)";

/// What a script may expect of any machine.
const TOOLS: [&str; 29] = [
    "awk",
    "basename",
    "bash",
    "cat",
    "chmod",
    "comm",
    "cp",
    "cut",
    "df",
    "find",
    "flock",
    "grep",
    "head",
    "mkdir",
    "mv",
    "nproc",
    "realpath",
    "rm",
    "sed",
    "setsid",
    "sha256sum",
    "sleep",
    "sort",
    "stat",
    "tail",
    "tar",
    "tee",
    "touch",
    "tr",
];

/// What the kernel's build needs beside compilers, of which this machine only has the names.
const BUILD_TOOLS: [&str; 8] = [
    "bc", "bindgen", "bison", "flex", "pahole", "perl", "python3", "xz",
];

/// A kernel's build that takes no time. What it makes is what `crates` looks at; `BUILD` in its source
/// tree is a script that can do something else.
const MAKE: &str = r#"
for word; do
    case $word in
    O=*) out=${word#O=} ;;
    KERNELRELEASE=*) release=${word#*=} ;;
    esac
done
source=$2
echo "$*" >>"$source/../made"
mkdir -p "$out/include/config" "$out/rust" "$out/scripts"
echo "$release" >"$out/include/config/kernel.release"
[ ! -e "$source/BUILD" ] || . "$source/BUILD"
case " $* " in
*" modules_prepare "*) touch "$out/rust/libkernel.rmeta" "$out/scripts/target.json" ;;
esac
"#;

/// A machine that has all it needs; what is not wanted is taken away.
pub struct Machine {
    home: TempDir,
}

impl Machine {
    /// With headers of an amd64 kernel, its compilers and its source.
    pub fn new() -> Result<Self> {
        let machine = Self {
            home: TempDir::new()?,
        };
        fs::create_dir_all(machine.path("bin"))?;
        for tool in TOOLS {
            let place = ["/usr/bin", "/bin"].map(|bin| Path::new(bin).join(tool));
            let place = place.iter().find(|place| place.exists());
            symlink(
                place.with_context(|| format!("no {tool} on this machine"))?,
                machine.path("bin").join(tool),
            )?;
        }
        for tool in BUILD_TOOLS {
            machine.tool(tool, "")?;
        }
        machine.tool("make", MAKE)?;
        machine.tool(
            "uname",
            "[ \"$1\" = -m ] && echo x86_64 || echo 7.3.4+deb13-amd64",
        )?;
        machine.tool("apt-get", "")?;
        machine.tool("dpkg-query", "echo 7.3.4-1~bpo13+1")?;
        machine.tool("gcc-14", "[ \"$1\" != -dumpversion ] || echo 14")?;
        machine.tool(
            "x86_64-linux-gnu-gcc-14",
            "[ \"$1\" != -dumpversion ] || echo 14",
        )?;
        machine.rustc("rustc", RUSTC)?;
        machine.write("sysroot/lib/rustlib/src/rust/library/core/src/lib.rs", "")?;
        machine.headers(RELEASE)?;
        machine.source("7.3.4")?;
        Ok(machine)
    }

    /// A place on it.
    pub fn path(&self, place: &str) -> PathBuf {
        self.home.path().join(place)
    }

    /// Writes a file, and the directories that it is in.
    pub fn write(&self, place: &str, text: &str) -> Result<()> {
        let path = self.path(place);
        fs::create_dir_all(path.parent().context("a file is in a directory")?)?;
        Ok(fs::write(path, text)?)
    }

    /// The contents of a file.
    pub fn read(&self, place: &str) -> Result<String> {
        fs::read_to_string(self.path(place)).with_context(|| format!("no {place}"))
    }

    /// Takes a file away.
    pub fn remove(&self, place: &str) -> Result<()> {
        fs::remove_file(self.path(place)).with_context(|| format!("no {place}"))
    }

    /// Installs a tool.
    pub fn tool(&self, name: &str, script: &str) -> Result<()> {
        let place = format!("bin/{name}");
        // What is there may be a link to the real one, which is not to be written.
        if self.path(&place).is_symlink() {
            self.remove(&place)?;
        }
        self.write(&place, &format!("#!/bin/bash\n{script}\n"))?;
        Ok(fs::set_permissions(
            self.path(&place),
            fs::Permissions::from_mode(0o755),
        )?)
    }

    /// Installs a Rust compiler that says it is `version`.
    pub fn rustc(&self, name: &str, version: &str) -> Result<()> {
        let sysroot = self.path("sysroot");
        self.tool(
            name,
            &format!(
                "[ \"$1\" = --version ] && echo '{version}' || echo '{}'",
                sysroot.display()
            ),
        )
    }

    /// Puts headers of a kernel in place.
    fn headers(&self, release: &str) -> Result<()> {
        self.write(
            "headers/.config",
            &format!(
                "CONFIG_X86_64=y\nCONFIG_MODULES=y\nCONFIG_RUST=y\nCONFIG_DMA_SHARED_BUFFER=y\n\
                 CONFIG_MEMFD_CREATE=y\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_LOCALVERSION=\"\"\n\
                 CONFIG_CC_VERSION_TEXT=\"x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0\"\n\
                 CONFIG_GCC_VERSION=140200\nCONFIG_RUSTC_VERSION_TEXT=\"{RUSTC}\"\n\
                 CONFIG_MODULE_SIG_KEY=\"certs/key.pem\"\n# CONFIG_KUNIT is not set\n"
            ),
        )?;
        self.write(
            "headers/include/config/kernel.release",
            &format!("{release}\n"),
        )?;
        self.write(
            "headers/Module.symvers",
            "0x0\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n",
        )
    }

    /// Replaces text in the kernel's configuration.
    pub fn configure(&self, from: &str, to: &str) -> Result<()> {
        let config = self.read("headers/.config")?;
        ensure!(config.contains(from), "no '{from}' in the configuration");
        self.write("headers/.config", &config.replace(from, to))
    }

    /// Puts a source tree in place.
    pub fn source(&self, version: &str) -> Result<()> {
        let parts: Vec<_> = version.split('.').collect();
        let names = ["VERSION", "PATCHLEVEL", "SUBLEVEL"];
        let lines = names.iter().zip(parts);
        let lines: String = lines
            .map(|(name, value)| format!("{name} = {value}\n"))
            .collect();
        let text = format!("# SPDX-License-Identifier: GPL-2.0\n{lines}EXTRAVERSION =\n");
        self.write("source/Makefile", &text)
    }

    /// How often the kernel's make was called.
    pub fn makes(&self) -> usize {
        self.read("made").map_or(0, |made| made.lines().count())
    }

    fn command(&self, script: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(script);
        command
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("SYSFS", self.path("sys"))
            .current_dir(self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs a script here.
    pub fn run(&self, script: &Path, arguments: &[&str]) -> Result<Outcome> {
        Ok(self.command(script, arguments).output()?.into())
    }

    /// Starts a script here.
    pub fn start(&self, script: &Path, arguments: &[&str]) -> Result<Child> {
        Ok(self.command(script, arguments).spawn()?)
    }
}
