// SPDX-License-Identifier: GPL-2.0

//! Brackets that overlap with another process's, with mapping, with unmapping, or with the end of
//! their process (contract 9).

use selftests::Access;
use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Direction;

use crate::companion::Companion;
use crate::flow::Flow;
use crate::stage::Buffer;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "read_in_write_bracket",
        title: "read bracket inside another's write bracket",
        controls: &["whole-copies", "invalidate-alone"],
        heap: true,
        refuses: false,
        run: read_in_write_bracket,
    },
    Flow {
        name: "attach_in_write_bracket",
        title: "attach and read inside another's write bracket",
        controls: &["whole-copies", "invalidate-alone"],
        heap: true,
        refuses: false,
        run: attach_in_write_bracket,
    },
    Flow {
        name: "unmap_in_write_bracket",
        title: "unmap inside another's write bracket",
        controls: &["whole-copies", "invalidate-alone"],
        heap: true,
        refuses: false,
        run: unmap_in_write_bracket,
    },
    Flow {
        name: "dead_writer",
        title: "writer died in its bracket, device write -> CPU read",
        controls: &["brackets-remembered"],
        heap: true,
        refuses: false,
        run: dead_writer,
    },
];

/// A process that writes the first page in a bracket, pauses, writes the second one, pauses, and
/// ends the bracket.
fn writer(buffer: &Buffer, pattern: Pattern) -> Outcome<Companion> {
    Companion::start(|turns| {
        let writing = buffer.dma_buf.begin(Access::Write)?;
        FIRST.fill(&buffer.memory, pattern);
        turns.pause()?;
        SECOND.fill(&buffer.memory, pattern);
        turns.pause()?;
        writing.end()?;
        Ok(())
    })
}

fn read_in_write_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let ours = Pattern::new(1);
    let mut writer = writer(&buffer, ours)?;
    buffer.see(FIRST, ours)?;
    writer.proceed()?;
    buffer.see(buffer.whole(), ours)?;
    writer.proceed()?;
    FIRST.device_sees(&mapping, ours)?;
    SECOND.device_sees(&mapping, ours)?;

    // And inside a bracket of the same process.
    let ours = Pattern::new(2);
    let writing = buffer.dma_buf.begin(Access::ReadWrite)?;
    FIRST.fill(&buffer.memory, ours);
    buffer.see(FIRST, ours)?;
    writing.end()?;
    FIRST.device_sees(&mapping, ours)
}

/// The device's view is made when the second page has not been written yet.
fn attach_in_write_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    for (seed, direction) in [(1, Direction::Bidirectional), (2, Direction::FromDevice)] {
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let ours = Pattern::new(seed);
        let mut writer = writer(&buffer, ours)?;
        let attachment = edu.attach(&buffer.dma_buf)?;
        let mapping = attachment.map(direction)?;
        writer.proceed()?;
        buffer.see(buffer.whole(), ours)?;
        writer.proceed()?;
        if direction == Direction::Bidirectional {
            FIRST.device_sees(&mapping, ours)?;
            SECOND.device_sees(&mapping, ours)?;
        }
    }
    Ok(())
}

fn unmap_in_write_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    for (seed, direction) in [(1, Direction::Bidirectional), (2, Direction::FromDevice)] {
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let attachment = edu.attach(&buffer.dma_buf)?;
        let mapping = attachment.map(direction)?;
        let ours = Pattern::new(seed);
        let mut writer = writer(&buffer, ours)?;
        writer.proceed()?;
        mapping.unmap()?;
        buffer.see(buffer.whole(), ours)?;
        writer.proceed()?;
        let mapping = attachment.map(Direction::ToDevice)?;
        FIRST.device_sees(&mapping, ours)?;
        SECOND.device_sees(&mapping, ours)?;
    }
    Ok(())
}

/// The bracket of a process that is gone is in nobody's way.
fn dead_writer(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    writer(&buffer, Pattern::new(1))?.kill()?;
    // What it wrote was not handed over: here that is done by somebody else.
    buffer.dma_buf.begin(Access::Write)?.end()?;

    let theirs = Pattern::new(2);
    FIRST.device_writes(&mapping, theirs)?;
    buffer.see(FIRST, theirs)?;
    SECOND.device_writes(&mapping, theirs)?;
    mapping.unmap()?;
    SECOND.holds(&buffer.memory, theirs)?;
    Ok(())
}
