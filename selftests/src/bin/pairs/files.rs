// SPDX-License-Identifier: GPL-2.0

//! Operations on the files that buffers are made of.

use rustix::fs::SealFlags;

use selftests::Errno;
use selftests::Outcome;
use selftests::PAGE;
use selftests::outcome::errno;

use crate::operation::ANY;
use crate::operation::Needs;
use crate::operation::Operation;
use crate::stage::Hand;

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "seal",
        run: seal,
        errors: &[(ANY, Errno::BUSY)],
        needs: Needs::Nothing,
        in_processes: true,
    },
    Operation {
        name: "truncate",
        run: truncate,
        errors: &[(ANY, Errno::PERM)],
        needs: Needs::Nothing,
        in_processes: false,
    },
    Operation {
        name: "hole",
        run: hole,
        errors: &[("seal", Errno::PERM)],
        needs: Needs::Nothing,
        in_processes: false,
    },
];

/// The kernel refuses while a page is pinned. Once it has not, there is no buffer of the file any more.
fn seal(hand: &mut Hand<'_>) -> Outcome {
    let victim = hand.stage.victim();
    hand.pause.here();
    if hand.may_fail(victim.add_seals(SealFlags::WRITE))?.is_none() {
        return Ok(());
    }
    hand.pause.here();
    let buffer = hand.stage.device.create(victim.whole());
    errno("a file that cannot be written", buffer, Errno::INVAL)?;
    hand.stage.next_victim()
}

/// A file grows only.
fn truncate(hand: &mut Hand<'_>) -> Outcome {
    let victim = hand.stage.victim();
    for _ in 0..2 {
        let more = hand.pause.chance().usize(..64);
        hand.may_fail(victim.resize(victim.size() + more * PAGE))?;
        hand.pause.here();
    }
    let less = victim.resize(victim.size() - PAGE);
    errno("a shorter file", less, Errno::PERM)
}

fn hole(hand: &mut Hand<'_>) -> Outcome {
    let victim = hand.stage.victim();
    let pages = victim.size() / PAGE;
    let first = hand.pause.chance().usize(..pages);
    let count = hand.pause.chance().usize(1..=pages - first);
    hand.pause.here();
    hand.may_fail(victim.punch_hole(first * PAGE, count * PAGE))?;
    Ok(())
}
