// SPDX-License-Identifier: GPL-2.0

//! What a kernel log says that no healthy kernel says.

use protocol::log::is_expected;

use crate::race;

/// Words that make a line a complaint, whoever wrote it.
const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "kernel BUG at",
    "Oops",
    "general protection fault",
    "Kernel panic",
    "Unable to handle kernel",
    "UBSAN:",
    "KASAN:",
    "KCSAN:",
    "DMA-API:",
    "kmemleak:",
    "refcount_t:",
    "list_add corruption",
    "list_del corruption",
    "sleeping function called",
    "scheduling while atomic",
    "suspicious RCU usage",
    "possible circular locking",
    "possible recursive locking",
    "inconsistent lock state",
    "bad unlock balance",
    "held lock freed",
    "lock held when returning to user space",
    "trying to register non-static key",
    "INFO: task",
    "self-detected stall",
    "detected stalls on CPUs",
    "detected expedited stalls",
    "soft lockup",
    "hard LOCKUP",
    "panicked at",
    "Bad page state",
    ": bad pgd ",
    ": bad p4d ",
    ": bad pud ",
    ": bad pmd ",
    "page allocation failure",
    "invoked oom-killer",
    "nobody cared",
    "Call Trace:",
    "Call trace:",
];

/// What the same subsystems say when all is well.
const HARMLESS: &[&str] = &[
    "DMA-API: preallocated",
    "DMA-API: debugging enabled",
    "kmemleak: Kernel memory leak detector initialized",
    "kmemleak: Automatic memory scanning thread",
];

/// How the kernel begins to say where something happened, whatever the architecture.
const TRACE: &str = "Call ";

/// A line of the log that no healthy kernel writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// The line's number, from 1.
    pub line: usize,
    /// What it says, without the time.
    pub text: String,
}

/// A line of a kernel log without its time stamp, and without the caller where one is shown.
pub fn message(line: &str) -> &str {
    let mut rest = line.trim_end_matches('\r');
    let mut stamped = false;
    // "[    1.234567] text", or "[    1.234567][    T1] text".
    while let Some(inside) = rest.strip_prefix('[') {
        let Some((stamp, after)) = inside.split_once(']') else {
            break;
        };
        let stamp = stamp.trim_start();
        let is_time = stamp.split_once('.').is_some_and(|(seconds, fraction)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits(seconds) && digits(fraction)
        });
        let is_caller = stamp
            .strip_prefix(['T', 'C'])
            .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
        if !is_time && !is_caller {
            break;
        }
        rest = after;
        stamped = true;
    }
    if stamped {
        rest.strip_prefix(' ').unwrap_or(rest)
    } else {
        rest
    }
}

/// Every complaint in a log but those that are expected, and races that are not the driver's.
pub fn complaints(log: &str) -> Vec<Complaint> {
    let races = race::races(log);
    let race = |line| races.iter().find(|race| race.line == line);
    // With an expected warning comes one trace.
    let mut excused = false;
    let mut complains = move |text: &str| {
        let expected = is_expected(text) || (excused && text.starts_with(TRACE));
        excused = (excused || expected) && !text.starts_with(TRACE);
        !expected
            && COMPLAINTS.iter().any(|word| text.contains(word))
            && !HARMLESS.iter().any(|word| text.contains(word))
    };
    log.lines()
        .enumerate()
        .map(|(number, line)| (number + 1, message(line)))
        .filter(|(_, text)| complains(text))
        .filter_map(|(line, text)| {
            let text = match race(line) {
                Some(race) if race.is_the_drivers() => race.to_string(),
                Some(_) => return None,
                None => text.trim().to_owned(),
            };
            Some(Complaint { line, text })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_callers_are_stripped_and_nothing_else() {
        assert_eq!(message("[    1.234567] udmabuf: hello"), "udmabuf: hello");
        assert_eq!(
            message("[   12.000001][    T1]     # Subtest: x\r"),
            "    # Subtest: x"
        );
        assert_eq!(message("[    0.5]   indented"), "  indented");
        assert_eq!(message("[ok] not a time"), "[ok] not a time");
        assert_eq!(message("  plain"), "  plain");
        assert_eq!(message("[    1.2"), "[    1.2");
    }

    #[test]
    fn each_checker_is_heard() {
        for text in [
            "WARNING: CPU: 1 PID: 77 at mm/gup.c:12 unpin_user_page+0x1/0x2",
            "WARNING: possible circular locking dependency detected",
            "BUG: KASAN: slab-use-after-free in release_udmabuf+0x1/0x2",
            "BUG: sleeping function called from invalid context at mm/x.c:1",
            "BUG: unable to handle page fault for address: 0000",
            "DMA-API: edu 0000:00:02.0: device driver frees DMA memory with wrong function",
            "kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
            "INFO: task data:88 blocked for more than 120 seconds.",
            "rust_kernel: panicked at src/buffer.rs:3:4:",
            "Kernel panic - not syncing: Fatal exception",
            "Oops: general protection fault, probably for non-canonical address",
            "refcount_t: underflow; use-after-free.",
            "rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D }",
            "rcu: INFO: rcu_preempt self-detected stall on CPU",
            "INFO: trying to register non-static key.",
            "list_add corruption. next->prev should be prev (0), but was 1. (next=2).",
            "UBSAN: array-index-out-of-bounds in lib/x.c:1:2",
            "data invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE), order=0",
            "irq 11: nobody cared (try booting with the \"irqpoll\" option)",
        ] {
            let log = format!("[    0.1] fine\n[    3.141592] {text}\n[    4.0] fine\n");
            assert_eq!(
                complaints(&log),
                [Complaint {
                    line: 2,
                    text: text.into()
                }]
            );
        }
    }

    #[test]
    fn one_trace_goes_with_an_expected_warning() {
        let expected = "\
[    1.0] WARNING: drivers/dma-buf/dma-buf.c:1673 at dma_buf_vmap+0x1/0x2, CPU#0: failures/9
[    1.0] Modules linked in: udmabuf_rs(O)
[    1.0] Call Trace:
[    1.0]  dma_buf_vmap_unlocked+0x1/0x2
[    1.0] ---[ end trace 0000000000000000 ]---
";
        assert_eq!(complaints(expected), []);
        let another = format!("{expected}[    1.1] Call trace:\n");
        assert_eq!(complaints(&another).len(), 1);
        let within = expected.replace("Modules linked in", "BUG: KASAN");
        assert_eq!(complaints(&within).len(), 1);
    }

    #[test]
    fn a_race_is_a_complaint_where_the_driver_is_in_it() {
        let log = "\
[    1.0] BUG: KCSAN: data-race in a / b
[    1.0]  b+0x1/0x2
[    1.0] ==================================================================
[    1.1] BUG: KCSAN: data-race in c / d
[    1.1]  d+0x1/0x2 [udmabuf_rs]
[    1.1] ==================================================================
";
        let complaints = complaints(log);
        assert_eq!(complaints.len(), 1);
        assert_eq!(complaints[0].line, 4);
        assert!(complaints[0].text.ends_with("d+0x1/0x2 [udmabuf_rs]"));
    }

    #[test]
    fn a_healthy_log_is_silent() {
        let log = "\
[    0.000000] Linux version 7.3.4
[    0.100000] DMA-API: preallocated 65536 debug entries
[    0.100000] DMA-API: debugging enabled by kernel config
[    0.200000] kmemleak: Kernel memory leak detector initialized (mem pool available: 39000)
[    0.300000] guest: start of /bin/errors
";
        assert_eq!(complaints(log), []);
    }
}
