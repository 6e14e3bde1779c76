// SPDX-License-Identifier: GPL-2.0

//! Two devices, or a device and the CPU, that write to one buffer: nothing of either is lost
//! (contract 5).

use selftests::Access;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Window;
use selftests::importer::Direction;
use selftests::importer::Narrow;

use crate::flow::Flow;
use crate::stage::BOTH_WAYS;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;
use crate::stage::THIRD;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "device_cpu_device",
        title: "device write -> CPU -> other device read",
        controls: &[
            "no-sync-at-begin",
            "no-sync-at-end",
            "reader-stands-for-all",
        ],
        heap: true,
        refuses: false,
        run: device_cpu_device,
    },
    Flow {
        name: "bounced_beside_direct",
        title: "two devices write, one BIDIRECTIONAL",
        controls: &["no-sync-at-begin", "whole-copies"],
        heap: true,
        refuses: false,
        run: bounced_beside_direct,
    },
    Flow {
        name: "two_bounced",
        title: "two devices of the same reach write halves of a page",
        controls: &["no-sync-at-begin", "no-sync-at-end", "whole-copies"],
        heap: true,
        refuses: false,
        run: two_bounced,
    },
    Flow {
        name: "same_device_twice",
        title: "one device imports the buffer twice",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: true,
        refuses: false,
        run: same_device_twice,
    },
    Flow {
        name: "device_in_write_bracket",
        title: "device write inside a write bracket -> CPU read",
        controls: &["no-sync-at-begin", "no-sync-at-end", "brackets-remembered"],
        heap: true,
        refuses: false,
        run: device_in_write_bracket,
    },
    Flow {
        name: "bounced_beside_cpu",
        title: "CPU and device write their halves in turns",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: true,
        refuses: false,
        run: bounced_beside_cpu,
    },
    Flow {
        name: "unmap_after_other_wrote",
        title: "unmap after another device wrote",
        controls: &["no-sync-at-begin", "no-sync-at-unmap", "whole-copies"],
        heap: true,
        refuses: false,
        run: unmap_after_other_wrote,
    },
];

/// All are mapped all the time. First the CPU only reads, then it writes a part of its own. The
/// device that writes has a mapping for reading beside the other's; whether the readers come before
/// the writer must not matter.
fn device_cpu_device(stage: &Stage) -> Outcome {
    for (writer, reader) in BOTH_WAYS {
        let readers_first = writer == 0;
        let (writer, reader) = (stage.edu(writer)?, stage.edu(reader)?);
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        // One attachment for each mapping: the heap keeps one table for an attachment.
        let from = writer.attach(&buffer.dma_buf)?;
        let beside = writer.attach(&buffer.dma_buf)?;
        let to = reader.attach(&buffer.dma_buf)?;
        let map_readers = || -> Outcome<_> {
            Ok([
                beside.map(Direction::ToDevice)?,
                to.map(Direction::ToDevice)?,
            ])
        };
        let (readers, writes) = if readers_first {
            (map_readers()?, from.map(Direction::FromDevice)?)
        } else {
            let writes = from.map(Direction::FromDevice)?;
            (map_readers()?, writes)
        };

        let theirs = Pattern::new(1);
        FIRST.device_writes(&writes, theirs)?;
        buffer.see(FIRST, theirs)?;
        for reads in &readers {
            FIRST.device_sees(reads, theirs)?;
        }

        let (ours, theirs) = (Pattern::new(2), Pattern::new(3));
        FIRST.device_writes(&writes, theirs)?;
        buffer.write(SECOND, ours)?;
        for reads in &readers {
            FIRST.device_sees(reads, theirs)?;
            SECOND.device_sees(reads, ours)?;
        }
        buffer.see(FIRST, theirs)?;
    }
    Ok(())
}

/// Each writes a page of its own, and each sees the other's after a hand-over.
fn bounced_beside_direct(stage: &Stage) -> Outcome {
    for (one, other) in BOTH_WAYS {
        let (one, other) = (stage.edu(one)?, stage.edu(other)?);
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let (first, second) = (one.attach(&buffer.dma_buf)?, other.attach(&buffer.dma_buf)?);
        buffer.write(buffer.whole(), Pattern::new(1))?;
        let one_writes = first.map(Direction::Bidirectional)?;
        let theirs = Pattern::new(2);
        FIRST.device_writes(&one_writes, theirs)?;
        let other_writes = second.map(Direction::FromDevice)?;
        SECOND.device_writes(&other_writes, theirs)?;
        buffer.see(buffer.whole(), theirs)?;
        // The one that had its view of the second page before.
        SECOND.device_sees(&one_writes, theirs)?;

        // Now each has a view of what the other overwrites.
        let theirs = Pattern::new(3);
        FIRST.device_writes(&one_writes, theirs)?;
        SECOND.device_writes(&other_writes, theirs)?;
        buffer.see(buffer.whole(), theirs)?;
    }
    Ok(())
}

/// The parts of one page that two devices have to themselves.
const HALVES: [Window; 2] = [
    Window {
        at: 0,
        len: PAGE / 2,
    },
    Window {
        at: PAGE / 2,
        len: PAGE / 2,
    },
];

/// Neither device reaches more memory than the other: both are bounced, or none is.
fn two_bounced(stage: &Stage) -> Outcome {
    let one = stage.edu(0)?;
    let other = Narrow::new(stage.edu(1)?, one.dma_bits()?)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let (first, second) = (one.attach(&buffer.dma_buf)?, other.attach(&buffer.dma_buf)?);
    buffer.write(buffer.whole(), Pattern::new(1))?;
    let mappings = [
        first.map(Direction::Bidirectional)?,
        second.map(Direction::Bidirectional)?,
    ];
    for seed in [2, 5] {
        let theirs = [Pattern::new(seed), Pattern::new(seed + 1)];
        for ((mapping, half), theirs) in mappings.iter().zip(HALVES).zip(theirs) {
            half.device_writes(mapping, theirs)?;
        }
        let ours = Pattern::new(seed + 2);
        let accessing = buffer.dma_buf.begin(Access::ReadWrite)?;
        for (half, theirs) in HALVES.iter().zip(theirs) {
            half.holds(&buffer.memory, theirs)?;
        }
        SECOND.fill(&buffer.memory, ours);
        accessing.end()?;
        for mapping in &mappings {
            for (half, theirs) in HALVES.iter().zip(theirs) {
                half.device_sees(mapping, theirs)?;
            }
            SECOND.device_sees(mapping, ours)?;
        }
    }
    // Whoever goes first, what the other writes afterwards is not overwritten.
    let [leaves, stays] = mappings;
    let theirs = [Pattern::new(8), Pattern::new(9)];
    HALVES[0].device_writes(&leaves, theirs[0])?;
    HALVES[1].device_writes(&stays, theirs[1])?;
    leaves.unmap()?;
    HALVES[0].holds(&buffer.memory, theirs[0])?;
    stays.unmap()?;
    for (half, theirs) in HALVES.iter().zip(theirs) {
        half.holds(&buffer.memory, theirs)?;
    }
    Ok(())
}

/// A client and a compositor, say: two descriptors of the importer, and one device.
fn same_device_twice(stage: &Stage) -> Outcome {
    for device in [0, 1] {
        let (client, compositor) = (stage.edu(device)?, stage.edu(device)?);
        let pages = stage.pages(3)?;
        let buffer = pages.buffer()?;
        let attachments = (
            client.attach(&buffer.dma_buf)?,
            compositor.attach(&buffer.dma_buf)?,
        );
        buffer.write(buffer.whole(), Pattern::new(1))?;
        let first = attachments.0.map(Direction::Bidirectional)?;
        let theirs = Pattern::new(2);
        FIRST.device_writes(&first, theirs)?;
        let second = attachments.1.map(Direction::Bidirectional)?;
        FIRST.device_sees(&second, theirs)?;
        SECOND.device_writes(&second, theirs)?;
        let ours = Pattern::new(3);
        let accessing = buffer.dma_buf.begin(Access::ReadWrite)?;
        FIRST.holds(&buffer.memory, theirs)?;
        SECOND.holds(&buffer.memory, theirs)?;
        THIRD.fill(&buffer.memory, ours);
        accessing.end()?;
        for mapping in [&first, &second] {
            FIRST.device_sees(mapping, theirs)?;
            SECOND.device_sees(mapping, theirs)?;
            THIRD.device_sees(mapping, ours)?;
        }

        let theirs = Pattern::new(4);
        SECOND.device_writes(&second, theirs)?;
        first.unmap()?;
        buffer.see(SECOND, theirs)?;
        let theirs = Pattern::new(5);
        FIRST.device_writes(&second, theirs)?;
        second.unmap()?;
        FIRST.holds(&buffer.memory, theirs)?;
        SECOND.holds(&buffer.memory, Pattern::new(4))?;
        THIRD.holds(&buffer.memory, ours)?;
    }
    Ok(())
}

/// In pages of their own, neither is in the other's way: the next begin shows what the device
/// wrote, and no end takes it back.
fn device_in_write_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for (seed, looks) in [(1, false), (3, true), (5, false)] {
        let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
        let writing = buffer.dma_buf.begin(Access::Write)?;
        FIRST.fill(&buffer.memory, ours);
        SECOND.device_writes(&mapping, theirs)?;
        if looks {
            buffer.see(SECOND, theirs)?;
            FIRST.holds(&buffer.memory, ours)?;
        }
        writing.end()?;
        FIRST.device_sees(&mapping, ours)?;
        SECOND.device_sees(&mapping, theirs)?;
        buffer.see(FIRST, ours)?;
        buffer.see(SECOND, theirs)?;
    }
    Ok(())
}

/// One mapping that lives all the time. Neither the CPU's end may take the device's half back to
/// what it was, nor the device's way home the CPU's.
fn bounced_beside_cpu(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for (seed, device_first) in [(1, true), (3, false), (5, true)] {
        let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
        if device_first {
            SECOND.device_writes(&mapping, theirs)?;
            buffer.write(FIRST, ours)?;
        } else {
            buffer.write(FIRST, ours)?;
            SECOND.device_writes(&mapping, theirs)?;
        }
        FIRST.device_sees(&mapping, ours)?;
        buffer.see(SECOND, theirs)?;
        buffer.see(FIRST, ours)?;
    }
    Ok(())
}

/// The mapping that goes away has an older view of what the other device wrote.
fn unmap_after_other_wrote(stage: &Stage) -> Outcome {
    for direction in [Direction::ToDevice, Direction::Bidirectional] {
        for (leaver, writer) in BOTH_WAYS {
            // Nor must it matter which of them has been there for longer.
            let leaver_first = leaver == 0;
            let (leaver, writer) = (stage.edu(leaver)?, stage.edu(writer)?);
            let pages = stage.pages(2)?;
            let buffer = pages.buffer()?;
            let attachments = if leaver_first {
                let leaver = leaver.attach(&buffer.dma_buf)?;
                (leaver, writer.attach(&buffer.dma_buf)?)
            } else {
                let writer = writer.attach(&buffer.dma_buf)?;
                (leaver.attach(&buffer.dma_buf)?, writer)
            };
            let before = Pattern::new(1);
            buffer.write(buffer.whole(), before)?;
            let leaves = attachments.0.map(direction)?;
            let writes = attachments.1.map(Direction::FromDevice)?;
            let theirs = Pattern::new(2);
            FIRST.device_writes(&writes, theirs)?;
            buffer.see(FIRST, theirs)?;
            let theirs = Pattern::new(3);
            FIRST.device_writes(&writes, theirs)?;
            writes.unmap()?;
            leaves.unmap()?;
            FIRST.holds(&buffer.memory, theirs)?;
            SECOND.holds(&buffer.memory, before)?;
        }
    }
    Ok(())
}
