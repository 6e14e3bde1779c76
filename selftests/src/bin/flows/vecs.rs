// SPDX-License-Identifier: GPL-2.0

//! A device that learns by an array of DMA addresses where the buffer is, and not by a table.

use selftests::Errno;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Window;
use selftests::importer::Direction;
use selftests::outcome::broken;
use selftests::outcome::offered;

use crate::flow::Flow;
use crate::stage::FIRST;
use crate::stage::SECOND;
use crate::stage::Stage;
use crate::stage::THIRD;

pub const FLOWS: &[Flow] = &[Flow {
    name: "vecs",
    title: "CPU and device in turns, mapped by dma_vec",
    controls: &[
        "no-sync-at-begin",
        "no-sync-at-end",
        "no-sync-at-unmap",
        "vecs-cut-short",
    ],
    heap: true,
    refuses: false,
    run: vecs,
}];

/// Across all pages, to the last byte.
const ACROSS: Window = Window {
    at: PAGE - 99,
    len: 2 * PAGE + 99,
};

fn vecs(stage: &Stage) -> Outcome {
    for device in [0, 1] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(3)?;
        // As many pieces as there are pages, where the order can be chosen.
        let buffer = match stage.heap {
            true => pages.buffer()?,
            false => pages.list(&[THIRD, FIRST, SECOND])?,
        };
        let attachment = edu.attach(&buffer.dma_buf)?;
        let mapping = match attachment.map_vecs(Direction::Bidirectional) {
            Err(Errno::IO) => return broken("the array is not as long as the buffer"),
            mapping => offered("dma_vec", mapping)?,
        };
        let [ours, theirs, last] = [1, 2, 3].map(Pattern::new);
        buffer.write(buffer.whole(), ours)?;
        ACROSS.device_sees(&mapping, ours)?;
        FIRST.device_writes(&mapping, theirs)?;
        buffer.see(FIRST, theirs)?;
        buffer.see(THIRD, ours)?;
        THIRD.device_writes(&mapping, last)?;
        mapping.unmap()?;
        THIRD.holds(&buffer.memory, last)?;
    }
    Ok(())
}
