// SPDX-License-Identifier: GPL-2.0

//! Tracepoints as the kernel writes them down: an instance of tracefs of one's own.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process;

/// Where tracefs is mounted.
const ROOT: &str = "/sys/kernel/tracing";

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
        let instance = format!("instances/{system}-{}", process::id());
        let trace = Trace(Path::new(ROOT).join(instance));
        fs::create_dir(&trace.0)?;
        fs::write(trace.0.join("events").join(system).join("enable"), "1")?;
        Ok(Some(trace))
    }

    /// Takes out what has been written down so far, the oldest first.
    ///
    /// # Errors
    ///
    /// Those of tracefs, and `InvalidData` for a line that is no event.
    pub fn take(&self) -> io::Result<Vec<Event>> {
        let file = self.0.join("trace");
        let text = fs::read_to_string(&file)?;
        // Truncating it forgets them.
        fs::write(&file, "")?;
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

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The thread that it happened in.
    pub thread: u32,
    /// Its name.
    pub name: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// "   data-61      [000] .....    12.345678: udmabuf_end: ino=5 access=rw"
    fn parse(line: &str) -> Option<Event> {
        let (front, fields) = line.split_once(": ")?;
        let (name, fields) = fields.split_once(": ")?;
        // A program's name may have brackets and blanks.
        let (task, _) = front.rsplit_once(" [")?;
        let (_, thread) = task.trim_end().rsplit_once('-')?;
        let fields = fields.split(' ').map(|field| field.split_once('='));
        let fields: Option<Vec<_>> = fields.collect();
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Some(Event {
            thread: thread.parse().ok()?,
            name: name.to_owned(),
            fields: fields?.into_iter().map(owned).collect(),
        })
    }

    /// A field as it is written; empty if there is none of that name.
    pub fn text(&self, name: &str) -> &str {
        let field = self.fields.iter().find(|(other, _)| other == name);
        field.map_or("", |(_, value)| value)
    }

    /// A field that is a number; none if there is no such.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.text(name).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::Event;

    #[test]
    fn reads_a_line_of_the_trace() {
        let line =
            " a [b]-c-61      [001] d..1.    12.345678: udmabuf_end: ino=5 access=rw error=-4";
        let event = Event::parse(line).unwrap();
        assert_eq!((event.thread, event.name.as_str()), (61, "udmabuf_end"));
        assert_eq!((event.text("access"), event.text("none")), ("rw", ""));
        assert_eq!(
            (event.number("error"), event.number("access")),
            (Some(-4), None)
        );
    }

    #[test]
    fn what_is_no_event_is_none() {
        for line in ["", "CPU:0 [LOST 5 EVENTS]", "a-1 [000] . 1.0: name: text"] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }
}
