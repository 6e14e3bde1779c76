// SPDX-License-Identifier: GPL-2.0

//! A virtio-serial port, from inside the guest.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read},
    thread,
    time::{Duration, Instant},
};

/// Where the kernel lists the ports.
const PORTS: &str = "/sys/class/virtio-ports";

/// Opens the port of that name, for which it waits for a while: the device may not be there yet.
///
/// # Errors
///
/// `NotFound` when there is no such port in time, else what opening it reports.
pub fn open(name: &str, patience: Duration) -> io::Result<File> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(node) = find(name)? {
            return File::options()
                .read(true)
                .write(true)
                .open(format!("/dev/{node}"));
        }
        if Instant::now() > deadline {
            let error = format!("no virtio-serial port named {name}");
            return Err(io::Error::new(ErrorKind::NotFound, error));
        }
        thread::sleep(Duration::from_millis(20));
    }
}

fn find(name: &str) -> io::Result<Option<String>> {
    let Ok(entries) = fs::read_dir(PORTS) else {
        return Ok(None);
    };
    for entry in entries {
        let entry = entry?;
        // A port is listed a moment before its name is known.
        if fs::read_to_string(entry.path().join("name")).is_ok_and(|other| other.trim() == name) {
            return Ok(Some(entry.file_name().to_string_lossy().into_owned()));
        }
    }
    Ok(None)
}

/// Reads from a port whose other end may not be connected yet: until then the kernel reports an
/// end of file, and this waits.
pub struct Connecting<'a> {
    port: &'a File,
    deadline: Instant,
}

impl<'a> Connecting<'a> {
    /// A reader that waits for a while.
    pub fn new(port: &'a File, patience: Duration) -> Self {
        Connecting {
            port,
            deadline: Instant::now() + patience,
        }
    }
}

impl Read for Connecting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.port.read(buffer)? {
                0 if Instant::now() < self.deadline => thread::sleep(Duration::from_millis(10)),
                n => return Ok(n),
            }
        }
    }
}
