// SPDX-License-Identifier: GPL-2.0

//! Operations on buffers and on what is mapped of them.

use rustix::fs::SealFlags;

use selftests::Access;
use selftests::Errno;
use selftests::Mode;
use selftests::Outcome;
use selftests::PAGE;
use selftests::abi;
use selftests::outcome::check;
use selftests::sys::fork::Child;

use crate::operation::Needs;
use crate::operation::Operation;
use crate::stage::Hand;

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "create",
        run: create,
        errors: &[("seal", Errno::INVAL), ("parameter", Errno::INVAL)],
        needs: Needs::Nothing,
        in_processes: true,
    },
    Operation {
        name: "close",
        run: close,
        errors: &[("parameter", Errno::INVAL)],
        needs: Needs::Nothing,
        in_processes: false,
    },
    Operation {
        name: "query",
        run: query,
        errors: &[],
        needs: Needs::Calls,
        in_processes: true,
    },
    Operation {
        name: "modes",
        run: modes,
        errors: &[
            ("seal", Errno::INVAL),
            ("parameter", Errno::INVAL),
            ("unbind", Errno::NODEV),
        ],
        needs: Needs::Calls,
        in_processes: true,
    },
    Operation {
        name: "mmap",
        run: mmap,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: false,
    },
    Operation {
        name: "munmap",
        run: munmap,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: false,
    },
    Operation {
        name: "fault",
        run: fault,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: true,
    },
    Operation {
        name: "fork",
        run: fork,
        errors: &[],
        needs: Needs::Nothing,
        in_processes: false,
    },
];

/// While there is a buffer of it, nobody can have sealed a file against writing.
fn create(hand: &mut Hand<'_>) -> Outcome {
    let victim = hand.stage.victim();
    hand.pause.here();
    let buffer = hand.stage.device.create(victim.whole());
    let Some(buffer) = hand.may_fail(buffer)? else {
        return Ok(());
    };
    hand.pause.here();
    let sealed = victim.seals()?.contains(SealFlags::WRITE);
    check("a file that is in a buffer can be written", !sealed)?;
    drop(buffer);
    Ok(())
}

/// Another thread may be using the buffer at this moment.
fn close(hand: &mut Hand<'_>) -> Outcome {
    let buffer = hand.stage.buffer();
    if let Some(buffer) = hand.may_fail(buffer)? {
        hand.pause.here();
        hand.stage.replace(&buffer)?;
    }
    Ok(())
}

/// Whatever is mapped meanwhile, the answer has to be of one moment.
fn query(hand: &mut Hand<'_>) -> Outcome {
    let (device, buffer) = (&hand.stage.device, hand.either());
    let first = device.query(buffer)?;
    hand.pause.here();
    let second = device.query(&hand.stage.fixed)?;
    for query in [&first, &second] {
        let size = hand.stage.mapping.len() as u64;
        check(format_args!("{query:?}: the size"), query.size == size)?;
        let devices = query.cache + query.shadow + query.own_operations;
        let syncs = query.state & abi::UDMABUF_STATE_SYNCS != 0;
        check(format_args!("{query:?}: syncs"), syncs == (devices > 0))?;
        let costs = query.start_bytes + query.end_bytes;
        check(format_args!("{query:?}: costs"), syncs == (costs > 0))?;
    }
    hand.pause.here();
    device.features()?;
    Ok(())
}

/// A buffer that not every device gets; the first one may.
fn modes(hand: &mut Hand<'_>) -> Outcome {
    let victim = hand.stage.victim();
    let buffer = hand
        .stage
        .device
        .create_in(Mode::CpuCoherent, &[victim.whole()]);
    let Some(buffer) = hand.may_fail(buffer)? else {
        return Ok(());
    };
    hand.pause.here();
    if let Some(device) = hand.devices.first() {
        match device.attach(&buffer) {
            Err(Errno::OPNOTSUPP) => {}
            attachment => drop(hand.may_fail(attachment)?),
        }
    }
    let query = hand.stage.device.query(&buffer)?;
    check(
        format_args!("{query:?}: nothing to sync"),
        query.state == 0 && query.mode == Mode::CpuCoherent.number(),
    )
}

fn mmap(hand: &mut Hand<'_>) -> Outcome {
    let mapping = hand.either().map(Access::ReadWrite)?;
    hand.pause.here();
    hand.intact(&mapping)
}

/// In two parts, with pages that are there and others that are not.
fn munmap(hand: &mut Hand<'_>) -> Outcome {
    let mut mapping = hand.either().map(Access::ReadWrite)?;
    let len = mapping.len();
    for at in (0..len).step_by(2 * PAGE) {
        mapping.touch(at);
    }
    hand.pause.here();
    mapping.truncate(len / 2)?;
    hand.pause.here();
    mapping.touch_every_page();
    Ok(())
}

/// Both find the same pages of the same mapping missing.
fn fault(hand: &mut Hand<'_>) -> Outcome {
    if hand.pause.chance().bool() {
        hand.stage.map_again()?;
    }
    let mapping = hand.stage.fresh_mapping();
    for _ in 0..4 {
        let page = hand.pause.chance().usize(..mapping.len() / PAGE);
        hand.pause.here();
        mapping.touch(page * PAGE);
    }
    hand.intact(&mapping)
}

fn fork(hand: &mut Hand<'_>) -> Outcome {
    let child = Child::that_touches(&hand.stage.mapping)?;
    hand.pause.here();
    let status = child.wait()?;
    check("the child reads all pages", status.exit_status() == Some(0))
}
