// SPDX-License-Identifier: GPL-2.0

//! What may stand in a kernel log although no healthy kernel says it.

use crate::DRIVER_MODULE;

/// What `add_scan_area()` in `mm/kmemleak.c` says, once in the life of a kernel, where the leak detector
/// itself had no memory.
const LESS_EXACT: &str = "kmemleak: Cannot allocate a scan area, scanning the full object";

/// How the kernel says, in that program, that it has no memory for itself, such as for the stack of a
/// child. The driver asks for none that would be told about: what it takes is charged to its user.
const CORE_IS_SHORT: &str = "failures: vmalloc error: ";
const CHARGED: &str = "ACCOUNT";

/// Files and functions of the kernel that warn, once in its life, where there was no memory: that an
/// exporter could not map (`dma_buf_vmap()`), and that an event of a module has no fields
/// (`event_define_fields()`).
const WARN_WHEN_SHORT: &[(&str, &str)] = &[
    ("drivers/dma-buf/dma-buf.c", "dma_buf_vmap"),
    ("kernel/trace/trace_events.c", "event_define_fields"),
];

/// Whether a message only says that memory was made short: that of the leak detector, that of the
/// kernel's core, or a warning about that, in the program that makes it short.
pub fn is_expected(message: &str) -> bool {
    let warns = |(file, function): &(&str, &str)| {
        message.starts_with(&format!("WARNING: {file}:"))
            && message.contains(&format!(" at {function}"))
            && message.contains(": failures/")
    };
    let core = message.starts_with(CORE_IS_SHORT) && !message.contains(CHARGED);
    WARN_WHEN_SHORT.iter().any(warns) || core || message == LESS_EXACT
}

/// How KCSAN begins to report a race.
pub const RACE: &str = "BUG: KCSAN: ";

/// Whether a message is the title of a race, and the driver is not in it. The stacks come in further
/// messages: who looks at one message alone leaves it to who has the whole log.
pub fn is_race_elsewhere(message: &str) -> bool {
    let race = message.strip_prefix(RACE);
    race.is_some_and(|title| !title.contains(&format!("[{DRIVER_MODULE}]")))
}

#[cfg(test)]
mod tests {
    use super::LESS_EXACT;
    use super::is_expected;
    use super::is_race_elsewhere;

    #[test]
    fn a_race_of_the_driver_is_told_by_its_title() {
        let race = "BUG: KCSAN: data-race in tick_sched_timer / tick_do_update_jiffies64";
        assert!(is_race_elsewhere(race));
        assert!(!is_race_elsewhere(&format!("{race} [udmabuf_rs]")));
        assert!(!is_race_elsewhere("BUG: KASAN: use-after-free in detach"));
    }

    #[test]
    fn only_these_messages_are_expected() {
        assert!(is_expected(LESS_EXACT));
        assert!(!is_expected("kmemleak: 3 new suspected memory leaks"));
        let core = "failures: vmalloc error: size 16384, align 0x8000, mode:0xdc0(GFP_KERNEL)";
        assert!(is_expected(core));
        assert!(!is_expected(&core.replace("KERNEL", "KERNEL_ACCOUNT")));
        let warning = "WARNING: drivers/dma-buf/dma-buf.c:1673 at dma_buf_vmap+0x1b4/0x210, CPU#1: failures/142";
        assert!(is_expected(warning));
        // As the compiler likes.
        assert!(is_expected(&warning.replace("vmap+", "vmap_unlocked+")));
        let event = "WARNING: kernel/trace/trace_events.c:3147 at event_define_fields+0x160/0x170, CPU#0: failures/78";
        assert!(is_expected(event));
        assert!(!is_expected(
            &event.replace("event_define_fields", "event_trace_init")
        ));
        for (word, other) in [
            ("failures", "data"),
            ("dma_buf_vmap", "dma_buf_vunmap_unlocked"),
            ("WARNING", "BUG"),
        ] {
            assert!(!is_expected(&warning.replace(word, other)));
        }
    }
}
