// SPDX-License-Identifier: GPL-2.0

//! The driver's events in the text of a trace.

use std::fmt;

use anyhow::Result;
use protocol::trace::{Event, Line};

use crate::usage::refuse;

/// How much of a line an error shows.
const SHOWN: usize = 60;

/// Events that the kernel had no room for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Those that it counted.
    pub counted: u64,
    /// Whether there were more.
    pub more: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.counted, self.more) {
            (0, false) => f.write_str("no event was lost"),
            (0, true) => f.write_str("some events were lost"),
            (1, false) => f.write_str("1 event was lost"),
            (counted, false) => write!(f, "{counted} events were lost"),
            (counted, true) => write!(f, "more than {counted} events were lost"),
        }
    }
}

impl Lost {
    /// Whether there were any.
    pub fn any(self) -> bool {
        self != Lost::default()
    }
}

/// What the driver's tracepoints have written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// The events.
    pub events: Vec<Event>,
    /// What is missing.
    pub lost: Lost,
}

impl Recording {
    /// Reads the text of tracefs or of `trace-cmd report`. There may be no event of the driver in it.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::usage::Usage) for what is no trace, and for a damaged event.
    pub fn parse(text: &str) -> Result<Self> {
        let mut recording = Recording::default();
        let mut unknown = None;
        let mut is_trace = false;
        for (number, line) in (1..).zip(text.lines()) {
            match Line::parse(line) {
                Line::Ours(event) if event.number("ino").is_some() => recording.events.push(event),
                Line::Ours(_) | Line::Broken => {
                    refuse!("line {number} is a damaged event: {}", shown(line))
                }
                Line::Lost(Some(count)) => recording.lost.counted += count,
                Line::Lost(None) => recording.lost.more = true,
                Line::Other => is_trace |= !line.trim().is_empty(),
                // Stacks of calls, for one, are among the events of others.
                Line::Unknown => unknown = unknown.or(Some((number, line))),
            }
        }
        is_trace |= !recording.events.is_empty() || recording.lost.any();
        match unknown {
            _ if is_trace => Ok(recording),
            Some((number, line)) => refuse!("no trace: line {number} is {}", shown(line)),
            None => refuse!("no trace: nothing is in it"),
        }
    }
}

/// The beginning of a line, whatever is in it.
fn shown(line: &str) -> String {
    let mut letters = line.trim().escape_debug();
    let shown: String = letters.by_ref().take(SHOWN).collect();
    let more = letters.next().map_or("", |_| "...");
    format!("\"{shown}{more}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    const RELEASE: &str = " a-1 [000] ..... 1.5: udmabuf_release: ino=5\n";

    #[test]
    fn what_is_no_event_of_the_driver_is_left_out() {
        let text = format!(
            "# tracer: nop\n#\n# entries-in-buffer/entries-written: 3/5   #P:2\n\
             {RELEASE} b-2 [001] ..... 1.6: sched_switch: a=b\n => some_function\n\
             CPU:1 [LOST 7 EVENTS]\n{RELEASE}"
        );
        let recording = Recording::parse(&text).unwrap();
        assert_eq!(recording.events.len(), 2);
        assert_eq!(recording.lost.to_string(), "9 events were lost");
    }

    #[test]
    fn losses_are_said_as_far_as_they_are_known() {
        for (counted, more, text) in [
            (0, false, "no event was lost"),
            (1, false, "1 event was lost"),
            (0, true, "some events were lost"),
            (3, true, "more than 3 events were lost"),
        ] {
            let lost = Lost { counted, more };
            assert_eq!(
                (lost.to_string().as_str(), lost.any()),
                (text, counted > 0 || more)
            );
        }
    }

    #[test]
    fn bad_text_is_refused_in_one_line() {
        let damaged = format!("{RELEASE} a-1 [000] ..... 1.5: udmabuf_end: what\n");
        let nameless = format!("{RELEASE} a-1 [000] ..... 1.5: udmabuf_release: i=5\n");
        let long = "x".repeat(1000);
        for (text, reason) in [
            ("", "no trace: nothing is in it"),
            (" \n\n", "no trace: nothing is in it"),
            (
                "\u{7f}ELF\u{1}\u{fffd}\n\n",
                "no trace: line 1 is \"\\u{7f}ELF\\u{1}",
            ),
            (damaged.as_str(), "line 2 is a damaged event"),
            (nameless.as_str(), "line 2 is a damaged event"),
            (long.as_str(), "xxx...\""),
        ] {
            let message = Recording::parse(text).err().unwrap().to_string();
            assert!(message.contains(reason), "{text:?}: {message}");
            assert!(
                message.lines().count() == 1 && message.len() < 120,
                "{message}"
            );
        }
    }

    #[test]
    fn a_trace_of_others_has_no_events() {
        let recording = Recording::parse("# tracer: nop\n").unwrap();
        assert_eq!(recording, Recording::default());
    }
}
