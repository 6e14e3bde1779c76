// SPDX-License-Identifier: GPL-2.0

//! The virtio-serial port that leads to the harness.

use std::{
    fs::File,
    io::Read,
    sync::{Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use protocol::{
    Event, Job, PORT,
    port::{self, Connecting},
};

/// How long the port may take to appear, and the harness to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long the harness may take to read what it was told.
const DRAINING: Duration = Duration::from_secs(10);

/// The open port; several threads report through it, one event at a time.
pub struct Port(Mutex<File>);

/// Finds the port by its name and opens it.
pub fn open() -> Result<Port> {
    Ok(Port(Mutex::new(port::open(PORT, PATIENCE)?)))
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

    /// Waits until the harness, which closes its side then, has read everything. Only so long: what the
    /// machine does next decides whether all is well.
    pub fn drain(&self) {
        let Ok(mut file) = self.lock().try_clone() else {
            return;
        };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            while matches!(file.read(&mut [0; 64]), Ok(1..)) {}
            let _ = sender.send(());
        });
        let _ = receiver.recv_timeout(DRAINING);
    }

    /// Receives the job.
    pub fn job(&self) -> Result<Job> {
        protocol::receive(&mut Connecting::new(&self.lock(), PATIENCE))
            .context("cannot read the job")?
            .context("the harness sent no job")
    }
}
