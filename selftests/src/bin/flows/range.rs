// SPDX-License-Identifier: GPL-2.0

//! Brackets around a part of a buffer: the part is handed over, the rest is not lost, and what it
//! costs depends on the part.

use selftests::Access;
use selftests::Errno;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::Direction;
use selftests::outcome::offered;
use selftests::outcome::rule;
use selftests::statistics;

use crate::companion::Companion;
use crate::flow::Flow;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;
use crate::stage::THIRD;

pub const FLOWS: &[Flow] = &[
    Flow {
        name: "range",
        title: "CPU and device in turns, brackets around a part",
        controls: &[
            "no-sync-at-begin",
            "no-sync-at-end",
            "range-rounded-inwards",
        ],
        heap: true,
        refuses: false,
        run: range,
    },
    Flow {
        name: "ranges_overlap",
        title: "two processes write in parts that overlap",
        controls: &["whole-copies", "invalidate-alone"],
        heap: true,
        refuses: false,
        run: ranges_overlap,
    },
    Flow {
        name: "range_cost",
        title: "a bracket around a page of many costs a page",
        controls: &["range-ignored"],
        heap: true,
        refuses: false,
        run: range_cost,
    },
];

/// Not a multiple of anything, and across two pages.
const ACROSS: Window = Window {
    at: PAGE - 99,
    len: 2001,
};

/// What the driver says it has copied since it was loaded; always nothing, where it never does.
pub fn copied() -> Outcome<usize> {
    let counters = statistics::counters(["collected", "published"])?;
    Ok(counters.map_or(0, |[collected, published]| collected + published))
}

fn range(stage: &Stage) -> Outcome {
    let driver = Udmabuf::open()?;
    let edu = stage.edu(0)?;
    let pages = stage.pages(4)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let [ours, outside, theirs, later] = [1, 2, 3, 4].map(Pattern::new);

    let begun = driver.start_range(&buffer.dma_buf, Access::Write, ACROSS.range());
    offered("a bracket around a part", begun)?;
    ACROSS.fill(&buffer.memory, ours);
    driver.finish_range(&buffer.dma_buf, Access::Write, ACROSS.range())?;
    ACROSS.device_sees(&mapping, ours)?;

    // Of what the device wrote one part is asked for, and then the other. The CPU has written a
    // third, which nobody has handed over yet.
    let last = Window {
        at: 3 * PAGE,
        len: PAGE,
    };
    THIRD.fill(&buffer.memory, outside);
    ACROSS.device_writes(&mapping, theirs)?;
    last.device_writes(&mapping, later)?;
    for (window, pattern) in [(ACROSS, theirs), (last, later)] {
        driver.start_range(&buffer.dma_buf, Access::Read, window.range())?;
        window.holds(&buffer.memory, pattern)?;
        THIRD.holds(&buffer.memory, outside)?;
        driver.finish_range(&buffer.dma_buf, Access::Read, window.range())?;
    }
    driver.finish_range(&buffer.dma_buf, Access::Write, THIRD.range())?;
    THIRD.device_sees(&mapping, outside)?;

    // Beyond the end nothing is done, and neither is it for nothing.
    THIRD.fill(&buffer.memory, ours);
    let before = copied()?;
    let flags = abi::SYNC_END | abi::SYNC_WRITE;
    let size = buffer.whole().len as u64;
    for (offset, length) in [
        (0, size + 1),
        (size, 1),
        (size - 1, u64::MAX),
        (u64::MAX, 2),
    ] {
        let refused = driver.sync_range(&buffer.dma_buf, flags, offset, length);
        let what = format!("{offset:#x}+{length:#x} is refused");
        rule(what, refused == Err(Errno::INVAL))?;
    }
    driver.sync_range(&buffer.dma_buf, flags, size, 0)?;
    rule("nothing is done for it", copied()? == before)
}

/// Their brackets overlap in time and in place; what they write does not.
fn ranges_overlap(stage: &Stage) -> Outcome {
    let driver = Udmabuf::open()?;
    let edu = stage.edu(0)?;
    let pages = stage.pages(3)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let [ours, theirs, device] = [1, 2, 3].map(Pattern::new);
    let (one, other) = (0..2 * PAGE, PAGE / 2..3 * PAGE);

    let begun = driver.start_range(&buffer.dma_buf, Access::ReadWrite, one.clone());
    offered("a bracket around a part", begun)?;
    FIRST.fill(&buffer.memory, ours);
    let mut companion = Companion::start(|turns| {
        driver.start_range(&buffer.dma_buf, Access::ReadWrite, other.clone())?;
        SECOND.fill(&buffer.memory, theirs);
        turns.pause()?;
        driver.finish_range(&buffer.dma_buf, Access::ReadWrite, other.clone())?;
        Ok(())
    })?;
    FIRST.holds(&buffer.memory, ours)?;
    // The device has the third page, of which only the other one's bracket tells.
    THIRD.device_writes(&mapping, device)?;
    driver.start_range(&buffer.dma_buf, Access::Read, one.clone())?;
    FIRST.holds(&buffer.memory, ours)?;
    SECOND.holds(&buffer.memory, theirs)?;
    driver.finish_range(&buffer.dma_buf, Access::ReadWrite, one)?;
    companion.proceed()?;
    FIRST.device_sees(&mapping, ours)?;
    SECOND.device_sees(&mapping, theirs)?;
    driver.start_range(&buffer.dma_buf, Access::Read, THIRD.range())?;
    THIRD.holds(&buffer.memory, device)?;
    driver.finish_range(&buffer.dma_buf, Access::Read, THIRD.range())?;
    Ok(())
}

/// Every page has been written, and one is handed over: in a shadow, what has changed there, and in
/// the caches its lines, once at begin and once at end.
fn range_cost(stage: &Stage) -> Outcome {
    const PAGES: usize = 64;
    const CHANGED: usize = 64;
    let driver = Udmabuf::open()?;
    let edu = stage.edu(0)?;
    let pages = stage.pages(PAGES)?;
    let buffer = pages.buffer()?;
    let attachment = edu.attach(&buffer.dma_buf)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let page = Window {
        at: PAGES / 2 * PAGE,
        len: PAGE,
    };
    let changed = Window {
        len: CHANGED,
        ..page
    };
    let ours = Pattern::new(1);
    let begun = driver.start_range(&buffer.dma_buf, Access::Write, 0..0);
    offered("a bracket around a part", begun)?;
    for at in (0..buffer.whole().len).step_by(PAGE) {
        Window { at, ..changed }.fill(&buffer.memory, ours);
    }
    let before = copied()?;
    stage.counted(2 * PAGE, || {
        driver.start_range(&buffer.dma_buf, Access::ReadWrite, page.range())?;
        driver.finish_range(&buffer.dma_buf, Access::ReadWrite, page.range())?;
        Ok(())
    })?;
    let copied = copied()? - before;
    let what = format_args!("of {CHANGED} bytes, {copied} were copied, not more");
    rule(what, copied <= CHANGED)?;
    changed.device_sees(&mapping, ours)
}
