// SPDX-License-Identifier: GPL-2.0

//! A program that asks whether it needs brackets, and does what it is told.

use selftests::Access;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::Window;
use selftests::abi;
use selftests::importer::Direction;
use selftests::outcome::offered;
use selftests::outcome::rule;

use crate::flow::Flow;
use crate::stage::Buffer;
use crate::stage::FIRST;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[Flow {
    name: "query",
    title: "brackets where a query says that they do something",
    controls: &["query-says-no"],
    heap: true,
    refuses: false,
    run: query,
}];

/// Across two pages.
const ACROSS: Window = Window {
    at: PAGE - 99,
    len: 2000,
};

/// What a program remembers of the last query.
struct Asked {
    generation: u64,
    brackets: bool,
}

impl Asked {
    /// Asks about a buffer; the answer has to make sense for so many mappings.
    fn new(driver: &Udmabuf, buffer: &Buffer, mapped: u32) -> Outcome<Asked> {
        let query = offered("a query", driver.query(&buffer.dma_buf))?;
        let classes = [
            query.coherent,
            query.cache,
            query.shadow,
            query.own_operations,
        ];
        let count: u32 = classes.iter().sum();
        let what = format_args!("{classes:?} mappings are {mapped} in all");
        rule(what, count == mapped)?;
        let syncs = query.state & abi::UDMABUF_STATE_SYNCS != 0;
        let what = "a bracket does something for devices that are not coherent";
        rule(what, syncs == (query.coherent != count))?;
        let bytes = query.start_bytes + query.end_bytes;
        rule("what does something costs something", syncs == (bytes != 0))?;
        Ok(Asked {
            generation: query.generation,
            brackets: query.state != 0,
        })
    }

    fn access(&self, buffer: &Buffer, access: Access, body: impl FnOnce() -> Outcome) -> Outcome {
        if !self.brackets {
            return body();
        }
        let accessing = buffer.dma_buf.begin(access)?;
        body()?;
        accessing.end()?;
        Ok(())
    }
}

fn query(stage: &Stage) -> Outcome {
    let driver = Udmabuf::open()?;
    for device in [0, 1] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let alone = Asked::new(&driver, &buffer, 0)?;
        rule("nobody is there to be synced for", !alone.brackets)?;
        let attachment = edu.attach(&buffer.dma_buf)?;
        let attached = Asked::new(&driver, &buffer, 0)?;
        let mapping = attachment.map(Direction::Bidirectional)?;
        let mapped = Asked::new(&driver, &buffer, 1)?;
        let what = "what is right before it is mapped is right afterwards";
        rule(what, attached.brackets || !mapped.brackets)?;
        let what = "whoever is told something else is told that it changed";
        rule(
            what,
            alone.generation != attached.generation || !attached.brackets,
        )?;

        let (ours, theirs) = (Pattern::new(1), Pattern::new(2));
        let write = || {
            buffer.whole().fill(&buffer.memory, ours);
            Ok(())
        };
        attached.access(&buffer, Access::Write, write)?;
        ACROSS.device_sees(&mapping, ours)?;
        FIRST.device_writes(&mapping, theirs)?;
        let read = || Ok(FIRST.holds(&buffer.memory, theirs)?);
        mapped.access(&buffer, Access::Read, read)?;
    }
    Ok(())
}
