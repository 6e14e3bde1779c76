// SPDX-License-Identifier: GPL-2.0

//! Two devices, or a device and the CPU, that write to one buffer: nothing of either is lost
//! (contract 5). Where a bounce buffer makes that impossible, the second writer is refused, and
//! the two write one after the other.

use selftests::Errno;
use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Direction;
use selftests::outcome::Stop;

use crate::flow::Flow;
use crate::flow::unless_refused;
use crate::stage::BOTH_WAYS;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "device_cpu_device",
        title: "device write -> CPU -> other device read",
        controls: &[
            "no-sync-at-begin",
            "no-sync-at-end",
            "readers-not-refreshed",
            "reader-stands-for-all",
        ],
        run: device_cpu_device,
    },
    Flow {
        name: "bounced_beside_direct",
        title: "two devices write, one BIDIRECTIONAL",
        controls: &["no-sync-at-begin", "two-writers"],
        run: bounced_beside_direct,
    },
    Flow {
        name: "bounced_beside_cpu",
        title: "CPU and device write their halves in turns",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        run: bounced_beside_cpu,
    },
    Flow {
        name: "unmap_after_other_wrote",
        title: "unmap after another device wrote",
        controls: &["no-sync-at-begin", "two-writers"],
        run: unmap_after_other_wrote,
    },
];

/// Whether anything was refused is known at the end only: what can be done in turns is done.
fn refused(refused: bool) -> Outcome {
    if refused {
        Err(Stop::Refused(Errno::BUSY))
    } else {
        Ok(())
    }
}

/// All are mapped all the time. First the CPU only reads, then it writes a part of its own. The
/// device that writes has a mapping for reading beside the other's; whether the readers come before
/// the writer must not matter.
fn device_cpu_device(stage: &Stage) -> Outcome {
    for (writer, reader) in BOTH_WAYS {
        let readers_first = writer == 0;
        let (writer, reader) = (stage.edu(writer)?, stage.edu(reader)?);
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let from = writer.attach(&buffer.dma_buf)?;
        let to = reader.attach(&buffer.dma_buf)?;
        let map_readers =
            || -> Outcome<_> { Ok([from.map(Direction::ToDevice)?, to.map(Direction::ToDevice)?]) };
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

fn bounced_beside_direct(stage: &Stage) -> Outcome {
    let mut in_turns = false;
    for (one, other) in BOTH_WAYS {
        let (one, other) = (stage.edu(one)?, stage.edu(other)?);
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let (first, second) = (one.attach(&buffer.dma_buf)?, other.attach(&buffer.dma_buf)?);
        buffer.write(buffer.whole(), Pattern::new(1))?;
        let one_writes = first.map(Direction::Bidirectional)?;
        let theirs = Pattern::new(2);
        FIRST.device_writes(&one_writes, theirs)?;
        if let Some(other_writes) = unless_refused(second.map(Direction::FromDevice))? {
            SECOND.device_writes(&other_writes, theirs)?;
            buffer.see(buffer.whole(), theirs)?;
            // The one that had its view of the second page before.
            SECOND.device_sees(&one_writes, theirs)?;
        } else {
            in_turns = true;
            one_writes.unmap()?;
            let other_writes = second.map(Direction::FromDevice)?;
            SECOND.device_writes(&other_writes, theirs)?;
            buffer.see(buffer.whole(), theirs)?;
        }
    }
    refused(in_turns)
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
        buffer.see(FIRST, ours)?;
        buffer.see(SECOND, theirs)?;
    }
    Ok(())
}

/// The mapping that goes away has an older view of what the other device wrote: as a reader that
/// must not matter, as a writer it may not be there, and the other writes when it has gone.
fn unmap_after_other_wrote(stage: &Stage) -> Outcome {
    let mut in_turns = false;
    for direction in [Direction::ToDevice, Direction::Bidirectional] {
        for (leaver, writer) in BOTH_WAYS {
            let (leaver, writer) = (stage.edu(leaver)?, stage.edu(writer)?);
            let pages = stage.pages(2)?;
            let buffer = pages.buffer()?;
            let attachments = (
                leaver.attach(&buffer.dma_buf)?,
                writer.attach(&buffer.dma_buf)?,
            );
            let before = Pattern::new(1);
            buffer.write(buffer.whole(), before)?;
            let leaves = attachments.0.map(direction)?;
            let writes = attachments.1.map(Direction::FromDevice);
            let writes = match direction {
                Direction::ToDevice => Some(writes?),
                _ => unless_refused(writes)?,
            };
            let theirs = Pattern::new(2);
            if let Some(writes) = writes {
                FIRST.device_writes(&writes, theirs)?;
                buffer.see(FIRST, theirs)?;
                writes.unmap()?;
                leaves.unmap()?;
            } else {
                in_turns = true;
                // What it writes comes home when it leaves, and not again later.
                FIRST.device_writes(&leaves, Pattern::new(3))?;
                leaves.unmap()?;
                FIRST.holds(&buffer.memory, Pattern::new(3))?;
                let writes = attachments.1.map(Direction::FromDevice)?;
                FIRST.device_writes(&writes, theirs)?;
                writes.unmap()?;
            }
            buffer.see(FIRST, theirs)?;
            buffer.see(SECOND, before)?;
        }
    }
    refused(in_turns)
}
