// SPDX-License-Identifier: GPL-2.0

//! Buffers whose touches are faults: checked ones, and those that hand themselves over.

use std::cell::Cell;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::abi;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::tests;

use crate::calls;
use crate::devices::PAGES;
use crate::devices::edu;
use crate::devices::holds;
use crate::devices::narrow;
use crate::devices::reads;
use crate::devices::writes;
use crate::devices::wrote;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![touch_checked, touch_automatic];

fn buffer(flags: u32) -> Outcome<DmaBuf> {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let flags = flags | abi::UDMABUF_FLAGS_CLOEXEC;
    let device = calls::device()?;
    Ok(device.create_ext(abi::UDMABUF_MODE_DMA_API, &[memfd.whole()], flags)?)
}

/// What is right works, and what is wrong is let through, whether it can be told or not.
fn touch_checked() -> Outcome {
    let seed = Cell::new(0);
    Sweep::over("touch_checked").run(|site| {
        // What is wrong is told once of a buffer.
        let buffer = buffer(abi::UDMABUF_FLAGS_CHECK)?;
        // Without page tables.
        let memory = buffer.map_aligned(Access::ReadWrite)?;
        let [outside, within] = [1, 2].map(|more| Pattern::new(seed.get() + more));
        seed.set(seed.get() + 2);
        let written = |pattern: Pattern| {
            pattern.write_to(&memory, 0, PAGES * PAGE);
            Ok(())
        };
        site.within("touch", &[], || written(outside))?;
        outside.check_in(&memory, 0, PAGES * PAGE)?;
        site.at_last("begin", || buffer.start(Access::Write))?;
        site.within("touch in a bracket", &[], || written(within))?;
        site.at_last("end", || buffer.finish(Access::Write))?;
        // Ended once too often.
        site.at_last("end", || buffer.finish(Access::Write))?;
        holds(&buffer, within)
    })
}

fn turns(name: &'static str, edu: &Edu) -> Outcome {
    let buffer = buffer(abi::UDMABUF_FLAGS_AUTO_SYNC)?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::Bidirectional)?;
    let seed = Cell::new(0);
    Sweep::over(name).run(|site| {
        // Without page tables.
        let memory = buffer.map_aligned(Access::ReadWrite)?;
        let [ours, theirs] = [1, 2].map(|more| Pattern::new(seed.get() + more));
        seed.set(seed.get() + 2);
        site.within("touch", &[], || {
            ours.write_to(&memory, 0, PAGES * PAGE);
            Ok(())
        })?;
        let both = Direction::Bidirectional;
        site.at_last("begin", || mapping.begin_access(both))?;
        reads(&mapping, ours)?;
        writes(&mapping, theirs)?;
        site.at_last("end", || mapping.end_access(both))?;
        site.within("touch what a device wrote", &[], || {
            memory.touch_every_page();
            Ok(())
        })?;
        wrote(&buffer, theirs, ours)
    })
}

fn touch_automatic() -> Outcome {
    turns("touch_automatic", &edu(0)?)?;
    turns("touch_automatic_bounced", &*narrow(0)?)
}
