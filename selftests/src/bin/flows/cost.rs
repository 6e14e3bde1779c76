// SPDX-License-Identifier: GPL-2.0

//! What a bracket costs with so many devices: one bracket per case, in scopes of its own, for the
//! model to count the cache maintenance in (contract 6).

use selftests::Access;
use selftests::Errno;
use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Attachment;
use selftests::importer::Direction;
use selftests::outcome::Stop;

use crate::flow::Flow;
use crate::flow::unless_refused;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[Flow {
    name: "cost",
    title: "one write bracket for 0 to 8 mappings of each device",
    controls: &[],
    run: cost,
}];

/// Pages of the buffer.
const PAGES: usize = 16;

/// Most mappings at once.
const MOST: usize = 8;

fn cost(stage: &Stage) -> Outcome {
    for device in [0, 1] {
        let edu = stage.edu(device)?;
        let pages = stage.pages(PAGES)?;
        let buffer = pages.buffer()?;
        let attachments = (0..MOST)
            .map(|_| edu.attach(&buffer.dma_buf))
            .collect::<Result<Vec<Attachment<'_>>, Errno>>()?;
        let mut mappings = Vec::new();
        for count in 0..=MOST {
            if let Some(attachment) = count.checked_sub(1).map(|last| &attachments[last]) {
                match unless_refused(attachment.map(Direction::Bidirectional))? {
                    Some(mapping) => mappings.push(mapping),
                    // Behind bounce buffers there is one writer at most.
                    None => return Err(Stop::Refused(Errno::BUSY)),
                }
            }
            let scope = |part| {
                let label = &stage.label;
                stage
                    .model
                    .scope(&format!("{label}/cost/{device}/{count}/{part}"))
            };
            let begin = scope("begin")?;
            let writing = buffer.dma_buf.begin(Access::Write)?;
            drop(begin);
            buffer
                .whole()
                .fill(&buffer.memory, Pattern::new(count as u64));
            let end = scope("end")?;
            writing.end()?;
            drop(end);
        }
    }
    Ok(())
}
