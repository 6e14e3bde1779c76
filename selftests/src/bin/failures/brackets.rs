// SPDX-License-Identifier: GPL-2.0

//! Accesses of the CPU, beside no device and beside up to three of each class.

use std::cell::Cell;

use selftests::Access;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::tests;

use crate::calls;
use crate::devices::AT;
use crate::devices::LENGTH;
use crate::devices::PAGES;
use crate::devices::buffer;
use crate::devices::edu;
use crate::devices::holds;
use crate::devices::narrow;
use crate::devices::reads;
use crate::devices::writes;
use crate::devices::wrote;
use crate::sweep::Sweep;

pub const TESTS: &[Test] = tests![
    bracket_without_device,
    bracket_with_devices,
    bracket_with_bounced,
    bracket_with_both,
    range_with_both,
];

/// One mapping for each of the devices, and each kind of access. The last device reads what the CPU
/// wrote, and the CPU what that device wrote.
fn brackets(name: &'static str, devices: &[&Edu]) -> Outcome {
    let buffer = buffer(Pattern::new(0))?;
    let memory = buffer.map(Access::ReadWrite)?;
    let mut attachments = Vec::new();
    for edu in devices {
        attachments.push(edu.attach(&buffer)?);
    }
    let mut mappings = Vec::new();
    for attachment in &attachments {
        mappings.push(attachment.map(Direction::Bidirectional)?);
    }
    let seed = Cell::new(0);
    Sweep::over(name).run(|site| {
        // What was there before is not what is looked for.
        let [ours, theirs] = [1, 2].map(|more| Pattern::new(seed.get() + more));
        seed.set(seed.get() + 2);
        let bracketed = |access, body: &dyn Fn() -> Outcome| {
            site.at_last("begin", || buffer.start(access))?;
            body()?;
            site.at_last("end", || buffer.finish(access))
        };
        bracketed(Access::Write, &|| {
            ours.write_to(&memory, 0, PAGES * PAGE);
            Ok(())
        })?;
        bracketed(Access::ReadWrite, &|| Ok(()))?;
        let Some(device) = mappings.last() else {
            return bracketed(Access::Read, &|| holds(&buffer, ours));
        };
        reads(device, ours)?;
        writes(device, theirs)?;
        bracketed(Access::Read, &|| wrote(&buffer, theirs, ours))
    })
}

fn bracket_without_device() -> Outcome {
    brackets("bracket_without_device", &[])
}

fn bracket_with_devices() -> Outcome {
    let (one, two) = (edu(0)?, edu(1)?);
    brackets("bracket_with_1_device", &[&one])?;
    brackets("bracket_with_2_devices", &[&one, &two])?;
    brackets("bracket_with_3_devices", &[&one, &two, &one])
}

fn bracket_with_bounced() -> Outcome {
    let (one, two) = (narrow(0)?, narrow(1)?);
    brackets("bracket_with_1_bounced", &[&one])?;
    brackets("bracket_with_2_bounced", &[&one, &two])?;
    brackets("bracket_with_3_bounced", &[&one, &two, &one])
}

/// One that reaches all memory, between two mappings of one that does not.
fn bracket_with_both() -> Outcome {
    let (wide, narrow) = (edu(1)?, narrow(0)?);
    brackets("bracket_with_both", &[&narrow, &wide, &narrow])
}

/// As [`bracket_with_both`], around what the device accesses and no more.
fn range_with_both() -> Outcome {
    let device = calls::device()?;
    let (wide, narrow) = (edu(1)?, narrow(0)?);
    let buffer = buffer(Pattern::new(0))?;
    let memory = buffer.map(Access::ReadWrite)?;
    let attachments = [narrow.attach(&buffer)?, wide.attach(&buffer)?];
    let [first, _second] = attachments
        .each_ref()
        .map(|attachment| attachment.map(Direction::Bidirectional));
    let (first, _second) = (first?, _second?);
    let seed = Cell::new(0);
    Sweep::over("range_with_both").run(|site| {
        let [ours, theirs] = [1, 2].map(|more| Pattern::new(seed.get() + more));
        seed.set(seed.get() + 2);
        let part = AT..AT + LENGTH;
        site.at_last("begin", || {
            device.start_range(&buffer, Access::Write, part.clone())
        })?;
        ours.write_to(&memory, AT, LENGTH);
        site.at_last("end", || {
            device.finish_range(&buffer, Access::Write, part.clone())
        })?;
        reads(&first, ours)?;
        writes(&first, theirs)?;
        site.at_last("begin", || {
            device.start_range(&buffer, Access::Read, part.clone())
        })?;
        theirs.check_in(&memory, AT, LENGTH)?;
        site.at_last("end", || {
            device.finish_range(&buffer, Access::Read, part.clone())
        })
    })
}
