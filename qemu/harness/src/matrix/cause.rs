// SPDX-License-Identifier: GPL-2.0

//! Why the driver in the kernel tree is wrong where it is: read in its source, Linux 7.3,
//! drivers/dma-buf/udmabuf.c. Shown only beside what was measured.

use super::{cell::Cell, plan};
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
    ("dead_writer", BEGIN),
    ("device_cpu_device", BEGIN),
    ("bounced_beside_direct", BEGIN),
    ("bounced_beside_cpu", END),
    ("unmap_after_other_wrote", BEGIN),
    ("vmap", END),
    ("camera", END),
    ("sub_range", END),
    ("two_buffers", END),
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

/// The cause of a cell of that driver that is not right.
pub fn of(machine: &dyn Machine, flow: &str, cell: &Cell) -> Option<&'static str> {
    let find = |table: &[(&str, &'static str)], key: &str| {
        let found = table.iter().find(|(name, _)| *name == key);
        found.map(|(_, cause)| *cause)
    };
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
        of(machine::find(machine).unwrap(), flow, cell)
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
