// SPDX-License-Identifier: GPL-2.0

//! The task that is running.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/ptrace.h`](srctree/include/linux/ptrace.h)

use super::helpers;
use crate::accesses::Process;
use kernel::{
    bindings,
    current,
    prelude::*, //
};

/// Its process.
pub(crate) fn process() -> Process {
    Process(current!().tgid())
}

/// Its own number.
pub(crate) fn thread() -> i32 {
    current!().pid()
}

/// Its name, with zeros behind it.
pub(crate) fn name() -> [u8; 16] {
    let mut name = [0; 16];
    // SAFETY: A name has as many bytes, the last of them zero.
    unsafe { helpers::get_current_name(name.as_mut_ptr().cast()) };
    name
}

/// Where it is in its program, in the address space of that.
pub(crate) fn user_instruction() -> usize {
    // SAFETY: A task has registers of its user space, which a kernel thread has never filled.
    unsafe { helpers::user_instruction_pointer() }
}

/// Whether it is ending.
pub(crate) fn is_exiting() -> bool {
    // SAFETY: The current task is valid, and changes its own flags alone.
    let flags = unsafe { (*current!().as_ptr()).flags };
    flags & bindings::PF_EXITING != 0
}

/// Writes a line to the log, seldom: a program can do something wrong as often as it likes.
pub(crate) fn log_wrong(line: &CStr) {
    // SAFETY: The text ends with a zero.
    unsafe { helpers::log_wrong(line.as_char_ptr()) };
}
