// SPDX-License-Identifier: GPL-2.0

//! What all flows together leave behind: nothing.

use selftests::Ledger;
use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Direction;
use selftests::outcome::equal;

use crate::flow::Control;
use crate::flow::Flow;
use crate::stage::FIRST;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[Flow {
    name: "leftovers",
    title: "no pin, buffer or descriptor is left",
    controls: &[Control::new("pin-leaked")],
    run: leftovers,
}];

/// Counts since before the first flow, after one of its own.
fn leftovers(stage: &Stage) -> Outcome {
    {
        let edu = stage.edu(0)?;
        let pages = stage.pages(2)?;
        let buffer = pages.buffer()?;
        let ours = Pattern::new(1);
        buffer.write(FIRST, ours)?;
        let attachment = edu.attach(&buffer.dma_buf)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        FIRST.device_sees(&mapping, ours)?;
    }
    equal("left", Ledger::now()?, stage.before)
}
