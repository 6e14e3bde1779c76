// SPDX-License-Identifier: GPL-2.0

//! The inner guest's machine: QEMU, and the three sockets that lead into it.

use std::{
    fs,
    io::BufReader,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use qapi::{Qmp, Stream, qmp};
use virtio_gpu::Gpu;

use crate::{
    arguments::{Arguments, Ram},
    process::Process,
    root::Places,
};

/// The inner guest's memory.
const MEMORY: &str = "256M";

/// How long QEMU may take to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// The processor.
const CPU: &str = "cortex-a72";

/// The kernel's command line. It ends when it is broken, and QEMU with it.
const KERNEL_COMMAND_LINE: &str =
    "console=ttyAMA0 panic=-1 oops=panic printk.time=1 printk.devkmsg=on kunit.enable=0";

/// The inner guest's machine.
pub struct Machine {
    process: Process,
    monitor: Qmp<Stream<BufReader<UnixStream>, UnixStream>>,
    /// Where screens are dumped to.
    dump: PathBuf,
    /// The inner guest's kernel log.
    pub log: PathBuf,
}

/// The inner guest's ends.
pub struct Lines {
    /// Of init's events.
    pub events: UnixStream,
    /// Of what is asked for and answered.
    pub requests: UnixStream,
}

impl Machine {
    /// Starts QEMU; the inner guest begins to boot.
    pub fn start(arguments: &Arguments, places: &Places) -> Result<(Self, Lines)> {
        let socket = |name| places.scratch.join(name);
        let sockets = ["events", "requests", "monitor"].map(socket);
        let log = places.results.join(format!("{}-level2.log", arguments.ram));
        let messages = places
            .results
            .join(format!("{}-level2.qemu", arguments.ram));
        let mut listeners = Vec::new();
        for socket in &sockets {
            let _ = fs::remove_file(socket);
            listeners.push(UnixListener::bind(socket).context("cannot make a socket")?);
        }
        let command = command(arguments, places, &sockets, &log);
        let mut process = Process::start(command, messages)?;
        let mut streams = Vec::new();
        for listener in &listeners {
            streams.push(process.accept(listener)?);
        }
        let [events, requests, monitor]: [UnixStream; 3] =
            streams.try_into().ok().context("a socket is missing")?;
        monitor.set_read_timeout(Some(PATIENCE))?;
        let reader = BufReader::new(monitor.try_clone()?);
        let mut monitor = Qmp::new(Stream::new(reader, monitor));
        monitor.handshake().context("QEMU does not speak QMP")?;
        let machine = Machine {
            process,
            monitor,
            dump: places.scratch.join("screen.ppm"),
            log,
        };
        Ok((machine, Lines { events, requests }))
    }

    /// Has a GPU's screen written to a file, whose name it returns. It shows everything that the
    /// inner guest had done when it said so.
    pub fn dump_screen(&mut self, gpu: Gpu) -> Result<&Path> {
        // The inner guest's driver waits for QEMU no longer than 50 ms
        // (virtio_gpu_resource_flush), and on a busy host QEMU's main loop may have its commands
        // still to do. It has caught up with them when it has answered this.
        let caught_up = self.monitor.execute(&qmp::query_status {});
        caught_up.context("QEMU does not say its status")?;
        let command = qmp::screendump {
            filename: self.dump.display().to_string(),
            device: Some(gpu.id().into()),
            head: Some(0),
            format: None,
        };
        self.monitor.execute(&command).context("no screendump")?;
        Ok(&self.dump)
    }

    /// Which QEMU this is.
    pub fn version(&mut self) -> Result<String> {
        let answer = self.monitor.execute(&qmp::query_version {});
        let version = answer.context("QEMU does not say its version")?.qemu;
        let [major, minor, micro] = [version.major, version.minor, version.micro];
        Ok(format!("{major}.{minor}.{micro}"))
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// QEMU's command line: guest memory in a memfd, which is what a udmabuf is made of, and a GPU
/// with blobs; beside it one without, which copies.
fn command(arguments: &Arguments, places: &Places, sockets: &[PathBuf; 3], log: &Path) -> Command {
    let mut command = Command::new(&arguments.qemu);
    let pages = match arguments.ram {
        Ram::Memfd => "",
        Ram::Hugetlb => ",hugetlb=on,hugetlbsize=2M",
    };
    let memory = format!("memory-backend-memfd,id=ram,size={MEMORY},share=on{pages}");
    command.args(["-accel", "tcg", "-cpu", CPU, "-m", MEMORY]);
    command.args([
        "-object",
        &memory,
        "-machine",
        "virt,gic-version=3,memory-backend=ram",
    ]);
    command.args(["-nodefaults", "-no-user-config", "-no-reboot"]);
    // Without another display adapter, or a screendump shows its text.
    command.args(["-display", "none", "-vga", "none"]);
    for (gpu, blob) in [(Gpu::Blob, "on"), (Gpu::Copy, "off")] {
        let (id, slot) = (gpu.id(), gpu.slot());
        let device = format!("virtio-gpu-pci,id={id},addr={slot:#x},blob={blob}");
        command.args(["-device", &device]);
    }
    command.arg("-kernel").arg(&places.kernel);
    command.arg("-initrd").arg(&places.initramfs);
    command.args(["-append", KERNEL_COMMAND_LINE]);
    command
        .arg("-serial")
        .arg(format!("file:{}", log.display()));
    let ids = ["events", "requests", "monitor"];
    for (id, socket) in ids.iter().zip(sockets) {
        let socket = format!("socket,id={id},path={}", socket.display());
        command.args(["-chardev", &socket]);
    }
    command.args(["-qmp", "chardev:monitor"]);
    command.args(["-device", "virtio-serial-pci"]);
    for (id, name) in [("events", protocol::PORT), ("requests", virtio_gpu::PORT)] {
        let port = format!("virtserialport,chardev={id},name={name}");
        command.args(["-device", &port]);
    }
    command
}
