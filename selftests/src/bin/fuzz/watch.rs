// SPDX-License-Identifier: GPL-2.0

//! What a round must leave as it was.

use std::io;

use selftests::Held;
use selftests::Ledger;
use selftests::hugepage;
use selftests::kmsg::Kmsg;
use selftests::statistics;
use selftests::statistics::GAUGES;

/// How it was before.
#[derive(Debug)]
pub struct Watch {
    kmsg: Kmsg,
    held: Held,
    descriptors: usize,
    huge_pages: usize,
    /// None of another driver.
    gauges: Option<[usize; GAUGES.len()]>,
    created: Option<usize>,
}

/// What our driver counts, where it is the one that is tested.
fn of_ours<T>(ours: bool, count: impl FnOnce() -> io::Result<Option<T>>) -> io::Result<Option<T>> {
    match ours {
        true => count(),
        false => Ok(None),
    }
}

impl Watch {
    /// Begins; the kernel log says with what, for the case that it ends there.
    pub fn begin(what: &str, ours: bool) -> io::Result<Watch> {
        let mut kmsg = Kmsg::watch()?;
        kmsg.mark(&format!("selftests: fuzz {what}"))?;
        Ok(Watch {
            kmsg,
            held: Held::now()?,
            descriptors: Ledger::now()?.descriptors,
            huge_pages: hugepage::free()?,
            gauges: of_ours(ours, statistics::gauges)?,
            created: of_ours(ours, || statistics::counter("created"))?,
        })
    }

    /// Says what the driver counts wrongly in the middle of a round, if anything.
    pub fn miscounted(&self, buffers: usize, mappings: usize) -> io::Result<Option<String>> {
        let (Some(now), Some(before)) = (statistics::gauges()?, self.gauges) else {
            return Ok(None);
        };
        // Buffers and mappings, in the order of GAUGES.
        for (index, more) in [(0, buffers), (3, mappings)] {
            let (name, now, before) = (GAUGES[index], now[index], before[index]);
            if now != before + more {
                return Ok(Some(format!(
                    "the driver counts {name}: {now}, not {before} + {more}"
                )));
            }
        }
        Ok(None)
    }

    /// Says what is not as it was, if anything; so many buffers were made, at least and at most.
    pub fn end(mut self, (least, most): (usize, Option<usize>)) -> io::Result<Option<String>> {
        let mut wrong = self.kmsg.complaints()?;
        let held = Held::wait_until(|held| *held == self.held)?;
        if held != self.held {
            wrong.push(format!("left: {held}; before: {}", self.held));
        }
        for (what, now, before) in [
            ("descriptors", Ledger::now()?.descriptors, self.descriptors),
            ("free huge pages", hugepage::free()?, self.huge_pages),
        ] {
            if now != before {
                wrong.push(format!("{what}: {now}, before: {before}"));
            }
        }
        if let (Some(now), Some(before)) = (statistics::gauges()?, self.gauges)
            && now != before
        {
            wrong.push(format!(
                "the driver counts {now:?}, before: {before:?} ({})",
                GAUGES.join(", ")
            ));
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
