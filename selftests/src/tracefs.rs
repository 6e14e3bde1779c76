// SPDX-License-Identifier: GPL-2.0

//! Tracepoints as the kernel writes them down: an instance of tracefs of one's own.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

pub use protocol::trace::Event;

/// Where tracefs is mounted.
const ROOT: &str = "/sys/kernel/tracing";

/// How much of a trace is kept for each CPU, in KiB, where whole programs are traced.
const LARGE: u32 = 16 << 10;

/// Writes down the events of one system while it lives.
#[derive(Debug)]
pub struct Trace(PathBuf);

impl Trace {
    /// Listens to all events of `system`; none if the kernel or the driver has no such.
    ///
    /// # Errors
    ///
    /// Those of tracefs.
    pub fn of(system: &str) -> io::Result<Option<Trace>> {
        if !Path::new(ROOT).join("events").join(system).exists() {
            return Ok(None);
        }
        static NUMBER: AtomicU32 = AtomicU32::new(0);

        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let instance = format!("instances/{system}-{}-{number}", process::id());
        let trace = Trace(Path::new(ROOT).join(instance));
        fs::create_dir(&trace.0)?;
        fs::write(trace.0.join("events").join(system).join("enable"), "1")?;
        Ok(Some(trace))
    }

    /// Keeps the events of a program that runs for some time: without this, new ones take the place of
    /// the old ones soon.
    ///
    /// # Errors
    ///
    /// Those of tracefs.
    pub fn enlarge(&self) -> io::Result<()> {
        fs::write(self.0.join("buffer_size_kb"), LARGE.to_string())
    }

    /// What has been written down so far, as the kernel says it.
    ///
    /// # Errors
    ///
    /// Those of tracefs.
    pub fn text(&self) -> io::Result<String> {
        // A program's name may be any bytes.
        let text = fs::read(self.0.join("trace"))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Takes out what has been written down so far, the oldest first.
    ///
    /// # Errors
    ///
    /// Those of tracefs, and `InvalidData` for a line that is no event.
    pub fn take(&self) -> io::Result<Vec<Event>> {
        let text = self.text()?;
        // Truncating it forgets them.
        fs::write(self.0.join("trace"), "")?;
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| {
                Event::parse(line).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, format!("no event: {line}"))
                })
            })
            .collect()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        // An instance that nobody reads can go.
        let _ = fs::remove_dir(&self.0);
    }
}
