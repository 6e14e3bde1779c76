// SPDX-License-Identifier: GPL-2.0

//! Why the driver in the kernel tree and the system heap are wrong where they are: read in their
//! sources, Linux 7.3, drivers/dma-buf/udmabuf.c and heaps/system_heap.c. Shown only beside what was
//! measured.

use super::{
    cell::Cell,
    plan::{self, C, HEAP},
};
use crate::machine::Machine;

const MAP: &str = "get_sg_table() maps with DMA_ATTR_SKIP_CPU_SYNC, so what the CPU has written \
                   before is not handed over";
const UNMAP: &str = "put_sg_table() unmaps with DMA_ATTR_SKIP_CPU_SYNC, so nothing comes back \
                     from the device";
const BEGIN: &str = "begin_cpu_udmabuf() syncs for the misc device, not for the one that wrote";
const END: &str = "end_cpu_udmabuf() syncs for the misc device, not for the one that will read";
const BOTH: &str = "begin_cpu_udmabuf() and end_cpu_udmabuf() sync for the misc device, not for \
                    those that are attached";
const OLD: &str = "begin_cpu_udmabuf() copies the misc device's own bounce buffer over what the \
                   CPU has written since it was filled";
const UNCLEANED: &str = "begin_cpu_udmabuf() invalidates, for a misc device that counts as \
                         non-coherent, lines that were written and that nobody has cleaned";
const WRITE_ONLY: &str = "begin_cpu_udmabuf() syncs in the direction of the bracket: one that only \
                          writes invalidates nothing that a device wrote";
const SEGMENT: &str = "get_sg_table() makes one segment of a huge page, which is more than a bounce \
                       buffer holds";

/// What the first check that fails in a flow shows, where data is judged.
const BY_FLOW: &[(&str, &str)] = &[
    ("cpu_to_device", END),
    ("device_to_cpu", BEGIN),
    ("ping_pong", END),
    ("memfd_with_bracket", END),
    ("bracket_unattached", OLD),
    ("bracket_attached", END),
    ("write_only_bracket", END),
    ("unmap_hands_over", UNMAP),
    ("unbracketed_at_map", UNMAP),
    ("unbracketed_at_bracket", BEGIN),
    ("dead_writer", BEGIN),
    ("begun_twice", BEGIN),
    ("ended_otherwise", BEGIN),
    ("never_ended", BEGIN),
    ("ended_elsewhere", BEGIN),
    ("interrupted_begin", BEGIN),
    ("device_cpu_device", BEGIN),
    ("bounced_beside_direct", BEGIN),
    ("two_bounced", BEGIN),
    ("same_device_twice", BEGIN),
    ("device_in_write_bracket", END),
    ("bounced_beside_cpu", END),
    ("unmap_after_other_wrote", BEGIN),
    ("vmap", END),
    ("camera", END),
    ("sub_range", END),
    ("two_buffers", END),
    ("page_twice", BEGIN),
    ("shared_page", BEGIN),
    ("random", BOTH),
];

/// The same, where one bracket begins inside another. The first sign of trouble is what the misc
/// device's bounce buffer does, where it has one; else what is missing at the end.
const NESTED: &[&str] = &[
    "read_in_write_bracket",
    "attach_in_write_bracket",
    "unmap_in_write_bracket",
];

/// What each kind of violation shows. At the end of a bracket nothing is missing: there the
/// lines are cleaned, if only for the misc device.
const BY_KIND: &[(&str, &str)] = &[
    ("device-reads-dirty", MAP),
    ("device-writes-under-dirty", MAP),
    ("cpu-reads-stale", UNMAP),
    ("cpu-writes-stale", WRITE_ONLY),
    ("invalidate-drops-dirty", UNCLEANED),
];

/// What EIO means, in flows that map huge pages.
const HUGE: &[&str] = &["thp_", "hugetlb_"];
const EIO: &str = "os error 5";

/// What is wrong with the heap: what it does to bytes that are newer than what is handed over, and
/// what it does not do.
const WHOLE: &str = "begin, end and unmap copy the whole of a bounce buffer, in the direction of the \
                     bracket, over what somebody else has written since";
const DROPS: &str = "begin and unmap invalidate lines that somebody has written since they were \
                     cleaned";
const ONE_WAY: &str =
    "begin and end sync in the direction of the bracket, whatever the device does";

/// The flows in which it is the direction of a bracket that shows first, where data is judged.
const HEAP_ONE_WAY: &[&str] = &["ended_otherwise", "never_ended", "device_cpu_device"];

/// What each kind of violation shows of the heap.
const HEAP_BY_KIND: &[(&str, &str)] = &[
    ("invalidate-drops-dirty", DROPS),
    ("cpu-reads-stale", ONE_WAY),
    ("cpu-writes-stale", ONE_WAY),
    ("device-reads-dirty", ONE_WAY),
    ("device-reads-stale", ONE_WAY),
    ("device-writes-under-dirty", ONE_WAY),
];

/// The cause of a cell that is not right, if it is of a driver that is known here.
pub fn of(label: &str, machine: &dyn Machine, flow: &str, cell: &Cell) -> Option<&'static str> {
    match label {
        C => of_c(machine, flow, cell),
        HEAP => match cell {
            Cell::Wrong { .. } if HEAP_ONE_WAY.contains(&flow) => Some(ONE_WAY),
            Cell::Wrong { .. } => Some(WHOLE),
            Cell::Violation { first, .. } => find(HEAP_BY_KIND, &first.kind),
            _ => None,
        },
        _ => None,
    }
}

fn find(table: &[(&str, &'static str)], key: &str) -> Option<&'static str> {
    let found = table.iter().find(|(name, _)| *name == key);
    found.map(|(_, cause)| *cause)
}

fn of_c(machine: &dyn Machine, flow: &str, cell: &Cell) -> Option<&'static str> {
    match cell {
        Cell::Violation { first, .. } => find(BY_KIND, &first.kind),
        Cell::Wrong { .. } if NESTED.contains(&flow) => {
            let bounced = plan::pseudo_device_needs_syncing(machine);
            Some(if bounced { OLD } else { END })
        }
        Cell::Wrong { .. } => find(BY_FLOW, flow),
        Cell::Error { detail } => {
            let huge = HUGE.iter().any(|prefix| flow.starts_with(prefix));
            (huge && detail.contains(EIO)).then_some(SEGMENT)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cell::tests::wrong, *};
    use crate::machine;

    fn cause(machine: &str, flow: &str, cell: &Cell) -> Option<&'static str> {
        of(C, machine::find(machine).unwrap(), flow, cell)
    }

    #[test]
    fn only_what_is_not_right_has_a_cause() {
        assert_eq!(cause("swiotlb", "cpu_to_device", &wrong()), Some(END));
        assert_eq!(cause("swiotlb", "cpu_to_device", &Cell::Ok), None);
        assert_eq!(cause("swiotlb", "some_other_flow", &wrong()), None);
    }

    #[test]
    fn the_misc_device_bounces_where_everything_does() {
        let flow = "read_in_write_bracket";
        assert_eq!(cause("swiotlb", flow, &wrong()), Some(OLD));
        assert_eq!(cause("28bit", flow, &wrong()), Some(END));
    }

    #[test]
    fn an_error_has_a_cause_only_if_it_is_the_known_one() {
        let error = |detail: &str| Cell::Error {
            detail: detail.into(),
        };
        let eio = error("Input/output error (os error 5)");
        assert_eq!(cause("swiotlb", "thp_cpu_to_device", &eio), Some(SEGMENT));
        assert_eq!(cause("swiotlb", "vmap", &eio), None);
        assert_eq!(cause("swiotlb", "thp_cpu_to_device", &error("EINTR")), None);
    }
}
