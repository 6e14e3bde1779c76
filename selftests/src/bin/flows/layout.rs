// SPDX-License-Identifier: GPL-2.0

//! Other memory than a few small pages, and other buffers than one of all of it.

use selftests::Access;
use selftests::Backing;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Window;
use selftests::importer::Direction;

use crate::flow::Flow;
use crate::handover::cpu_to_device;
use crate::handover::device_to_cpu;
use crate::stage::BOTH_WAYS;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "thp_cpu_to_device",
        title: "CPU write -> device read, transparent huge page",
        controls: &["no-sync-at-end"],
        run: |stage| cpu_to_device(stage, stage.huge_page(Backing::Transparent)?),
    },
    Flow {
        name: "thp_device_to_cpu",
        title: "device write -> CPU read, transparent huge page",
        controls: &["no-sync-at-begin"],
        run: |stage| device_to_cpu(stage, stage.huge_page(Backing::Transparent)?),
    },
    Flow {
        name: "hugetlb_cpu_to_device",
        title: "CPU write -> device read, hugetlb page",
        controls: &["no-sync-at-end"],
        run: |stage| cpu_to_device(stage, stage.huge_page(Backing::Huge)?),
    },
    Flow {
        name: "hugetlb_device_to_cpu",
        title: "device write -> CPU read, hugetlb page",
        controls: &["no-sync-at-begin"],
        run: |stage| device_to_cpu(stage, stage.huge_page(Backing::Huge)?),
    },
    Flow {
        name: "sub_range",
        title: "two pages of a large memfd",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        run: sub_range,
    },
    Flow {
        name: "two_buffers",
        title: "two buffers over the same pages, a device on each",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        run: two_buffers,
    },
];

/// Far beyond what 32 bits of bytes can count; only a few pages of the file exist. The pages on
/// both sides belong to somebody else.
fn sub_range(stage: &Stage) -> Outcome {
    const START: usize = (6 << 30) + 3 * PAGE;
    let edu = stage.edu(0)?;
    let memfd = Memfd::new(8 << 30)?;
    let around = Mapping::shared(&memfd, (START - PAGE) as u64, 4 * PAGE, Access::ReadWrite)?;
    let neighbours = [0, 3].map(|page| Window {
        at: page * PAGE,
        len: PAGE,
    });
    let others = Pattern::new(1);
    for neighbour in neighbours {
        neighbour.fill(&around, others);
    }
    let pages = stage.range(memfd, START, 2 * PAGE)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let (ours, theirs) = (Pattern::new(2), Pattern::new(3));
    buffer.write(buffer.whole(), ours)?;
    SECOND.device_sees(&mapping, ours)?;
    FIRST.device_writes(&mapping, theirs)?;
    SECOND.device_writes(&mapping, theirs)?;
    buffer.see(buffer.whole(), theirs)?;
    for neighbour in neighbours {
        neighbour.holds(&around, others)?;
    }
    Ok(())
}

/// A bracket is one of a dma-buf, and syncs the devices of that one only: the CPU brackets on
/// both.
fn two_buffers(stage: &Stage) -> Outcome {
    for (one, other) in BOTH_WAYS {
        let (one, other) = (stage.edu(one)?, stage.edu(other)?);
        let pages = stage.pages(2)?;
        let (lower, upper) = (pages.buffer()?, pages.buffer()?);
        let (first, second) = (one.attach(&lower.dma_buf)?, other.attach(&upper.dma_buf)?);
        let writer = first.map(Direction::Bidirectional)?;
        let reader = second.map(Direction::ToDevice)?;

        let ours = Pattern::new(1);
        let writing = [
            lower.dma_buf.begin(Access::Write)?,
            upper.dma_buf.begin(Access::Write)?,
        ];
        lower.whole().fill(&pages.memory, ours);
        for bracket in writing {
            bracket.end()?;
        }
        FIRST.device_sees(&writer, ours)?;
        FIRST.device_sees(&reader, ours)?;

        let theirs = Pattern::new(2);
        SECOND.device_writes(&writer, theirs)?;
        lower.see(SECOND, theirs)?;
        upper.see(SECOND, theirs)?;
        SECOND.device_sees(&reader, theirs)?;
    }
    Ok(())
}
