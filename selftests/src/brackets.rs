// SPDX-License-Identifier: GPL-2.0

//! How programs bracket: what the driver's checker and its tracepoints say of all that happens for a
//! while.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::process;

use protocol::trace::Event;
use protocol::trace::Line;

use crate::Access;
use crate::Memfd;
use crate::PAGE;
use crate::Udmabuf;
use crate::driver::Driver;
use crate::tracefs::Trace;

/// What the checker has said last, of all buffers.
pub const FILE: &str = "/sys/kernel/debug/udmabuf_rs/wrong";

/// So many lines are kept there.
const KEPT: usize = 64;

/// What one program did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Program {
    /// Buffers that it made.
    pub made: usize,
    /// Accesses that it began.
    pub begun: usize,
    /// Accesses that it ended.
    pub ended: usize,
    /// How often it touched a mapping of a buffer that had no entry there. None at all means that it
    /// accesses the memory through something else, such as the memfd.
    pub faults: usize,
    /// What it did wrong, and in how many places.
    pub wrong: BTreeMap<String, usize>,
}

/// What all programs did, by the names of their threads.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brackets {
    /// The programs.
    pub programs: BTreeMap<String, Program>,
    /// What the checker said of them, as people read it.
    pub lines: Vec<String>,
}

/// Has every new buffer checked while something is done: what that returns, and how programs bracketed
/// meanwhile. At the end a buffer is touched outside of any bracket, and has to be told of: otherwise
/// silence would mean nothing.
///
/// # Errors
///
/// When the kernel does not say, or says less than all.
pub fn watch<T>(work: impl FnOnce() -> T) -> io::Result<(T, Brackets)> {
    let parameter = Driver::Rust.parameter("check");
    let _checked = parameter.set("1")?;
    let trace = Trace::of("udmabuf")?.ok_or_else(|| wrong("the driver has no tracepoints"))?;
    trace.enlarge()?;
    let before = lines()?;
    let done = work();
    let brackets = Brackets::of(&trace.text()?, &before)?;
    trace.take()?;
    touch_outside(&trace)?;
    Ok((done, brackets))
}

impl Brackets {
    fn of(text: &str, before: &[String]) -> io::Result<Self> {
        let programs = programs(text)?;
        // Each line names a buffer, and no two buffers have the same number.
        let before: HashSet<_> = before.iter().collect();
        let lines: Vec<_> = lines()?
            .into_iter()
            .filter(|line| !before.contains(line))
            .collect();
        let brackets = Brackets { programs, lines };
        let traced = brackets.wrong();
        match brackets.lines.len() {
            kept if kept == traced.min(KEPT) => Ok(brackets),
            kept => Err(wrong(format_args!(
                "{traced} events of what is wrong, and {kept} lines in {FILE}"
            ))),
        }
    }

    /// In how many places something was wrong.
    pub fn wrong(&self) -> usize {
        let all = self.programs.values().flat_map(|did| did.wrong.values());
        all.sum()
    }
}

/// Counts what a trace has.
fn programs(text: &str) -> io::Result<BTreeMap<String, Program>> {
    let mut programs = BTreeMap::<String, Program>::new();
    for line in text.lines() {
        match Line::parse(line) {
            Line::Ours(event) => programs.entry(event.task.clone()).or_default().add(&event),
            Line::Other => {}
            Line::Lost(_) | Line::Broken | Line::Unknown => {
                return Err(wrong(format_args!("the trace is not whole: {line}")));
            }
        }
    }
    programs.retain(|_, did| *did != Program::default());
    Ok(programs)
}

impl Program {
    fn add(&mut self, event: &Event) {
        // An access that was interrupted has not begun, and is tried again.
        let is_done = event.number("error").is_none_or(|error| error == 0);
        match event.name.as_str() {
            "udmabuf_create" => self.made += 1,
            "udmabuf_begin" if is_done => self.begun += 1,
            "udmabuf_end" if is_done => self.ended += 1,
            "udmabuf_fault" => self.faults += 1,
            "udmabuf_wrong" => {
                *self
                    .wrong
                    .entry(event.text("wrong").to_owned())
                    .or_default() += 1;
            }
            _ => {}
        }
    }
}

/// In one line, for that is what a step says.
impl fmt::Display for Brackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("brackets: ")?;
        for (index, (name, did)) in self.programs.iter().enumerate() {
            let before = if index == 0 { "" } else { " | " };
            write!(f, "{before}{name}: {did}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "made {}, begin {}, end {}, faults {}; wrong: ",
            self.made, self.begun, self.ended, self.faults
        )?;
        if self.wrong.is_empty() {
            return f.write_str("nothing");
        }
        for (index, (what, places)) in self.wrong.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{what} {places}")?;
        }
        Ok(())
    }
}

/// What the checker has said last, the oldest first.
fn lines() -> io::Result<Vec<String>> {
    // A program's name may be any bytes.
    let text = fs::read(FILE)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().map(str::to_owned).collect())
}

/// Touches a buffer outside of any bracket: an error unless that is told, in both ways, and once.
fn touch_outside(trace: &Trace) -> io::Result<()> {
    let memfd = Memfd::new(PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let inode = rustix::fs::fstat(buffer.as_fd())?.st_ino.to_string();
    buffer.map(Access::Read)?.touch(0);
    let events = trace.take()?.into_iter();
    let told: Vec<_> = events
        .filter(|event| event.name == "udmabuf_wrong" && event.text("ino") == inode)
        .map(|event| (event.text("wrong").to_owned(), event.number("process")))
        .collect();
    let expected = [("outside".to_owned(), Some(i64::from(process::id())))];
    let start = format!("udmabuf {inode}: ");
    let kept = lines()?
        .iter()
        .filter(|line| line.starts_with(&start))
        .count();
    match told == expected && kept == 1 {
        true => Ok(()),
        false => Err(wrong(format_args!(
            "a touch outside of any bracket was told as {told:?}, and in {kept} lines"
        ))),
    }
}

fn wrong(what: impl fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "\
# entries-in-buffer/entries-written: 6/6   #P:2
#
 gst-1  [000] .....  1.000001: udmabuf_create: ino=5 size=4096 extents=1 mode=DMA_API
 gst-1  [000] .....  1.000002: udmabuf_begin: ino=5 access=r error=-4
 gst-1  [000] .....  1.000003: udmabuf_begin: ino=5 access=r error=0
 b c-2  [001] .....  1.000004: udmabuf_wrong: ino=5 wrong=outside offset=0 process=2
 gst-1  [000] .....  1.000005: udmabuf_end: ino=5 access=r error=0
 gst-1  [000] .....  1.000006: udmabuf_release: ino=5
 kworker-7  [000] .....  1.000007: udmabuf_unmap: ino=5 device=d class=shadow duration=1
";

    #[test]
    fn counts_by_program() {
        let brackets = Brackets {
            programs: programs(TRACE).unwrap(),
            lines: Vec::new(),
        };
        assert_eq!(
            brackets.to_string(),
            "brackets: b c: made 0, begin 0, end 0, faults 0; wrong: outside 1 | \
             gst: made 1, begin 1, end 1, faults 0; wrong: nothing"
        );
        assert_eq!(brackets.wrong(), 1);
    }

    #[test]
    fn a_part_of_a_trace_is_not_counted() {
        assert!(programs(&TRACE.replace("6/6", "6/7")).is_err());
        assert!(programs(&TRACE.replace("1.000005: ", "")).is_err());
    }
}
