// SPDX-License-Identifier: GPL-2.0

//! Operations that hand over: brackets, and fences.

use selftests::Outcome;
use selftests::fence::Work;
use selftests::sys::ioctl;

use crate::operation::Needs;
use crate::operation::Operation;
use crate::stage::Hand;

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "begin",
        run: begin,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: true,
    },
    Operation {
        name: "end",
        run: end,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: true,
    },
    Operation {
        name: "range",
        run: range,
        errors: &[],
        needs: Needs::Calls,
        in_processes: true,
    },
    Operation {
        name: "fence",
        run: fence,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: true,
    },
];

fn begin(hand: &mut Hand<'_>) -> Outcome {
    let access = hand.access();
    hand.either().start(access)?;
    hand.pause.here();
    hand.intact(&hand.stage.mapping)
}

fn end(hand: &mut Hand<'_>) -> Outcome {
    let (window, pattern) = hand.fresh();
    window.fill(&hand.stage.mapping, pattern);
    hand.pause.here();
    let access = hand.access();
    hand.either().finish(access)?;
    hand.intact(&hand.stage.mapping)
}

/// A few bytes that need not be whole lines or words.
fn range(hand: &mut Hand<'_>) -> Outcome {
    let (window, pattern) = hand.fresh();
    let access = hand.access();
    let chance = hand.pause.chance();
    let start = window.at + chance.usize(..window.len);
    let end = chance.usize(start + 1..=window.at + window.len);
    let (device, buffer) = (&hand.stage.device, hand.either());
    device.start_range(buffer, access, start..end)?;
    window.fill(&hand.stage.mapping, pattern);
    hand.pause.here();
    device.finish_range(buffer, access, start..end)?;
    hand.intact(&hand.stage.mapping)
}

/// Sync files come and go; whoever begins an access meanwhile waits.
fn fence(hand: &mut Hand<'_>) -> Outcome {
    let access = hand.access();
    let work = Work::start(hand.either(), access)?;
    hand.pause.here();
    drop(ioctl::export_sync_file(hand.either())?);
    hand.pause.here();
    Ok(work.finish()?)
}
