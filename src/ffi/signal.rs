// SPDX-License-Identifier: GPL-2.0

//! Signals of the current task.
//!
//! C header: [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use super::helpers;
use kernel::{
    current,
    prelude::*, //
};

/// Lets long work end early when the calling process is being killed.
///
/// Other signals do not count: a request that they interrupted would have to be started again,
/// and the C driver has none that they interrupt.
///
/// # Errors
///
/// `EINTR`, which nobody gets to see.
pub(crate) fn check_killed() -> Result {
    // SAFETY: The current task is valid.
    match unsafe { helpers::fatal_signal_pending(current!().as_ptr()) } {
        0 => Ok(()),
        _ => Err(EINTR),
    }
}
