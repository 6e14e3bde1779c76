// SPDX-License-Identifier: GPL-2.0

//! The kernels of every architecture.

use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow, bail};
use clap::ValueEnum;
use protocol::FURTHER_MODULES;

use crate::{
    layout::Layout,
    machine::{Board, Machine},
    qemu::Pace,
};

/// Which of the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Flavour {
    /// One that works as any other, with KUnit in it.
    Plain,
    /// With everything that can catch a driver in the act, and slow.
    Check,
    /// With KCSAN, which sees two accesses that race.
    Kcsan,
    /// With nothing that looks for mistakes, for measurements.
    Bench,
    /// Debian's own, as its users have it.
    Debian,
    /// Debian's own with PREEMPT_RT.
    DebianRt,
    /// Debian's own with pages of 16 KiB.
    #[value(name = "debian-16k")]
    Debian16k,
    /// Debian's own of the series before.
    #[value(name = "debian-7.2")]
    DebianOlder,
    /// Debian's own of the distribution in development, with its compilers.
    DebianSid,
}

impl fmt::Display for Flavour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Flavour::Plain => "plain",
            Flavour::Check => "check",
            Flavour::Kcsan => "kcsan",
            Flavour::Bench => "bench",
            Flavour::Debian => "debian",
            Flavour::DebianRt => "debian-rt",
            Flavour::Debian16k => "debian-16k",
            Flavour::DebianOlder => "debian-7.2",
            Flavour::DebianSid => "debian-sid",
        })
    }
}

impl Flavour {
    /// The one that users have: Debian's, or what `$UDMABUF_KERNEL` says, as with a tree of the
    /// user's own (`KSRC=`).
    ///
    /// # Errors
    ///
    /// When that is the name of no kernel.
    pub fn usual() -> Result<Self> {
        match env::var("UDMABUF_KERNEL") {
            Ok(name) => Flavour::from_str(&name, false)
                .map_err(|_| anyhow!("UDMABUF_KERNEL is '{name}', which is no kernel")),
            Err(_) => Ok(Flavour::Debian),
        }
    }

    /// The one that is booted again and again on a board: the usual one, but our own for arm64, which
    /// has KUnit and the system heap, and boots in a second.
    ///
    /// # Errors
    ///
    /// As of [`usual`](Self::usual).
    pub fn frequent(board: &Board) -> Result<Self> {
        match Self::usual()? {
            Flavour::Debian if board.kernel == "arm64" => Ok(Flavour::Plain),
            usual => Ok(usual),
        }
    }

    /// The one that is measured on a board: the usual one, but our own for arm64, which has the system
    /// heap.
    ///
    /// # Errors
    ///
    /// As of [`usual`](Self::usual).
    pub fn measured(board: &Board) -> Result<Self> {
        match board.kernel {
            "arm64" => Ok(Flavour::Bench),
            _ => Self::usual(),
        }
    }

    /// How much longer everything takes than in the plain kernel, at most.
    pub fn slowness(self) -> u32 {
        match self {
            Flavour::Check => 4,
            Flavour::Kcsan => 8,
            _ => 1,
        }
    }

    /// The name of an architecture's kernel of this flavour.
    pub fn of(self, kernel: &str) -> String {
        match self {
            Flavour::Plain => kernel.to_owned(),
            _ => format!("{kernel}-{self}"),
        }
    }

    /// Whether a run with a time limit does without it where nobody has built it: it checks most, and
    /// building it takes longest.
    pub fn is_left_out(self, layout: &Layout, machine: &dyn Machine) -> bool {
        self == Flavour::Check && Kernel::find(layout, machine, self).is_err()
    }

    /// Whether it was built elsewhere, by the distribution.
    pub fn is_fetched(self) -> bool {
        !matches!(
            self,
            Flavour::Plain | Flavour::Check | Flavour::Kcsan | Flavour::Bench
        )
    }

    /// What QEMU is told of the CPU, where the board's cannot run the kernel: Cortex-A72 has no pages
    /// of 16 KiB.
    pub fn cpu(self) -> &'static [&'static str] {
        match self {
            Flavour::Debian16k => &["-cpu", "cortex-a76"],
            _ => &[],
        }
    }

    /// Whether KUnit suites run in it.
    pub fn runs_suites(self) -> bool {
        matches!(self, Flavour::Plain | Flavour::Check | Flavour::Kcsan)
    }

    /// How a guest's time passes. KCSAN delays one access and waits for what another CPU does meanwhile,
    /// so their turns have to be short: the longer an instruction takes, the fewer there are in one.
    pub fn pace(self) -> Pace {
        match self {
            Flavour::Kcsan => Pace::Slow,
            _ => Pace::Counted,
        }
    }

    /// Whether its tests are a part of attacks only.
    pub fn only_attacks(self) -> bool {
        self == Flavour::Kcsan
    }

    /// Whether the kernel can find leaked memory.
    pub fn finds_leaks(self) -> bool {
        self == Flavour::Check
    }
}

/// What a kernel that was fetched has in modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Further {
    /// vivid, which captures into dma-bufs.
    Camera,
    /// vgem, whose fences programs signal.
    Fences,
    /// Directories of the host, over 9p.
    HostFiles,
    /// virtio-gpu.
    Screen,
}

impl Further {
    fn directory(self) -> &'static str {
        match self {
            Further::Camera => "camera",
            Further::Fences => "fences",
            Further::HostFiles => "host-files",
            Further::Screen => "screen",
        }
    }
}

/// A kernel with the modules built against it, or one of an installed system, which has its own.
pub struct Kernel {
    /// Which one.
    pub flavour: Flavour,
    /// The image to boot.
    pub image: PathBuf,
    /// Where the kernel was built.
    directory: PathBuf,
    /// Where the modules are.
    modules: PathBuf,
    /// A module that is taken from elsewhere.
    replaced: Option<(String, PathBuf)>,
}

impl Kernel {
    /// The kernel of that flavour for a machine.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub fn find(layout: &Layout, machine: &dyn Machine, flavour: Flavour) -> Result<Self> {
        let board = machine.board();
        let name = flavour.of(board.kernel);
        let directory = layout.kernels().join(&name);
        let image = match flavour.is_fetched() {
            true => directory.join("vmlinuz"),
            false => directory.join(board.image),
        };
        if !image.is_file() {
            bail!(
                "no {flavour} kernel at {}: run ci/setup {name}",
                image.display()
            );
        }
        Ok(Kernel {
            flavour,
            image,
            directory,
            modules: layout.modules(&name),
            replaced: None,
        })
    }

    /// The kernel of the system that set-up has installed on a disk.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn installed(layout: &Layout) -> Result<Self> {
        let directory = layout.installed();
        let image = directory.join("vmlinuz");
        if !image.is_file() {
            bail!("no {}: run ci/setup.d/installed", image.display());
        }
        Ok(Kernel {
            flavour: Flavour::Debian,
            image,
            modules: directory.clone(),
            directory,
            replaced: None,
        })
    }

    /// The initramfs of an installed system, which mounts its disk.
    pub fn initramfs(&self) -> PathBuf {
        self.directory.join("initrd")
    }

    /// A module built against this kernel.
    ///
    /// # Errors
    ///
    /// When it was not built.
    pub fn module(&self, name: &str) -> Result<PathBuf> {
        let path = match &self.replaced {
            Some((replaced, file)) if replaced == name => file.clone(),
            _ => self.modules.join(name).join(format!("{name}.ko")),
        };
        if !path.is_file() {
            bail!("no module at {}: run ci/modules", path.display());
        }
        Ok(path)
    }

    /// Modules for what our own kernels have built in: their places in the guest, from which init
    /// loads them in the order of their names, and their files.
    ///
    /// # Errors
    ///
    /// When they were not fetched.
    pub fn further_modules(&self, further: &[Further]) -> Result<Vec<(String, PathBuf)>> {
        let mut all = Vec::new();
        for wanted in further.iter().filter(|_| self.flavour.is_fetched()) {
            let directory = self.directory.join("further").join(wanted.directory());
            let entries = fs::read_dir(&directory)
                .with_context(|| format!("no modules at {}: run ci/setup", directory.display()))?;
            for entry in entries {
                let entry = entry?;
                let name = entry.file_name();
                let place = Path::new(FURTHER_MODULES).join(&name);
                all.push((place.to_string_lossy().into_owned(), entry.path()));
            }
        }
        Ok(all)
    }

    /// Whether an option is built in.
    ///
    /// # Errors
    ///
    /// When its configuration cannot be read.
    pub fn has(&self, option: &str) -> Result<bool> {
        let file = match self.flavour.is_fetched() {
            true => self.directory.join("tree/.config"),
            false => self.directory.join(".config"),
        };
        let configuration =
            fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let line = format!("{option}=y");
        Ok(configuration.lines().any(|other| other == line))
    }

    /// Takes one module from another place.
    pub fn replace_module(&mut self, name: &str, file: &Path) {
        self.replaced = Some((name.to_owned(), file.to_owned()));
    }
}

#[cfg(test)]
impl Kernel {
    /// A kernel that was never built, for tests that do not boot it.
    pub fn for_tests(flavour: Flavour) -> Self {
        Kernel {
            flavour,
            image: "/nonexistent/image".into(),
            directory: "/nonexistent".into(),
            modules: "/nonexistent".into(),
            replaced: None,
        }
    }
}
