// SPDX-License-Identifier: GPL-2.0

//! Buffers that hand themselves over: no program brackets anything, and devices that keep their
//! mapping say when they access it.

use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::outcome::fail;
use selftests::outcome::offered;
use selftests::outcome::rule;

use crate::flow::Flow;
use crate::range::copied;
use crate::stage::BOTH_WAYS;
use crate::stage::Buffer;
use crate::stage::FIRST;
use crate::stage::Pages;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "automatic",
        title: "CPU and device in turns, no bracket, buffer hands itself over",
        controls: &[
            "automatic-entries-kept",
            "automatic-nothing-noted",
            "automatic-map-keeps-entries",
            "automatic-not-brought-home",
            "automatic-end-unheard",
        ],
        heap: false,
        refuses: false,
        run: automatic,
    },
    Flow {
        name: "automatic_devices",
        title: "device write -> other device and CPU, handed over by itself",
        controls: &["access-not-begun"],
        heap: false,
        refuses: false,
        run: automatic_devices,
    },
    Flow {
        name: "automatic_cost",
        title: "a page of many that is touched costs its neighbourhood",
        controls: &["automatic-whole-moved"],
        heap: false,
        refuses: false,
        run: automatic_cost,
    },
];

const BOTH: Direction = Direction::Bidirectional;

/// As many pages as a touch brings home at most, with both its neighbours.
const CHUNKS: usize = 32;

/// A buffer of these pages that hands itself over.
fn automatic_buffer(pages: &Pages<'_>) -> Outcome<Buffer> {
    let Some(item) = pages.item() else {
        return fail("the heap has none that hand themselves over");
    };
    let flags = abi::UDMABUF_FLAGS_AUTO_SYNC | abi::UDMABUF_FLAGS_CLOEXEC;
    let made = Udmabuf::open()?.create_ext(abi::UDMABUF_MODE_DMA_API, &[item], flags);
    Buffer::new(offered("buffers that hand themselves over", made)?)
}

/// What the device reads is what the CPU wrote, and it writes something else.
fn turn(mapping: &DeviceMapping<'_>, window: Window, ours: Pattern, theirs: Pattern) -> Outcome {
    mapping.begin_access(BOTH)?;
    window.device_sees(mapping, ours)?;
    window.device_writes(mapping, theirs)?;
    Ok(mapping.end_access(BOTH)?)
}

fn automatic(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = automatic_buffer(&pages)?;
    let memory = &buffer.memory;
    buffer.whole().fill(memory, Pattern::new(0));
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(BOTH)?;
    for seed in [1, 11] {
        let [ours, theirs, more] = [0, 1, 2].map(|more| Pattern::new(seed + more));
        for window in [FIRST, SECOND] {
            window.fill(memory, ours);
        }
        turn(&mapping, FIRST, ours, theirs)?;
        FIRST.holds(memory, theirs)?;
        SECOND.holds(memory, ours)?;
        // The CPU has it in its caches when the device writes.
        mapping.begin_access(Direction::FromDevice)?;
        SECOND.holds(memory, ours)?;
        SECOND.device_writes(&mapping, more)?;
        mapping.end_access(Direction::FromDevice)?;
        SECOND.holds(memory, more)?;
    }
    mapping.unmap()?;
    // Whoever maps for each use need say nothing.
    let [ours, theirs] = [21, 22].map(Pattern::new);
    FIRST.fill(memory, ours);
    let mapping = attachment.map(BOTH)?;
    FIRST.device_sees(&mapping, ours)?;
    FIRST.device_writes(&mapping, theirs)?;
    mapping.unmap()?;
    Ok(FIRST.holds(memory, theirs)?)
}

/// The CPU has the second page, and says nothing of it.
fn automatic_devices(stage: &Stage) -> Outcome {
    for (seed, (writer, reader)) in (1..).step_by(10).zip(BOTH_WAYS) {
        let (writer, reader) = (stage.edu(writer)?, stage.edu(reader)?);
        let pages = stage.pages(2)?;
        let buffer = automatic_buffer(&pages)?;
        let (from, to) = (
            writer.attach(&buffer.dma_buf)?,
            reader.attach(&buffer.dma_buf)?,
        );
        let (writes, reads) = (from.map(BOTH)?, to.map(BOTH)?);
        let [first, ours, theirs] = [0, 1, 2].map(|more| Pattern::new(seed + more));
        FIRST.fill(&buffer.memory, first);
        turn(&writes, FIRST, first, theirs)?;
        SECOND.fill(&buffer.memory, ours);
        reads.begin_access(Direction::ToDevice)?;
        FIRST.device_sees(&reads, theirs)?;
        SECOND.device_sees(&reads, ours)?;
        reads.end_access(Direction::ToDevice)?;
        FIRST.holds(&buffer.memory, theirs)?;
    }
    Ok(())
}

/// One page is touched, and one is written by way of the memfd, which is not heard of.
fn automatic_cost(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(8 * CHUNKS)?;
    let buffer = automatic_buffer(&pages)?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(BOTH)?;
    buffer.whole().fill(&buffer.memory, Pattern::new(0));
    mapping.begin_access(BOTH)?;
    mapping.end_access(BOTH)?;
    let window = Window {
        at: 2 * CHUNKS * PAGE,
        len: PAGE,
    };
    FIRST.fill(&pages.memory, Pattern::new(1));
    let before = copied()?;
    // Brought home by a touch, and given by the next access.
    stage.counted(2 * CHUNKS * PAGE, || {
        window.fill(&buffer.memory, Pattern::new(1));
        mapping.begin_access(BOTH)?;
        Ok(mapping.end_access(BOTH)?)
    })?;
    let (copied, most) = (copied()? - before, window.len);
    let what = format_args!("of {most} bytes, {copied} were copied, not more");
    rule(what, copied <= most)?;
    window.device_sees(&mapping, Pattern::new(1))
}
