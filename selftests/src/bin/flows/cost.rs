// SPDX-License-Identifier: GPL-2.0

//! What a bracket costs with so many devices: one bracket per case, in scopes of its own, for the
//! model to count the cache maintenance in (contracts 6 and 9).

use selftests::Access;
use selftests::Errno;
use selftests::Outcome;
use selftests::Pattern;
use selftests::importer::Attachment;
use selftests::importer::Direction;

use crate::flow::Flow;
use crate::stage::Stage;

pub const FLOWS: &[Flow] = &[Flow {
    name: "cost",
    title: "one bracket of each kind for 0 to 8 mappings of each device",
    controls: &[],
    heap: false,
    refuses: false,
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
                mappings.push(attachment.map(Direction::Bidirectional)?);
            }
            for (name, access) in [("read", Access::Read), ("write", Access::Write)] {
                let scope = |part| {
                    let label = &stage.label;
                    let name = format!("{label}/cost/{device}/{name}/{count}/{part}");
                    stage.model.scope(&name)
                };
                let begin = scope("begin")?;
                let accessing = buffer.dma_buf.begin(access)?;
                drop(begin);
                if access == Access::Write {
                    let pattern = Pattern::new(count as u64);
                    buffer.whole().fill(&buffer.memory, pattern);
                }
                let end = scope("end")?;
                accessing.end()?;
                drop(end);
            }
        }
    }
    Ok(())
}
