// SPDX-License-Identifier: GPL-2.0

//! The task that is running.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/ptrace.h`](srctree/include/linux/ptrace.h)

use super::helpers;
use crate::accesses::Process;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    bindings,
    current,
    error::from_err_ptr,
    page::PAGE_SHIFT,
    prelude::*,
    str::CString, //
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

/// A place in a file that is mapped into an address space.
pub(crate) struct Place {
    /// Its path, or as much of it as there was room for.
    pub(crate) path: CString,
    /// In bytes.
    pub(crate) offset: usize,
}

/// Where the task's `address` comes from; none if that is nowhere, or its mappings are being changed.
///
/// As `print_vma_addr()` in `mm/memory.c`, which writes to the log only.
pub(crate) fn place_of(address: usize) -> Option<Place> {
    const LONGEST: usize = 256;

    let task = current!();
    let mappings = task.mm()?.mmap_read_trylock()?;
    let mapping = mappings.vma_lookup(address)?;
    // SAFETY: The mapping is valid as long as the lock is held, and does not change.
    let (file, first) = unsafe { ((*mapping.as_ptr()).vm_file, (*mapping.as_ptr()).vm_pgoff) };
    if file.is_null() {
        return None;
    }
    let mut room = KVec::from_elem(0u8, LONGEST, GFP_KERNEL | __GFP_NOWARN).ok()?;
    // CAST: A small number.
    let length = LONGEST as c_int;
    // SAFETY: The mapping has a reference to the file; there is as much room.
    let path = unsafe { bindings::file_path(file, room.as_mut_ptr().cast(), length) };
    let path = from_err_ptr(path).ok()?;
    // SAFETY: It lies in `room`, and ends with a zero.
    let path = unsafe { CStr::from_char_ptr(path) };
    Some(Place {
        path: CString::try_from(path).ok()?,
        offset: (first << PAGE_SHIFT) + (address - mapping.start()),
    })
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
