// SPDX-License-Identifier: GPL-2.0

//! What a round must leave as it was.

use std::fs;
use std::io;

use selftests::Held;
use selftests::hugepage;
use selftests::kmsg::Kmsg;
use selftests::statistics;

/// What our driver counts of what there is.
const COUNTERS: [&str; 6] = [
    "buffers",
    "pages",
    "extents",
    "mappings",
    "shadows",
    "shadow_pages",
];

/// How it was before.
#[derive(Debug)]
pub struct Watch {
    kmsg: Kmsg,
    held: Held,
    descriptors: usize,
    huge_pages: usize,
    /// None of another driver.
    counters: Vec<Option<usize>>,
    created: Option<usize>,
}

fn descriptors() -> io::Result<usize> {
    Ok(fs::read_dir("/proc/self/fd")?.count())
}

fn counter(name: &str, ours: bool) -> io::Result<Option<usize>> {
    match ours {
        true => statistics::counter(name),
        false => Ok(None),
    }
}

fn counters(ours: bool) -> io::Result<Vec<Option<usize>>> {
    COUNTERS.iter().map(|name| counter(name, ours)).collect()
}

impl Watch {
    /// Begins; the kernel log says with what, for the case that it ends there.
    pub fn begin(what: &str, ours: bool) -> io::Result<Watch> {
        let mut kmsg = Kmsg::watch()?;
        kmsg.mark(&format!("selftests: fuzz {what}"))?;
        Ok(Watch {
            kmsg,
            held: Held::now()?,
            descriptors: descriptors()?,
            huge_pages: hugepage::free()?,
            counters: counters(ours)?,
            created: counter("created", ours)?,
        })
    }

    /// Says what the driver counts wrongly in the middle of a round, if anything.
    pub fn miscounted(&self, buffers: usize, mappings: usize) -> io::Result<Option<String>> {
        for (index, name, expected) in [(0, COUNTERS[0], buffers), (3, COUNTERS[3], mappings)] {
            let (now, before) = (statistics::counter(name)?, self.counters[index]);
            if let (Some(now), Some(before)) = (now, before)
                && now != before + expected
            {
                return Ok(Some(format!(
                    "the driver counts {name}: {now}, not {before} + {expected}"
                )));
            }
        }
        Ok(None)
    }

    /// Says what is not as it was, if anything; so many buffers were made, at least and at most.
    pub fn end(mut self, (least, most): (usize, Option<usize>)) -> io::Result<Option<String>> {
        let ours = self.created.is_some();
        let mut wrong = self.kmsg.complaints()?;
        let held = Held::wait_until(|held| *held == self.held)?;
        if held != self.held {
            wrong.push(format!("left: {held}; before: {}", self.held));
        }
        for (what, now, before) in [
            ("descriptors", descriptors()?, self.descriptors),
            ("free huge pages", hugepage::free()?, self.huge_pages),
        ] {
            if now != before {
                wrong.push(format!("{what}: {now}, before: {before}"));
            }
        }
        for (name, (now, before)) in COUNTERS
            .iter()
            .zip(counters(ours)?.into_iter().zip(&self.counters))
        {
            if now != *before {
                wrong.push(format!(
                    "the driver counts {name}: {now:?}, before: {before:?}"
                ));
            }
        }
        if let (Some(now), Some(before)) = (statistics::counter("created")?, self.created) {
            let made = now - before;
            if made < least || most.is_some_and(|most| made > most) {
                wrong.push(format!(
                    "the driver says it made {made} buffers: {least} to {most:?} were"
                ));
            }
        }
        Ok((!wrong.is_empty()).then(|| wrong.join("; ")))
    }
}
