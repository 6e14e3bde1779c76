// SPDX-License-Identifier: GPL-2.0

//! Other memory than a few small pages, and other buffers than one of all of it.

use selftests::Access;
use selftests::Backing;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;

use crate::flow::Flow;
use crate::handover::cpu_to_device;
use crate::handover::device_to_cpu;
use crate::stage::BOTH_WAYS;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;
use crate::stage::THIRD;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "thp_cpu_to_device",
        title: "CPU write -> device read, transparent huge page",
        controls: &["no-sync-at-end"],
        heap: false,
        refuses: false,
        run: |stage| cpu_to_device(stage, stage.huge_page(Backing::Transparent)?),
    },
    Flow {
        name: "thp_device_to_cpu",
        title: "device write -> CPU read, transparent huge page",
        controls: &["no-sync-at-begin"],
        heap: false,
        refuses: false,
        run: |stage| device_to_cpu(stage, stage.huge_page(Backing::Transparent)?),
    },
    Flow {
        name: "hugetlb_cpu_to_device",
        title: "CPU write -> device read, hugetlb page",
        controls: &["no-sync-at-end"],
        heap: false,
        refuses: false,
        run: |stage| cpu_to_device(stage, stage.huge_page(Backing::Huge)?),
    },
    Flow {
        name: "hugetlb_device_to_cpu",
        title: "device write -> CPU read, hugetlb page",
        controls: &["no-sync-at-begin"],
        heap: false,
        refuses: false,
        run: |stage| device_to_cpu(stage, stage.huge_page(Backing::Huge)?),
    },
    Flow {
        name: "sub_range",
        title: "two pages of a large memfd",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: false,
        refuses: false,
        run: sub_range,
    },
    Flow {
        name: "two_buffers",
        title: "two buffers over the same pages, a device on each",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: false,
        refuses: false,
        run: two_buffers,
    },
    Flow {
        name: "page_twice",
        title: "a page twice in the buffer of a device that writes",
        controls: &[
            "no-sync-at-begin",
            "no-sync-at-end",
            "no-sync-at-unmap",
            "whole-copies",
        ],
        heap: false,
        refuses: false,
        run: page_twice,
    },
    Flow {
        name: "shared_page",
        title: "two writers share a page, beside unrelated ones",
        controls: &["no-sync-at-begin", "no-sync-at-end", "whole-copies"],
        heap: false,
        refuses: false,
        run: shared_page,
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

/// As a ring buffer has it that is mirrored at its end. The device sees two places, and there is one
/// page: what it writes in the one is in the other after a hand-over.
fn page_twice(stage: &Stage) -> Outcome {
    for device in [0, 1] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(2)?;
        let buffer = pages.list(&[FIRST, SECOND, FIRST])?;
        let attachment = edu.attach(&buffer.dma_buf)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        for seed in [1, 4] {
            let [ours, low, high] = [0, 1, 2].map(|more| Pattern::new(seed + more));
            // Each half through another of its places, at the position that it has in the page.
            write_at(&mapping, 0, LOW, low)?;
            write_at(&mapping, THIRD.at, HIGH, high)?;
            let accessing = buffer.dma_buf.begin(Access::ReadWrite)?;
            LOW.holds(&pages.memory, low)?;
            HIGH.holds(&pages.memory, high)?;
            SECOND.fill(&pages.memory, ours);
            accessing.end()?;
            for place in [0, THIRD.at] {
                see_at(&mapping, place, LOW, low)?;
                see_at(&mapping, place, HIGH, high)?;
            }
            SECOND.device_sees(&mapping, ours)?;
        }
        // Both places go at once; one of them is older than the other.
        let last = Pattern::new(7);
        write_at(&mapping, 0, LOW, last)?;
        mapping.unmap()?;
        LOW.holds(&pages.memory, last)?;
        HIGH.holds(&pages.memory, Pattern::new(6))?;
    }
    Ok(())
}

/// The halves of the first page.
const LOW: Window = Window {
    at: 0,
    len: PAGE / 2,
};
const HIGH: Window = Window {
    at: PAGE / 2,
    len: PAGE / 2,
};

/// Lets the device write the bytes of a window, so far behind it.
fn write_at(
    mapping: &DeviceMapping<'_>,
    behind: usize,
    window: Window,
    pattern: Pattern,
) -> Outcome {
    mapping.device_writes(behind + window.at, &pattern.bytes(window.at, window.len))?;
    Ok(())
}

/// Compares the bytes of a window with what the device reads so far behind it.
#[track_caller]
fn see_at(mapping: &DeviceMapping<'_>, behind: usize, window: Window, pattern: Pattern) -> Outcome {
    let mut bytes = vec![0; window.len];
    mapping.device_reads(behind + window.at, &mut bytes)?;
    Ok(pattern.check(window.at, &bytes)?)
}

/// Two buffers that have their second and first page in common, for a device each that writes; and
/// beside them, for both devices, a buffer of other memory with a page twice, which is nobody's
/// business. The CPU brackets on both buffers, as it has to.
fn shared_page(stage: &Stage) -> Outcome {
    let mirrored = Memfd::new(PAGE)?;
    let ring = Udmabuf::open()?.create_list(&[mirrored.whole(), mirrored.whole()])?;
    for (one, other) in BOTH_WAYS {
        let (one, other) = (stage.edu(one)?, stage.edu(other)?);
        let rings = (one.attach(&ring)?, other.attach(&ring)?);
        let beside = rings.0.map(Direction::Bidirectional)?;
        let pages = stage.pages(3)?;
        let (lower, upper) = (pages.part(LOWER)?, pages.part(UPPER)?);
        let (first, second) = (one.attach(&lower.dma_buf)?, other.attach(&upper.dma_buf)?);
        let writers = (
            first.map(Direction::Bidirectional)?,
            second.map(Direction::Bidirectional)?,
        );
        let beside = (beside, rings.1.map(Direction::Bidirectional)?);
        for seed in [1, 4] {
            let [ours, low, high] = [0, 1, 2].map(|more| Pattern::new(seed + more));
            // Both halves are those of the shared page, which is the second one of the lower.
            write_at(&writers.0, SECOND.at, LOW, low)?;
            write_at(&writers.1, 0, HIGH, high)?;
            let accessing = [
                lower.dma_buf.begin(Access::ReadWrite)?,
                upper.dma_buf.begin(Access::ReadWrite)?,
            ];
            let mut bytes = vec![0; PAGE];
            pages.memory.read(SECOND.at, &mut bytes);
            low.check(LOW.at, &bytes[..LOW.len])?;
            high.check(HIGH.at, &bytes[HIGH.at..])?;
            FIRST.fill(&pages.memory, ours);
            THIRD.fill(&pages.memory, ours);
            for bracket in accessing {
                bracket.end()?;
            }
            for (mapping, behind) in [(&writers.0, SECOND.at), (&writers.1, 0)] {
                see_at(mapping, behind, LOW, low)?;
                see_at(mapping, behind, HIGH, high)?;
            }
            FIRST.device_sees(&writers.0, ours)?;
            let mut bytes = vec![0; PAGE];
            writers.1.device_reads(SECOND.at, &mut bytes)?;
            ours.check(THIRD.at, &bytes)?;
        }
        // The neighbours are as they should be too.
        let theirs = Pattern::new(7);
        LOW.device_writes(&beside.0, theirs)?;
        drop(beside);
        LOW.holds(&mirrored.map()?, theirs)?;
    }
    Ok(())
}

const LOWER: Window = Window {
    at: 0,
    len: 2 * PAGE,
};
const UPPER: Window = Window {
    at: PAGE,
    len: 2 * PAGE,
};
