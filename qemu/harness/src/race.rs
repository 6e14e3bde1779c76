// SPDX-License-Identifier: GPL-2.0

//! Races that KCSAN saw, as a kernel log has them.

use std::{collections::BTreeMap, fmt};

use protocol::{DRIVER_MODULE, log::RACE};

use crate::log;

/// What stands above and below a report: a line of these.
const RULE: &str = "================";

/// Where an interrupt begins: below are the functions that it came to, which have no part in what it does.
const INTERRUPTS: [&str; 2] = ["asm_sysvec_", "asm_common_interrupt"];

/// What a title says before the functions, if there are two of them.
const TWO: &str = "data-race in ";

/// A race between two functions of the kernel's core about memory of its own, to which a call of the
/// driver leads as any other caller's does.
struct OfTheCore {
    /// The innermost functions of both stacks, as the title has them.
    functions: [&'static str; 2],
    /// The bytes of either access: what the same functions do to memory of the driver has other sizes.
    bytes: usize,
    /// Why it is not about memory of the driver.
    why: &'static str,
}

/// Those that are known, each by reading the kernel's source. All others that have the driver in a stack
/// are the driver's: it answers for what it has the core do with memory of the driver.
const OF_THE_CORE: &[OfTheCore] = &[
    // `tsk_is_kthread()` reads `p->flags`; `memalloc_pin_save()` and `memalloc_pin_restore()` set a flag
    // there, of `current`. Folios and their offset, which are the driver's, have eight bytes.
    OfTheCore {
        functions: ["kthread_is_per_cpu", "memfd_pin_folios"],
        bytes: 4,
        why: "the scheduler reads the flags of each task, of which pinning sets one of its own task",
    },
    // `get_cred_many()` sets `cred->non_rcu`.
    OfTheCore {
        functions: ["alloc_empty_file", "alloc_empty_file"],
        bytes: 4,
        why: "whoever opens a file writes the same 0 to the credentials of its process",
    },
    // `inode->i_blocks`, which changes under `i_lock`, and is read without.
    OfTheCore {
        functions: ["generic_fillattr", "hugetlb_add_to_page_cache"],
        bytes: 8,
        why: "fstat() reads how many blocks a file has, of which huge pages add some",
    },
];

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
    /// The bytes of each access.
    sizes: Vec<usize>,
}

impl Race {
    /// Why it is the core's, although a call of the driver leads there.
    fn of_the_core(&self) -> Option<&'static str> {
        self.driver.as_ref()?;
        let (one, other) = self.title.strip_prefix(TWO)?.split_once(" / ")?;
        let known = OF_THE_CORE.iter().find(|known| {
            known.functions == [one, other] && self.sizes == [known.bytes, known.bytes]
        });
        known.map(|known| known.why)
    }

    /// Whether the driver has to answer for it.
    pub fn is_the_drivers(&self) -> bool {
        self.driver.is_some() && self.of_the_core().is_none()
    }
}

/// The bytes of an access, where a line says that there was one.
fn size(text: &str) -> Option<usize> {
    let (before, _) = text.split_once(" bytes by ")?;
    before.rsplit_once(" of ")?.1.parse().ok()
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
                sizes: Vec::new(),
            });
        } else if text.starts_with(RULE) {
            inside = false;
        } else if text.is_empty() {
            // The next stack.
            interrupted = false;
        } else if INTERRUPTS.iter().any(|entry| text.starts_with(entry)) {
            interrupted = true;
        } else if inside && let Some(race) = races.last_mut() {
            race.sizes.extend(size(text));
            if !interrupted && text.contains(&driver) {
                race.driver.get_or_insert_with(|| text.to_owned());
            }
        }
    }
    races
}

/// What there is to say of the races that are not the driver's: of each kind of those that are the core's
/// although a call of the driver leads there, and of the rest.
pub fn not_the_drivers(races: &[Race]) -> Vec<String> {
    let mut core: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for race in races {
        if let Some(why) = race.of_the_core() {
            *core.entry((&race.title, why)).or_default() += 1;
        }
    }
    let core = core.into_iter().map(|((title, why), count)| {
        format!("races of the core in calls of the driver: {count} {title}: {why}")
    });
    core.chain(of_others(races)).collect()
}

/// What there is to say of the races in which the driver has no part, if there were any.
fn of_others(races: &[Race]) -> Option<String> {
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

    const CORE: &str = "\
[  403.8] ==================================================================
[  403.8] BUG: KCSAN: data-race in kthread_is_per_cpu / memfd_pin_folios

[  403.8] read to 0xffff88810017cb2c of 4 bytes by interrupt on cpu 0:
[  403.8]  kthread_is_per_cpu+0x17/0x70
[  403.8]  can_migrate_task+0xfc/0x1d0

[  403.8] read-write to 0xffff88810017cb2c of 4 bytes by task 423 on cpu 1:
[  403.8]  memfd_pin_folios+0x19c/0x600
[  403.8]  pin+0x2a9/0x330 [udmabuf_rs]

[  403.8] Reported by Kernel Concurrency Sanitizer on:
[  403.8] ==================================================================
";

    fn is_the_drivers(report: &str) -> bool {
        let races = races(report);
        assert_eq!(races.len(), 1);
        races[0].is_the_drivers()
    }

    #[test]
    fn a_race_of_the_core_that_is_known_is_not_the_drivers() {
        assert!(!is_the_drivers(CORE));
        let twice = CORE
            .replace("kthread_is_per_cpu", "alloc_empty_file")
            .replace("memfd_pin_folios", "alloc_empty_file");
        assert!(!is_the_drivers(&twice));
        let blocks = CORE
            .replace("kthread_is_per_cpu", "generic_fillattr")
            .replace("memfd_pin_folios", "hugetlb_add_to_page_cache");
        assert!(is_the_drivers(&blocks));
        assert!(!is_the_drivers(&blocks.replace("of 4 bytes", "of 8 bytes")));
    }

    #[test]
    fn only_both_functions_and_all_sizes_make_it_the_cores() {
        for (what, other) in [
            // A helper of the driver, what the compiler put into the core's, and another pair of known ones.
            ("kthread_is_per_cpu", "rust_helper_atomic_i8_set"),
            ("kthread_is_per_cpu", "memfd_pin_folios"),
            ("memfd_pin_folios", "alloc_empty_file"),
            ("memfd_pin_folios\n", "pin [udmabuf_rs]\n"),
            ("in kthread_is_per_cpu / memfd", "in memfd"),
            // The folios, which are the driver's.
            ("of 4 bytes by task", "of 8 bytes by task"),
            ("of 4 bytes by interrupt", "of 8 bytes by interrupt"),
            // Of another kind.
            ("data-race", "assert: race"),
            // The second stack was lost.
            (
                "read-write to 0xffff88810017cb2c of 4 bytes by task",
                "by task",
            ),
        ] {
            let report = CORE.replace(what, other);
            assert_ne!(report, CORE, "{what}");
            assert!(is_the_drivers(&report), "{report}");
        }
        assert!(is_the_drivers(OURS));
    }

    #[test]
    fn races_of_the_core_are_listed() {
        assert_eq!(
            not_the_drivers(&races(&format!("{CORE}{OTHERS}{OURS}{CORE}"))),
            [
                "races of the core in calls of the driver: 2 data-race in kthread_is_per_cpu / \
                 memfd_pin_folios: the scheduler reads the flags of each task, of which pinning sets \
                 one of its own task",
                "races of the kernel alone: 1, of 1 kinds; most often \
                 1 data-race in tick_sched_timer / tick_do_update_jiffies64",
            ]
        );
        assert_eq!(not_the_drivers(&races(OURS)), Vec::<String>::new());
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
