// SPDX-License-Identifier: GPL-2.0

//! What tracepoints write down, as text: a line of tracefs or of `trace-cmd report`.

/// How the names of the driver's events begin.
pub const OURS: &str = "udmabuf_";

/// Nanoseconds in a second, and how many digits that is behind the point.
const SECOND: u64 = 1_000_000_000;
const DIGITS: usize = 9;

/// An event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The program that it happened in.
    pub task: String,
    /// The thread that it happened in.
    pub thread: u32,
    /// When, since boot.
    pub nanoseconds: u64,
    /// Its name.
    pub name: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

impl Event {
    /// "   data-61      \[000\] .....    12.345678: udmabuf_end: ino=5 access=rw"; `trace-cmd report` has
    /// no flags, and more blanks. None if it is something else.
    pub fn parse(line: &str) -> Option<Event> {
        // A program's name may have brackets and blanks, even some that look like a CPU.
        let mut brackets = line.match_indices(" [");
        brackets.find_map(|(at, bracket)| {
            let (before, after) = (&line[..at], &line[at + bracket.len()..]);
            let (cpu, happened) = after.split_once("] ")?;
            cpu.parse::<u32>().ok()?;
            Event::of(before, happened)
        })
    }

    /// "   data-61" and "..... 12.345678: udmabuf_end: ino=5 access=rw".
    fn of(task: &str, happened: &str) -> Option<Event> {
        let (front, happened) = happened.split_once(": ")?;
        let (name, fields) = happened.split_once(':')?;
        let (task, thread) = split_task(task.trim())?;
        Some(Event {
            task: task.to_owned(),
            thread,
            nanoseconds: nanoseconds(front.split_whitespace().next_back()?)?,
            name: name.trim().to_owned(),
            fields: split_fields(fields)?,
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

/// "data-61", or "data-61    (  60)" where the process is written down as well.
fn split_task(text: &str) -> Option<(&str, u32)> {
    let thread = match text.strip_suffix(')') {
        Some(text) => text.rsplit_once('(')?.0.trim_end(),
        None => text,
    };
    let (task, thread) = thread.rsplit_once('-')?;
    Some((task, thread.parse().ok()?))
}

/// Seconds with a point. Other clocks of the kernel have none, and count something else.
fn nanoseconds(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || fraction.len() > DIGITS {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<DIGITS$}").parse().ok()?;
    let seconds: u64 = seconds.parse().ok()?;
    seconds.checked_mul(SECOND)?.checked_add(fraction)
}

/// Names and values; a device's name may have blanks.
fn split_fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for word in text.split_whitespace() {
        match (word.split_once('='), fields.last_mut()) {
            (Some((name, value)), _) => fields.push((name.to_owned(), value.to_owned())),
            (None, Some((_, value))) => *value += &format!(" {word}"),
            (None, None) => return None,
        }
    }
    Some(fields)
}

/// What a line of a trace is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An event of the driver.
    Ours(Event),
    /// The kernel had no room for so many events, or for an unknown number of them.
    Lost(Option<u64>),
    /// What every trace has besides: headings, events of others.
    Other,
    /// An event of the driver that has been damaged.
    Broken,
    /// Nothing that a trace has.
    Unknown,
}

impl Line {
    /// Tells what a line is.
    pub fn parse(line: &str) -> Line {
        let trimmed = line.trim();
        if let Some(lost) = lost(trimmed) {
            return Line::Lost(lost);
        }
        if let Some(event) = Event::parse(line) {
            return match event.name.starts_with(OURS) {
                true => Line::Ours(event),
                false => Line::Other,
            };
        }
        let mut words = trimmed.split_whitespace();
        if words.any(|word| word.starts_with(OURS) && word.ends_with(':')) {
            return Line::Broken;
        }
        let of_heading = |line: &str| {
            let starts = ["#", "cpus=", "version = ", "CPU "];
            line.is_empty() || starts.iter().any(|start| line.starts_with(start))
        };
        // An event of others may be any text behind its time.
        let of_others = || {
            let mut parts = trimmed.split(": ");
            let front = parts.next().unwrap_or_default();
            let time = front.split_whitespace().next_back();
            front.contains(" [") && time.is_some_and(|time| nanoseconds(time).is_some())
        };
        match of_heading(trimmed) || of_others() {
            true => Line::Other,
            false => Line::Unknown,
        }
    }
}

/// How many events were lost, if the line says that some were. tracefs says what was overwritten in
/// its heading, and both say what was left out where it happened.
fn lost(line: &str) -> Option<Option<u64>> {
    if let Some(counts) = line.strip_prefix("# entries-in-buffer/entries-written:") {
        let (here, written) = counts.split_whitespace().next()?.split_once('/')?;
        let lost = written.parse::<u64>().ok()?.checked_sub(here.parse().ok()?);
        return lost.filter(|lost| *lost > 0).map(Some);
    }
    let (cpu, text) = line.strip_prefix("CPU:")?.split_once(" [")?;
    cpu.parse::<u32>().ok()?;
    let words: Vec<_> = text.strip_suffix(']')?.split(' ').collect();
    match words.as_slice() {
        ["LOST", count, "EVENTS"] | [count, "EVENTS", "DROPPED"] => Some(Some(count.parse().ok()?)),
        ["LOST", "EVENTS"] | ["EVENTS", "DROPPED"] => Some(None),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(
            (event.task.as_str(), event.nanoseconds),
            ("a [b]-c", 12_345_678_000)
        );
    }

    #[test]
    fn reads_a_line_of_trace_cmd() {
        let line = "            data-61    [000]    12.345678901: udmabuf_unmap:        ino=5 device=a b class=shadow";
        let event = Event::parse(line).unwrap();
        assert_eq!((event.task.as_str(), event.thread), ("data", 61));
        assert_eq!(event.nanoseconds, 12_345_678_901);
        assert_eq!(event.name, "udmabuf_unmap");
        assert_eq!((event.text("ino"), event.text("device")), ("5", "a b"));
    }

    #[test]
    fn names_of_programs_may_be_anything() {
        for task in ["a [7] b", "a: b", "<...>", "-", "x-1", "[000] 1.0: n: a"] {
            let line = format!("  {task}-61  [000] ..... 12.5: udmabuf_release: ino=5");
            let event = Event::parse(&line).unwrap();
            assert_eq!((event.task.as_str(), event.thread), (task, 61), "{line}");
        }
        let line = "  data-61      (     60) [000] ..... 12.5: udmabuf_release: ino=5";
        let event = Event::parse(line).unwrap();
        assert_eq!((event.task.as_str(), event.thread), ("data", 61));
    }

    #[test]
    fn what_is_no_event_is_none() {
        for line in [
            "",
            "CPU:0 [LOST 5 EVENTS]",
            "a-1 [000] . 1.0: name: text",
            "a-1 [000] . 12: name: a=1",
            "a-1 [000] . 1.x: name: a=1",
            "a-1 [000] . 1.0123456789: name: a=1",
            "a-1 [000] . 99999999999999999999.0: name: a=1",
            "a-b [000] . 1.0: name: a=1",
            "a-1 [x] . 1.0: name: a=1",
        ] {
            assert_eq!(Event::parse(line), None, "{line}");
        }
    }

    #[test]
    fn lost_events_are_counted() {
        for (line, lost) in [
            ("CPU:1 [LOST 5 EVENTS]", Some(5)),
            ("CPU:1 [LOST EVENTS]", None),
            ("CPU:12 [5 EVENTS DROPPED]", Some(5)),
            ("CPU:1 [EVENTS DROPPED]", None),
            ("# entries-in-buffer/entries-written: 10/12   #P:2", Some(2)),
        ] {
            assert_eq!(Line::parse(line), Line::Lost(lost), "{line}");
        }
    }

    #[test]
    fn lines_are_told_apart() {
        let end = " data-61 [000] ..... 12.345678: udmabuf_end: ino=5";
        assert!(matches!(Line::parse(end), Line::Ours(_)));
        for line in [
            "",
            "# tracer: nop",
            "# entries-in-buffer/entries-written: 12/12   #P:2",
            "cpus=2",
            "CPU 1 is empty",
            " a-1 [000] d.... 1.5: sched_switch: prev_comm=a prev_pid=1 ==> next_comm=b",
            " a-1 [000] ..... 1.5: tracing_mark_write: any words: at all",
            " a-1 [000]  1.5: print: tracing_mark_write: words",
        ] {
            assert_eq!(Line::parse(line), Line::Other, "{line}");
        }
        for line in [
            " data-61 [000] ..... 12.345678: udmabuf_end: what",
            " data-61 [000] ..... 12345678: udmabuf_end: ino=5",
            "5678: udmabuf_end: ino=5",
        ] {
            assert_eq!(Line::parse(line), Line::Broken, "{line}");
        }
        for line in ["words", "ELF\u{1}", "CPU:x [LOST 5 EVENTS]", "{\"ino\": 5}"] {
            assert_eq!(Line::parse(line), Line::Unknown, "{line}");
        }
    }
}
