// SPDX-License-Identifier: GPL-2.0

//! QEMU's command line.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

use protocol::PORT;

use crate::{
    kernel::{Flavour, Kernel},
    machine::Machine,
};

/// How the guest's time passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One nanosecond for each instruction: the guest's clocks count them.
    Instructions,
    /// Two nanoseconds for each instruction, and while it waits, straight to the next event. A
    /// busy host lets nothing time out then, and what an edu device takes for a transfer,
    /// 100 ms, is over at once.
    Counted,
    /// The same with sixteen nanoseconds for each instruction: a guest that does something for
    /// a minute, however much that is, is done in about a minute even when it is watched.
    Slow,
    /// As on the host, for a person in front of it; and all CPUs run at the same time, for a
    /// guest with another one in it.
    Real,
}

impl Pace {
    /// Every host can do TCG, and what counts as a result must not depend on the host.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Pace::Instructions => &["-accel", "tcg", "-icount", "shift=0,sleep=off"],
            Pace::Counted => &["-accel", "tcg", "-icount", "shift=1,sleep=off"],
            Pace::Slow => &["-accel", "tcg", "-icount", "shift=4,sleep=off"],
            Pace::Real => &["-accel", "tcg,thread=multi"],
        }
    }
}

/// A directory of the host that the guest can mount over 9p.
#[derive(Clone, Debug)]
pub struct Share {
    /// The tag by which the guest knows it.
    pub tag: &'static str,
    /// The directory.
    pub directory: PathBuf,
    /// Whether the guest can write there.
    pub writable: bool,
}

impl Share {
    /// What it is like for QEMU. Numbers of files on different devices are kept apart.
    fn option(&self) -> OsString {
        let access = if self.writable { "off" } else { "on" };
        let tag = self.tag;
        let after =
            format!(",mount_tag={tag},security_model=none,readonly={access},multidevs=remap");
        let mut option = option("local,path=", &self.directory);
        option.push(after);
        option
    }
}

/// A disk with a system on it, which starts by itself.
#[derive(Clone, Debug)]
pub struct Disk {
    /// The image, in QEMU's own format.
    pub image: PathBuf,
    /// What its boot loader says to the kernel.
    pub parameters: String,
}

/// A TCG plugin that watches the guest.
pub struct Plugin {
    /// The shared object.
    pub object: PathBuf,
    /// Where it writes what it saw.
    pub report: PathBuf,
    /// Further options, each with a comma before it.
    pub options: &'static str,
}

/// Where the guest's interactive console is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// There is none.
    None,
    /// On the caller's terminal; Ctrl-A x ends the guest.
    Terminal,
}

/// Everything that a command line depends on.
pub struct Qemu<'a> {
    /// The machine.
    pub machine: &'a dyn Machine,
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Its memory, in GiB.
    pub memory: u32,
    /// Its CPUs.
    pub cpus: u32,
    /// How its time passes.
    pub pace: Pace,
    /// Directories of the host.
    pub shares: Vec<Share>,
    /// Runs the KUnit suites of modules when they are loaded.
    pub kunit: bool,
    /// The root file system, or what mounts that on the disk.
    pub initramfs: PathBuf,
    /// The disk, if there is one.
    pub disk: Option<Disk>,
    /// The socket on which the harness waits for the guest.
    pub events: PathBuf,
    /// The device tree, if it is not QEMU's own.
    pub device_tree: Option<PathBuf>,
    /// A plugin to load.
    pub plugin: Option<Plugin>,
    /// Where the kernel log goes.
    pub log: PathBuf,
    /// The interactive console.
    pub console: Console,
}

impl Qemu<'_> {
    /// The kernel's command line.
    fn kernel_command_line(&self) -> String {
        let console = format!("console={}", self.machine.board().console);
        let kunit = u8::from(self.kunit);
        let mut words = vec![
            console,
            // A kernel that is broken ends at once, and -no-reboot ends QEMU with it.
            "panic=-1".into(),
            "oops=panic".into(),
            "printk.time=1".into(),
            // No limit on what programs write to /dev/kmsg: the marks must not get lost.
            "printk.devkmsg=on".into(),
            format!("kunit.enable={kunit} kunit.autorun={kunit}"),
        ];
        // What a kernel for everybody does with each page, and tests of its own that no test here is
        // about, take an emulated CPU half of its time until init.
        if self.kernel.flavour.is_fetched() {
            words.push("init_on_alloc=0 cryptomgr.notests".into());
        }
        // An access is watched for longer than a CPU's turn takes.
        if self.kernel.flavour == Flavour::Kcsan {
            words.push("kcsan.early_enable=1 kcsan.udelay_task=50 kcsan.skip_watch=200".into());
        }
        // A GiB in one piece can be had at boot only: what is free later depends on luck.
        if self.kernel.flavour.is_fetched() && self.memory > 4 {
            words.push("hugepagesz=1G hugepages=1".into());
        }
        // Where the guest's time is the host's, a timer may not tick while the kernel looks whether it does.
        if self.pace == Pace::Real && self.machine.board().kernel == "x86_64" {
            words.push("no_timer_check".into());
        }
        words.extend(self.disk.iter().map(|disk| disk.parameters.clone()));
        words.extend(
            self.machine
                .kernel_parameters()
                .iter()
                .map(|word| (*word).to_owned()),
        );
        words.join(" ")
    }

    /// The machine itself: what a device tree of it depends on.
    fn bare_machine(&self) -> Command {
        let board = self.machine.board();
        let mut command = Command::new(board.qemu);
        command.args(board.arguments);
        command.args(self.kernel.flavour.cpu());
        command.args(["-smp", &self.cpus.to_string()]);
        command.args(["-m", &format!("{}G", self.memory)]);
        command.args(self.machine.arguments());
        command
    }

    /// Has QEMU write the machine's device tree to a file, and nothing else.
    pub fn dump_device_tree(&self, file: &Path) -> Command {
        let mut command = self.bare_machine();
        command.arg("-machine").arg(option("dumpdtb=", file));
        command.args(["-nodefaults", "-no-user-config", "-display", "none"]);
        command
    }

    /// The command, ready to be started.
    pub fn command(&self) -> Command {
        let mut command = self.bare_machine();
        command.args(self.pace.arguments());
        command.args([
            "-nodefaults",
            "-no-user-config",
            "-no-reboot",
            "-display",
            "none",
        ]);
        command.arg("-kernel").arg(&self.kernel.image);
        command.arg("-initrd").arg(&self.initramfs);
        command.arg("-append").arg(self.kernel_command_line());
        if let Some(device_tree) = &self.device_tree {
            command.arg("-dtb").arg(device_tree);
        }
        if let Some(Plugin {
            object,
            report,
            options,
        }) = &self.plugin
        {
            let report = option(",report=", report);
            let plugin = [option("", object), report, options.into()];
            command.arg("-plugin").arg(OsString::from_iter(plugin));
        }
        command
            .arg("-chardev")
            .arg(option("file,id=log,path=", &self.log));
        command.args(["-serial", "chardev:log"]);
        command.args(["-device", "virtio-serial-pci"]);
        command
            .arg("-chardev")
            .arg(option("socket,id=events,path=", &self.events));
        command.args([
            "-device",
            &format!("virtserialport,chardev=events,name={PORT}"),
        ]);
        if self.console == Console::Terminal {
            command.args(["-chardev", "stdio,id=console,mux=on,signal=off"]);
            command.args(["-device", "virtconsole,chardev=console"]);
            command.args(["-monitor", "chardev:console"]);
        }
        for mask in self.machine.dma_masks() {
            command.args(["-device", &format!("edu,dma_mask={mask:#x}")]);
        }
        for share in &self.shares {
            command.arg("-virtfs").arg(share.option());
        }
        if let Some(disk) = &self.disk {
            let drive = option("if=virtio,format=qcow2,file=", &disk.image);
            command.arg("-drive").arg(drive);
        }
        command
    }
}

/// An option with a path in it; QEMU wants commas in a path doubled.
fn option(before: &str, path: &Path) -> OsString {
    format!("{before}{}", path.display().to_string().replace(',', ",,")).into()
}

/// A command as one could type it into a shell.
pub fn shown(command: &Command) -> String {
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    shell_words::join(words.map(|word| word.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine;

    fn qemu<'a>(machine: &'a dyn Machine, kernel: &'a Kernel) -> Qemu<'a> {
        Qemu {
            machine,
            kernel,
            memory: 1,
            cpus: 2,
            pace: Pace::Counted,
            shares: Vec::new(),
            kunit: false,
            initramfs: "/tmp/a b".into(),
            disk: None,
            events: "/tmp/x,y".into(),
            device_tree: None,
            plugin: None,
            log: "/tmp/log".into(),
            console: Console::None,
        }
    }

    fn line(machine: &dyn Machine, kunit: bool) -> String {
        let kernel = Kernel::for_tests(Flavour::Plain);
        let qemu = Qemu {
            kunit,
            ..qemu(machine, &kernel)
        };
        shown(&qemu.command())
    }

    #[test]
    fn every_machine_ends_when_its_kernel_does() {
        for machine in machine::ALL {
            let line = line(*machine, false);
            for needed in [
                "-no-reboot",
                "panic=-1",
                "oops=panic",
                "-accel tcg",
                "kunit.enable=0",
            ] {
                assert!(line.contains(needed), "{}: {needed}", machine.name());
            }
            let devices = line.matches("edu,dma_mask=").count();
            assert_eq!(devices, machine.dma_masks().len());
        }
    }

    #[test]
    fn time_passes_as_was_asked_for() {
        let kernel = Kernel::for_tests(Flavour::Plain);
        let mut qemu = qemu(machine::ALL[0], &kernel);
        assert!(shown(&qemu.command()).contains("shift=1,sleep=off"));
        qemu.pace = Pace::Instructions;
        assert!(shown(&qemu.command()).contains("shift=0,sleep=off"));
        qemu.pace = Pace::Slow;
        assert!(shown(&qemu.command()).contains("shift=4,sleep=off"));
        qemu.pace = Pace::Real;
        let line = shown(&qemu.command());
        assert!(!line.contains("icount") && line.contains("thread=multi"));
        assert!(line.contains("no_timer_check"));
    }

    #[test]
    fn the_guest_writes_only_where_it_may() {
        let kernel = Kernel::for_tests(Flavour::Plain);
        let mut qemu = qemu(machine::ALL[0], &kernel);
        qemu.shares = [("root", "/", false), ("results", "/tmp/x,y", true)]
            .map(|(tag, directory, writable)| Share {
                tag,
                directory: directory.into(),
                writable,
            })
            .into();
        let line = shown(&qemu.command());
        assert!(line.contains("path=/,mount_tag=root,security_model=none,readonly=on"));
        assert!(line.contains("path=/tmp/x,,y,mount_tag=results,security_model=none,readonly=off"));
    }

    #[test]
    fn machines_differ_where_they_should() {
        let [direct, swiotlb] = ["direct", "swiotlb"].map(|name| machine::find(name).unwrap());
        assert!(!line(direct, false).contains("swiotlb=force"));
        assert!(line(swiotlb, false).contains("swiotlb=force"));
        assert!(line(direct, true).contains("kunit.enable=1 kunit.autorun=1"));
    }

    #[test]
    fn an_iommu_comes_before_what_it_translates_for() {
        let line = line(machine::find("x86_64-iommu").unwrap(), false);
        let place = |what: &str| line.find(what).expect(what);
        assert!(place("intel-iommu") < place("virtio-serial-pci"));
        assert!(place("intel-iommu") < place("edu,"));
    }

    #[test]
    fn a_device_tree_is_that_of_the_machine_that_boots() {
        let kernel = Kernel::for_tests(Flavour::Plain);
        for machine in machine::ALL {
            let mut qemu = qemu(*machine, &kernel);
            let dump = shown(&qemu.dump_device_tree(Path::new("/tmp/tree")));
            let (bare, _) = dump.split_once(" -machine 'dumpdtb=/tmp/tree'").unwrap();
            qemu.device_tree = Some("/tmp/tree".into());
            let boot = shown(&qemu.command());
            assert!(boot.starts_with(bare) && boot.contains("-dtb /tmp/tree"));
        }
    }

    #[test]
    fn a_plugin_is_told_where_to_write() {
        let kernel = Kernel::for_tests(Flavour::Plain);
        let mut qemu = qemu(machine::ALL[0], &kernel);
        assert!(!shown(&qemu.command()).contains("-plugin"));
        qemu.plugin = Some(Plugin {
            object: "/tmp/a,b.so".into(),
            report: "/tmp/report".into(),
            options: ",whole=on",
        });
        let line = shown(&qemu.command());
        assert!(line.contains("-plugin '/tmp/a,,b.so,report=/tmp/report,whole=on'"));
    }

    #[test]
    fn a_disk_says_what_its_kernel_is_told() {
        let kernel = Kernel::for_tests(Flavour::Debian);
        let mut qemu = qemu(machine::ALL[0], &kernel);
        assert!(!shown(&qemu.command()).contains("-drive"));
        qemu.disk = Some(Disk {
            image: "/tmp/a,b".into(),
            parameters: "root=/dev/vda ro".into(),
        });
        let line = shown(&qemu.command());
        assert!(line.contains("root=/dev/vda ro") && line.contains("file=/tmp/a,,b"));
    }

    #[test]
    fn odd_paths_survive() {
        let line = line(machine::ALL[0], false);
        assert!(
            line.contains("'/tmp/a b'") && line.contains("path=/tmp/x,,y"),
            "{line}"
        );
    }
}
