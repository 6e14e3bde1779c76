// SPDX-License-Identifier: GPL-2.0

//! Operations on the driver as a whole.

use std::fs;

use rustix::fs::OFlags;
use rustix::system;

use selftests::Errno;
use selftests::Outcome;
use selftests::bufinfo;
use selftests::driver::Driver;
use selftests::held::EXPORTER;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::statistics;

use crate::operation::Needs;
use crate::operation::Operation;
use crate::stage::Hand;

/// Each parameter with a value that changes what a request may do, and the one that there is.
const PARAMETERS: [(&str, &str, &str); 3] = [
    ("size_limit_mb", "0", "2147483647"),
    ("list_limit", "0", "16384"),
    ("memlock", "Y", "N"),
];

pub const OPERATIONS: &[Operation] = &[
    Operation {
        name: "parameter",
        run: parameter,
        errors: &[],
        needs: Needs::Module,
        in_processes: false,
    },
    Operation {
        name: "statistics",
        run: read_statistics,
        errors: &[],
        needs: Needs::Module,
        in_processes: false,
    },
    Operation {
        name: "unload",
        run: unload,
        errors: &[],
        needs: Needs::Module,
        in_processes: false,
    },
];

fn parameter(hand: &mut Hand<'_>) -> Outcome {
    let (name, other, usual) = PARAMETERS[hand.pause.chance().usize(..PARAMETERS.len())];
    let parameter = Driver::Rust.parameter(name);
    fs::write(parameter.path(), other)?;
    hand.pause.here();
    fs::write(parameter.path(), usual)?;
    Ok(())
}

/// What everybody may ask at any time is never less than what this program has, nor much more.
fn read_statistics(hand: &mut Hand<'_>) -> Outcome {
    let buffers = statistics::counter("buffers")?.unwrap_or(0);
    check(
        "there are two buffers and a few",
        (2..100).contains(&buffers),
    )?;
    hand.pause.here();
    equal("exporter", hand.either().exporter()?, EXPORTER.to_owned())?;
    hand.pause.here();
    check("the kernel knows two buffers", bufinfo::count()? >= 2)
}

/// As rmmod, while there are buffers.
fn unload(hand: &mut Hand<'_>) -> Outcome {
    hand.pause.here();
    let result = system::delete_module(c"udmabuf_rs", OFlags::NONBLOCK.bits() as i32);
    errno("a driver that is needed", result, Errno::AGAIN)
}
