// SPDX-License-Identifier: GPL-2.0

//! Races that KCSAN saw, as a kernel log has them.

use std::{collections::BTreeMap, fmt};

use protocol::{DRIVER_MODULE, log::RACE};

use crate::log;

/// What stands above and below a report: a line of these.
const RULE: &str = "================";

/// Where an interrupt begins: below are the functions that it came to, which have no part in what it does.
const INTERRUPTS: [&str; 2] = ["asm_sysvec_", "asm_common_interrupt"];

/// Kinds of races that are shown; all are in the log.
const SHOWN_KINDS: usize = 5;

/// Two accesses that raced, or one whose data changed meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Race {
    /// The line of the log where its report begins, from 1.
    pub line: usize,
    /// The kind of race, and the functions.
    pub title: String,
    /// Where the driver comes in first, if it does: the stacks of both accesses are in the report.
    pub driver: Option<String>,
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RACE}{}", self.title)?;
        match &self.driver {
            Some(frame) => write!(f, ", by way of {frame}"),
            None => Ok(()),
        }
    }
}

/// Every race that is reported in a log.
pub fn races(log: &str) -> Vec<Race> {
    let driver = format!("[{DRIVER_MODULE}]");
    let mut races: Vec<Race> = Vec::new();
    let (mut inside, mut interrupted) = (false, false);
    for (number, line) in log.lines().enumerate() {
        let text = log::message(line).trim();
        if let Some(title) = text.strip_prefix(RACE) {
            (inside, interrupted) = (true, false);
            races.push(Race {
                line: number + 1,
                title: title.to_owned(),
                driver: None,
            });
        } else if text.starts_with(RULE) {
            inside = false;
        } else if text.is_empty() {
            // The next stack.
            interrupted = false;
        } else if INTERRUPTS.iter().any(|entry| text.starts_with(entry)) {
            interrupted = true;
        } else if inside
            && !interrupted
            && text.contains(&driver)
            && let Some(race) = races.last_mut()
        {
            race.driver.get_or_insert_with(|| text.to_owned());
        }
    }
    races
}

/// What there is to say of the races in which the driver has no part, if there were any.
pub fn of_others(races: &[Race]) -> Option<String> {
    let others = races.iter().filter(|race| race.driver.is_none());
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for race in others {
        *kinds.entry(&race.title).or_default() += 1;
    }
    let all: usize = kinds.values().sum();
    if all == 0 {
        return None;
    }
    let mut most: Vec<_> = kinds.iter().collect();
    most.sort_by_key(|(title, count)| (usize::MAX - **count, **title));
    let shown = most.iter().take(SHOWN_KINDS);
    let shown: Vec<_> = shown
        .map(|(title, count)| format!("{count} {title}"))
        .collect();
    Some(format!(
        "races of the kernel alone: {all}, of {} kinds; most often {}",
        kinds.len(),
        shown.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &str = "\
[   80.1] ==================================================================
[   80.1] BUG: KCSAN: data-race in at_end [udmabuf_rs] / rust_helper_atomic_i8_set

[   80.1] write (marked) to 0xffff888103d55c10 of 1 bytes by task 120 on cpu 1:
[   80.1]  rust_helper_atomic_i8_set+0x20/0x30
[   80.1]  set+0x1a/0x30 [udmabuf_rs]
[   80.1]  dma_buf_map_attachment+0x8a/0x1f0

[   80.1] read to 0xffff888103d55c10 of 1 bytes by task 121 on cpu 0:
[   80.1]  at_end+0x2b/0x40 [udmabuf_rs]

[   80.1] Reported by Kernel Concurrency Sanitizer on:
[   80.1] CPU: 0 UID: 0 PID: 121 Comm: pairs Tainted: G           O        7.3.4 #1
[   80.1] ==================================================================
[   80.2] udmabuf_rs: [udmabuf_rs] after it
";

    const OTHERS: &str = "\
[   81.1] ==================================================================
[   81.1] BUG: KCSAN: data-race in tick_sched_timer / tick_do_update_jiffies64

[   81.1] race at unknown origin, with read to 0xffffffff83a0 of 4 bytes by interrupt on cpu 0:
[   81.1]  tick_sched_timer+0x20/0x30
[   81.1] ==================================================================
";

    #[test]
    fn a_race_is_the_drivers_where_a_stack_has_it() {
        let races = races(&format!("{OTHERS}{OURS}{OTHERS}"));
        let lines: Vec<_> = races.iter().map(|race| race.line).collect();
        assert_eq!(lines, [2, 8, 23]);
        let said = races[1].to_string();
        assert!(said.contains("at_end [udmabuf_rs] / rust"), "{said}");
        assert!(said.ends_with("set+0x1a/0x30 [udmabuf_rs]"), "{said}");
        assert_eq!((&races[0].driver, &races[2].driver), (&None, &None));
    }

    #[test]
    fn whoever_is_interrupted_has_no_part_in_it() {
        let frame = "[   81.1]  asm_sysvec_apic_timer_interrupt+0x16/0x20\n\
                     [   81.1]  at_end+0x2b/0x40 [udmabuf_rs]\n";
        let first = OTHERS.replace("[   81.1] ===", &format!("{frame}[   81.1] ==="));
        assert!(first.contains("interrupt on cpu 0") && first.contains("[udmabuf_rs]"));
        assert_eq!(races(&first)[0].driver, None);
        // In the stack of the other access, or above the interrupt, it has.
        let second = format!("{frame}[   81.1] \n[   81.1]  set+0x1a/0x30 [udmabuf_rs]\n");
        let log = OTHERS.replace("[   81.1]  tick_sched_timer+0x20/0x30\n", &second);
        let driver = races(&log)[0].driver.clone();
        assert_eq!(driver.as_deref(), Some("set+0x1a/0x30 [udmabuf_rs]"));
    }

    #[test]
    fn a_report_that_was_cut_off_counts() {
        let cut: String = OURS
            .lines()
            .take(6)
            .map(|line| format!("{line}\n"))
            .collect();
        assert!(races(&cut)[0].driver.is_some());
        assert_eq!(races("[    1.0] kcsan: enabled early\n"), []);
    }

    #[test]
    fn races_of_others_are_counted_by_kind() {
        assert_eq!(of_others(&races(OURS)), None);
        let said = of_others(&races(&format!("{OTHERS}{OURS}{OTHERS}"))).unwrap();
        assert_eq!(
            said,
            "races of the kernel alone: 2, of 1 kinds; most often \
             2 data-race in tick_sched_timer / tick_do_update_jiffies64"
        );
    }
}
