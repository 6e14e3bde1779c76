// SPDX-License-Identifier: GPL-2.0

//! Why the driver in the kernel tree is wrong where it is: read in its source, Linux 7.3,
//! drivers/dma-buf/udmabuf.c. Shown only beside what was measured.

use super::cell::Cell;

const MAP: &str = "get_sg_table() maps with DMA_ATTR_SKIP_CPU_SYNC: the device is handed nothing";
const UNMAP: &str =
    "put_sg_table() unmaps with DMA_ATTR_SKIP_CPU_SYNC: nothing comes back from the device";
const BEGIN: &str = "begin_cpu_udmabuf() syncs for the misc device, not for the one that wrote";
const END: &str = "end_cpu_udmabuf() syncs for the misc device, not for the one that will read";
const OWN: &str = "begin_cpu_udmabuf() takes back for the misc device what was never given to it";
const OPEN: &str = "begin_cpu_udmabuf() does not know of other brackets that are open";
const WRITERS: &str =
    "map_udmabuf() lets several devices write the same pages through bounce buffers";

/// Flows whose wrong data has another cause than that the devices are never synced for.
const BY_FLOW: &[(&str, &str)] = &[
    ("bounced_beside_direct", WRITERS),
    ("bounced_beside_cpu", BEGIN),
    ("unmap_after_other_wrote", UNMAP),
    ("unmap_hands_over", UNMAP),
    ("unmap_in_write_bracket", UNMAP),
    ("device_to_cpu", BEGIN),
    ("bracket_unattached", OWN),
    ("bracket_attached", OWN),
    ("cpu_to_device", END),
    ("memfd_with_bracket", END),
    ("write_only_bracket", END),
    ("read_in_write_bracket", OPEN),
];

/// Which step of its is missing when a rule of the cache model is broken.
const BY_KIND: &[(&str, &str)] = &[
    ("device-reads-dirty", END),
    ("device-writes-under-dirty", MAP),
    ("cpu-reads-stale", BEGIN),
    ("cpu-writes-stale", BEGIN),
    ("invalidate-drops-dirty", OWN),
];

/// The cause of a red cell of that driver.
pub fn of(flow: &str, cell: &Cell) -> Option<&'static str> {
    let find = |table: &[(&str, &'static str)], key: &str| {
        let found = table.iter().find(|(name, _)| *name == key);
        found.map(|(_, cause)| *cause)
    };
    match cell {
        Cell::Violation { first, .. } => find(BY_KIND, &first.kind),
        Cell::Wrong { .. } => find(BY_FLOW, flow),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{super::cell::tests::wrong, *};

    #[test]
    fn only_red_cells_have_a_cause() {
        assert_eq!(of("cpu_to_device", &wrong()), Some(END));
        assert_eq!(of("cpu_to_device", &Cell::Ok), None);
        assert_eq!(of("some_other_flow", &wrong()), None);
    }
}
