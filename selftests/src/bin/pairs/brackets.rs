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

/// Sync files come and go; whoever begins an access meanwhile waits.
fn fence(hand: &mut Hand<'_>) -> Outcome {
    let access = hand.access();
    let work = Work::start(hand.either(), access)?;
    hand.pause.here();
    drop(ioctl::export_sync_file(hand.either())?);
    hand.pause.here();
    Ok(work.finish()?)
}
