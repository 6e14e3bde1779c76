// SPDX-License-Identifier: GPL-2.0

//! A CPU that writes without a bracket, as a virtual machine's does, while devices and brackets
//! come and go: nothing that it wrote is lost (contract 2 and 9).

use selftests::Access;
use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Direction;

use crate::flow::Flow;
use crate::stage::BOTH_WAYS;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "unbracketed_at_map",
        title: "CPU writes without bracket, map and unmap take nothing",
        controls: &["whole-copies", "invalidate-alone"],
        heap: true,
        refuses: false,
        run: unbracketed_at_map,
    },
    Flow {
        name: "unbracketed_at_bracket",
        title: "CPU writes without bracket, nor does a bracket take any",
        controls: &["no-sync-at-begin", "whole-copies", "invalidate-alone"],
        heap: true,
        refuses: false,
        run: unbracketed_at_bracket,
    },
];

/// What the device wrote comes home with every hand-over, and what the CPU wrote meanwhile stays.
fn unbracketed_at_map(stage: &Stage) -> Outcome {
    for (stays, comes) in BOTH_WAYS {
        let (stays, comes) = (stage.edu(stays)?, stage.edu(comes)?);
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let first = stays.attach(&buffer.dma_buf)?;
        let second = comes.attach(&buffer.dma_buf)?;
        // With nothing written by any device, and by one that will only write.
        for (seed, direction) in [(1, Direction::FromDevice), (3, Direction::Bidirectional)] {
            buffer.whole().fill(&buffer.memory, Pattern::new(seed));
            let mapping = first.map(direction)?;
            let ours = Pattern::new(seed + 1);
            FIRST.fill(&buffer.memory, ours);
            mapping.unmap()?;
            FIRST.holds(&buffer.memory, ours)?;
            SECOND.holds(&buffer.memory, Pattern::new(seed))?;
        }

        let mapping = first.map(Direction::Bidirectional)?;
        let (ours, theirs) = (Pattern::new(5), Pattern::new(6));
        SECOND.device_writes(&mapping, theirs)?;
        FIRST.fill(&buffer.memory, ours);
        let other = second.map(Direction::Bidirectional)?;
        FIRST.holds(&buffer.memory, ours)?;
        FIRST.device_sees(&other, ours)?;

        let (ours, theirs) = (Pattern::new(7), Pattern::new(8));
        FIRST.fill(&buffer.memory, ours);
        SECOND.device_writes(&mapping, theirs)?;
        other.unmap()?;
        FIRST.holds(&buffer.memory, ours)?;

        let ours = Pattern::new(9);
        FIRST.fill(&buffer.memory, ours);
        mapping.unmap()?;
        FIRST.holds(&buffer.memory, ours)?;
        SECOND.holds(&buffer.memory, theirs)?;
    }
    Ok(())
}

/// The CPU writes before the begin, between begin and end of a bracket that is somebody else's for
/// all it knows, and after the end.
fn unbracketed_at_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for (seed, access) in (1..).step_by(5).zip(Access::ALL) {
        let [before, inside, ending, after, theirs] =
            [0, 1, 2, 3, 4].map(|more| Pattern::new(seed + more));
        SECOND.device_writes(&mapping, theirs)?;
        FIRST.fill(&pages.memory, before);
        let accessing = buffer.dma_buf.begin(access)?;
        FIRST.holds(&buffer.memory, before)?;
        SECOND.holds(&buffer.memory, theirs)?;

        FIRST.fill(&pages.memory, inside);
        buffer.dma_buf.begin(Access::Read)?.end()?;
        FIRST.holds(&buffer.memory, inside)?;

        FIRST.fill(&pages.memory, ending);
        accessing.end()?;
        FIRST.holds(&buffer.memory, ending)?;
        // The end of any bracket hands over what there is.
        FIRST.device_sees(&mapping, ending)?;

        FIRST.fill(&pages.memory, after);
        buffer.see(FIRST, after)?;
        buffer.see(SECOND, theirs)?;
    }
    mapping.unmap()?;
    Ok(())
}
