// SPDX-License-Identifier: GPL-2.0

//! One device and the CPU: who hands over to whom, and by what.

use selftests::Access;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Window;
use selftests::importer::Direction;
use selftests::pattern::Mismatch;

use crate::flow::Flow;
use crate::stage::Buffer;
use crate::stage::FIRST;
use crate::stage::Pages;
use crate::stage::SECOND;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "cpu_to_device",
        title: "CPU write -> device read",
        controls: &["no-sync-at-end"],
        heap: true,
        refuses: false,
        run: |stage| cpu_to_device(stage, stage.pages(4)?),
    },
    Flow {
        name: "device_to_cpu",
        title: "device write -> CPU read",
        controls: &["no-sync-at-begin"],
        heap: true,
        refuses: false,
        run: |stage| device_to_cpu(stage, stage.pages(4)?),
    },
    Flow {
        name: "ping_pong",
        title: "CPU and device in turns, one long mapping",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: true,
        refuses: false,
        run: ping_pong,
    },
    Flow {
        name: "write_before_attach",
        title: "CPU write before attach, no bracket",
        controls: &["no-sync-at-map"],
        heap: true,
        refuses: false,
        run: write_before_attach,
    },
    Flow {
        name: "memfd_with_bracket",
        title: "CPU through the memfd, with brackets",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: false,
        refuses: false,
        run: memfd_with_bracket,
    },
    Flow {
        name: "bracket_unattached",
        title: "memfd filled, START|RW, nobody attached",
        controls: &["c", "no-sync-at-map"],
        heap: false,
        refuses: false,
        run: bracket_unattached,
    },
    Flow {
        name: "bracket_attached",
        title: "memfd filled, START|RW, one attached",
        controls: &["no-sync-at-map", "no-sync-at-end"],
        heap: false,
        refuses: false,
        run: bracket_attached,
    },
    Flow {
        name: "fresh_pages",
        title: "fresh pages are zero for the device",
        controls: &["no-sync-at-map"],
        heap: true,
        refuses: false,
        run: fresh_pages,
    },
    Flow {
        name: "write_only_bracket",
        title: "a write bracket keeps what a device wrote",
        controls: &["no-sync-at-begin", "no-sync-at-end"],
        heap: true,
        refuses: false,
        run: write_only_bracket,
    },
    Flow {
        name: "unmap_hands_over",
        title: "device write, unmap -> CPU read, no bracket",
        controls: &["no-sync-at-unmap"],
        heap: true,
        refuses: false,
        run: unmap_hands_over,
    },
    Flow {
        name: "map_again_hands_over",
        title: "CPU writes between mappings, no bracket",
        controls: &["no-sync-at-map"],
        heap: true,
        refuses: false,
        run: map_again_hands_over,
    },
];

/// Across two pages.
const ACROSS: Window = Window {
    at: PAGE - 99,
    len: 2000,
};

/// The device is mapped before the CPU writes, so only the end of the bracket can hand over.
pub fn cpu_to_device(stage: &Stage, pages: Pages<'_>) -> Outcome {
    let edu = stage.edu(0)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    for (seed, direction) in [(1, Direction::ToDevice), (2, Direction::Bidirectional)] {
        let mapping = attachment.map(direction)?;
        let ours = Pattern::new(seed);
        buffer.write(buffer.whole(), ours)?;
        ACROSS.device_sees(&mapping, ours)?;
        last_page(&buffer).device_sees(&mapping, ours)?;
    }
    Ok(())
}

/// The device stays mapped, so only the begin of the bracket can bring home what it wrote.
pub fn device_to_cpu(stage: &Stage, pages: Pages<'_>) -> Outcome {
    let edu = stage.edu(0)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let before = Pattern::new(1);
    buffer.write(buffer.whole(), before)?;
    let last = last_page(&buffer);
    let between = Window {
        at: ACROSS.at + ACROSS.len,
        len: last.at - ACROSS.at - ACROSS.len,
    };
    for (seed, direction) in [(2, Direction::FromDevice), (3, Direction::Bidirectional)] {
        let mapping = attachment.map(direction)?;
        let theirs = Pattern::new(seed);
        ACROSS.device_writes(&mapping, theirs)?;
        last.device_writes(&mapping, theirs)?;
        let reading = buffer.dma_buf.begin(Access::Read)?;
        ACROSS.holds(&buffer.memory, theirs)?;
        between.holds(&buffer.memory, before)?;
        last.holds(&buffer.memory, theirs)?;
        reading.end()?;
    }
    Ok(())
}

fn last_page(buffer: &Buffer) -> Window {
    Window {
        at: buffer.whole().len - PAGE,
        len: PAGE,
    }
}

fn ping_pong(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    for seed in [1, 3] {
        let (ours, theirs) = (Pattern::new(seed), Pattern::new(seed + 1));
        buffer.write(buffer.whole(), ours)?;
        ACROSS.device_sees(&mapping, ours)?;
        ACROSS.device_writes(&mapping, theirs)?;
        buffer.see(ACROSS, theirs)?;
    }
    Ok(())
}

fn write_before_attach(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let ours = Pattern::new(1);
    buffer.whole().fill(&buffer.memory, ours);
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::ToDevice)?;
    ACROSS.device_sees(&mapping, ours)
}

fn memfd_with_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
    pages
        .whole()
        .cpu_writes(&buffer.dma_buf, &pages.memory, ours)?;
    ACROSS.device_sees(&mapping, ours)?;
    ACROSS.device_writes(&mapping, theirs)?;
    ACROSS.cpu_sees(&buffer.dma_buf, &pages.memory, theirs)
}

/// While nobody is attached, the CPU needs no bracket, as map hands over all that it wrote; and
/// none takes anything from it.
fn bracket_unattached(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let (first, second) = (Pattern::new(1), Pattern::new(2));
    pages.whole().fill(&pages.memory, first);
    let buffer = pages.buffer()?;
    for (ours, next) in [(first, Some(second)), (second, None)] {
        let accessing = buffer.dma_buf.begin(Access::ReadWrite)?;
        buffer.whole().holds(&buffer.memory, ours)?;
        accessing.end()?;
        if let Some(next) = next {
            pages.whole().fill(&pages.memory, next);
        }
    }
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::ToDevice)?;
    ACROSS.device_sees(&mapping, second)
}

fn bracket_attached(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let before = Pattern::new(1);
    pages.whole().fill(&pages.memory, before);
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    FIRST.device_sees(&mapping, before)?;
    let ours = Pattern::new(2);
    let accessing = buffer.dma_buf.begin(Access::ReadWrite)?;
    buffer.whole().holds(&buffer.memory, before)?;
    SECOND.fill(&buffer.memory, ours);
    accessing.end()?;
    FIRST.device_sees(&mapping, before)?;
    SECOND.device_sees(&mapping, ours)
}

/// The kernel clears pages that it gives to a program; the device must not see what was in memory
/// before, nor what was in a bounce buffer.
fn fresh_pages(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    // Freed at once, so that there is something in memory to be seen.
    let secret = Memfd::new(64 * PAGE)?;
    Pattern::new(1).write_to(&secret.map()?, 0, secret.size());
    drop(secret);
    let (pages, buffer) = stage.fresh_pages(2)?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let mut bytes = vec![0xff; pages.whole().len];
    mapping.device_reads(0, &mut bytes)?;
    Mismatch::first(0, &bytes, &vec![0; bytes.len()])?;
    Ok(())
}

/// Handing over one half must not take back the other one, which the device has written and
/// nobody has read.
fn write_only_bracket(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
    SECOND.device_writes(&mapping, theirs)?;
    buffer.write(FIRST, ours)?;
    FIRST.device_sees(&mapping, ours)?;
    SECOND.device_sees(&mapping, theirs)?;
    buffer.see(SECOND, theirs)?;

    // Nor does it leave out what the device wrote when nothing else brings that home.
    let theirs = Pattern::new(3);
    SECOND.device_writes(&mapping, theirs)?;
    let writing = buffer.dma_buf.begin(Access::Write)?;
    SECOND.holds(&buffer.memory, theirs)?;
    writing.end()?;
    Ok(())
}

fn unmap_hands_over(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    for (seed, direction) in [(1, Direction::FromDevice), (2, Direction::Bidirectional)] {
        let mapping = attachment.map(direction)?;
        let theirs = Pattern::new(seed);
        ACROSS.device_writes(&mapping, theirs)?;
        mapping.unmap()?;
        ACROSS.holds(&buffer.memory, theirs)?;
        ACROSS.holds(&pages.memory, theirs)?;
    }
    Ok(())
}

fn map_again_hands_over(stage: &Stage) -> Outcome {
    let edu = stage.edu(0)?;
    let pages = stage.pages(2)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    for (seed, direction) in [(1, Direction::ToDevice), (2, Direction::Bidirectional)] {
        let ours = Pattern::new(seed);
        buffer.whole().fill(&buffer.memory, ours);
        let mapping = attachment.map(direction)?;
        ACROSS.device_sees(&mapping, ours)?;
        mapping.unmap()?;
    }
    Ok(())
}
