// SPDX-License-Identifier: GPL-2.0

//! Devices that say when they access a buffer, which they keep mapped: what others wrote is there
//! for them, and the other way round, and no program brackets anything.

use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::importer::Narrow;
use selftests::outcome::offered;

use crate::flow::Flow;
use crate::stage::BOTH_WAYS;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "device_to_device",
        title: "device write -> other device read, device access alone",
        controls: &["access-not-begun"],
        heap: true,
        refuses: false,
        run: device_to_device,
    },
    Flow {
        name: "kept_mapping",
        title: "CPU and device in turns, device access alone",
        controls: &[
            "access-not-begun",
            "access-not-ended",
            "whole-copies",
            "invalidate-alone",
        ],
        heap: true,
        refuses: false,
        run: kept_mapping,
    },
];

/// Each writes for the other, and then two of the same reach do, which work on copies where that is
/// not far.
fn device_to_device(stage: &Stage) -> Outcome {
    for (seed, (writer, reader)) in (1..).step_by(2).zip(BOTH_WAYS) {
        hand_on(stage, &stage.edu(writer)?, &stage.edu(reader)?, seed)?;
    }
    let (one, other) = (stage.edu(0)?, stage.edu(1)?);
    let bits = one.dma_bits()?;
    if other.dma_bits()? != bits {
        let other = Narrow::new(other, bits)?;
        hand_on(stage, &one, &other, 5)?;
    }
    Ok(())
}

/// The CPU has the second page, and says nothing of it.
fn hand_on(stage: &Stage, writer: &Edu, reader: &Edu, seed: u64) -> Outcome {
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    buffer.whole().fill(&buffer.memory, Pattern::new(0));
    let (from, to) = (
        writer.attach(&buffer.dma_buf)?,
        reader.attach(&buffer.dma_buf)?,
    );
    let writes = from.map(Direction::Bidirectional)?;
    let reads = to.map(Direction::ToDevice)?;
    let (theirs, ours) = (Pattern::new(seed), Pattern::new(seed + 1));

    let begun = writes.begin_access(Direction::Bidirectional);
    offered("device access", begun)?;
    FIRST.device_writes(&writes, theirs)?;
    writes.end_access(Direction::Bidirectional)?;

    SECOND.fill(&buffer.memory, ours);
    reads.begin_access(Direction::ToDevice)?;
    FIRST.device_sees(&reads, theirs)?;
    SECOND.device_sees(&reads, ours)?;
    reads.end_access(Direction::ToDevice)?;
    Ok(())
}

fn kept_mapping(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for (seed, direction) in [(1, Direction::FromDevice), (4, Direction::Bidirectional)] {
        let [first, second, theirs] = [0, 1, 2].map(|more| Pattern::new(seed + more));
        buffer.whole().fill(&buffer.memory, first);
        let begun = mapping.begin_access(Direction::ToDevice);
        offered("device access", begun)?;
        FIRST.device_sees(&mapping, first)?;
        mapping.end_access(Direction::ToDevice)?;

        // What the device does not write is the CPU's, and nothing of that is lost.
        buffer.whole().fill(&buffer.memory, second);
        mapping.begin_access(direction)?;
        // And reads it, so that the caches have it.
        SECOND.holds(&buffer.memory, second)?;
        SECOND.device_writes(&mapping, theirs)?;
        mapping.end_access(direction)?;
        FIRST.holds(&buffer.memory, second)?;
        SECOND.holds(&buffer.memory, theirs)?;
        SECOND.holds(&pages.memory, theirs)?;
    }
    Ok(())
}
