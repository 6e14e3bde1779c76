// SPDX-License-Identifier: GPL-2.0

//! A step of a test that may never end, such as an access that faults again and again.

use crate::Outcome;
use crate::kmsg::Kmsg;
use crate::limit::Limit;
use crate::outcome::equal;
use crate::outcome::fail;
use crate::sys::fork::Child;

/// How long a step may take, after which it counts as one that never ends.
const LIMIT: Limit = Limit::seconds(5);

/// What a child returns that has done this; it prints what went wrong.
pub fn exit_code(what: &str, body: impl FnOnce() -> Outcome) -> i32 {
    match body() {
        Ok(()) => 0,
        Err(stop) => {
            println!("{what}: {stop}");
            1
        }
    }
}

/// Runs a step in a child of its own, which has to succeed in time and in silence of the kernel.
///
/// # Errors
///
/// What went wrong in the child is printed by it. The step is said to have failed when the child does
/// not end, does not succeed, or makes the kernel complain.
pub fn in_child(what: &str, body: impl FnOnce() -> Outcome) -> Outcome {
    let limit = LIMIT.here()?;
    let mut kmsg = Kmsg::watch()?;
    let child = Child::run(|| exit_code(what, body))?;
    let Some(status) = child.wait_within(limit)? else {
        return fail(format_args!("{what}: not done after {} s", limit.as_secs()));
    };
    equal(
        format_args!("{what}: complaints of the kernel"),
        kmsg.complaints()?,
        Vec::new(),
    )?;
    equal(
        format_args!("{what}: signal"),
        status.terminating_signal(),
        None,
    )?;
    equal(
        format_args!("{what}: exit code"),
        status.exit_status(),
        Some(0),
    )
}
