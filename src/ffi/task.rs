// SPDX-License-Identifier: GPL-2.0

//! The task that is running.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/ptrace.h`](srctree/include/linux/ptrace.h)

use super::helpers;
use crate::accesses::{
    Process,
    Wrong, //
};
use kernel::{
    current,
    prelude::*, //
};

/// Its process.
pub(crate) fn process() -> Process {
    Process(current!().tgid())
}

/// Where it is in its program, in the address space of that.
pub(crate) fn user_instruction() -> usize {
    // SAFETY: A task has registers of its user space, which a kernel thread has never filled.
    unsafe { helpers::user_instruction_pointer() }
}

/// Says in the log what it does wrong with a buffer: seldom, for it may do so as often as it likes.
pub(crate) fn log_wrong(inode: u64, wrong: Wrong, offset: usize, instruction: usize) {
    let what = match wrong {
        Wrong::Outside => c"touches it outside of any bracket",
        Wrong::WritesInRead => c"writes in a bracket for reading",
        Wrong::NotBegun => c"END without START",
        Wrong::EndsAsOther => c"END of another access than START",
        Wrong::NotEnded => c"START without END",
    };
    // SAFETY: The text ends with a zero.
    unsafe { helpers::log_wrong(inode, what.as_char_ptr(), offset, instruction) };
}
