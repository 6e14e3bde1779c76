// SPDX-License-Identifier: GPL-2.0

//! The virtio-serial port that leads to the harness.

use std::{
    fs::{self, File},
    io::{self, Read},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use protocol::{Event, Job, PORT};

/// How long the port may take to appear, and the harness to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The open port; several threads report through it, one event at a time.
pub struct Port(Mutex<File>);

/// Finds the port by its name and opens it.
pub fn open() -> Result<Port> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(node) = find()? {
            let path = format!("/dev/{node}");
            let file = File::options()
                .read(true)
                .write(true)
                .open(&path)
                .with_context(|| format!("cannot open {path}"))?;
            return Ok(Port(Mutex::new(file)));
        }
        if Instant::now() > deadline {
            bail!("no virtio-serial port named {PORT}");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn find() -> Result<Option<String>> {
    const PORTS: &str = "/sys/class/virtio-ports";
    let Ok(entries) = fs::read_dir(PORTS) else {
        return Ok(None);
    };
    for entry in entries {
        let entry = entry.context(PORTS)?;
        // A port is listed a moment before its name is known.
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == PORT) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

impl Port {
    fn lock(&self) -> MutexGuard<'_, File> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends an event. There is nobody else to tell when that fails, and the
    /// harness notices the silence: so the error goes to the console only.
    pub fn report(&self, event: &Event) {
        if let Err(error) = protocol::send(&mut *self.lock(), event) {
            eprintln!("init: cannot report to the harness: {error}");
        }
    }

    /// Receives the job.
    pub fn job(&self) -> Result<Job> {
        let mut file = self.lock();
        let mut reader = Connecting {
            file: &mut file,
            deadline: Instant::now() + PATIENCE,
        };
        protocol::receive(&mut reader)
            .context("cannot read the job")?
            .context("the harness sent no job")
    }
}

/// Reads from a port whose other end may not be connected yet: until then the
/// kernel reports an end of file.
struct Connecting<'a> {
    file: &'a mut File,
    deadline: Instant,
}

impl Read for Connecting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer)? {
                0 if Instant::now() < self.deadline => thread::sleep(Duration::from_millis(10)),
                n => return Ok(n),
            }
        }
    }
}
