// SPDX-License-Identifier: GPL-2.0

//! A process of QEMU, from its start to its certain end.

use std::{
    fs::{self, File},
    io::ErrorKind,
    os::unix::net::{UnixListener, UnixStream},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};
use selftests::{DmaBuf, held::EXPORTER};

/// How long QEMU may take to start. Its program comes over 9p.
const PATIENCE: Duration = Duration::from_secs(120);

/// A running QEMU, killed when dropped.
pub struct Process {
    child: Child,
    /// What it writes.
    messages: PathBuf,
}

impl Process {
    /// Starts it.
    pub fn start(mut command: Command, messages: PathBuf) -> Result<Self> {
        let output = File::create(&messages).context("cannot keep what QEMU says")?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.spawn();
        let child = child.with_context(|| format!("cannot start {program}"))?;
        Ok(Process { child, messages })
    }

    /// Waits until it connects to a socket.
    pub fn accept(&mut self, listener: &UnixListener) -> Result<UnixStream> {
        listener.set_nonblocking(true)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(stream);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error).context("cannot accept QEMU's connection"),
            }
            self.must_run()?;
            if Instant::now() > deadline {
                bail!("QEMU did not start within {} s", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// An error if it has ended, with its last words.
    pub fn must_run(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = self.said();
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            bail!(
                "QEMU ended ({status}): {}",
                last.unwrap_or("it said nothing")
            );
        }
        Ok(())
    }

    /// Everything that it has written.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }

    /// The udmabufs of which it holds a descriptor.
    pub fn buffers(&self) -> Result<Vec<DmaBuf>> {
        let process = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty());
        let process = process.context("QEMU is gone")?;
        let line = format!("exp_name:\t{EXPORTER}");
        let mut buffers = Vec::new();
        let table = format!("/proc/{}/fdinfo", self.child.id());
        for entry in fs::read_dir(&table).with_context(|| table.clone())? {
            let entry = entry?;
            // A descriptor that was closed meanwhile is none that it holds.
            let information = fs::read_to_string(entry.path()).unwrap_or_default();
            if information.lines().any(|other| other == line) {
                let number = entry.file_name().to_string_lossy().parse()?;
                let shared = pidfd_getfd(&process, number, PidfdGetfdFlags::empty());
                buffers.push(shared.context("cannot share QEMU's descriptor")?.into());
            }
        }
        Ok(buffers)
    }

    /// Kills it by SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.must_run()?;
        self.child.kill().context("cannot kill QEMU")?;
        self.child.wait().context("cannot wait for QEMU")?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
