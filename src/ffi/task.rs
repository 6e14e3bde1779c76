// SPDX-License-Identifier: GPL-2.0

//! The task that is running.
//!
//! C headers: [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/ptrace.h`](srctree/include/linux/ptrace.h)

use super::helpers;
use crate::accesses::{
    Process,
    Site, //
};
use core::{
    iter,
    ptr::NonNull, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    bindings,
    current,
    error::from_err_ptr,
    mm::virt::VmaRef,
    prelude::*,
    str::CString, //
};

/// Its process.
pub(crate) fn process() -> Process {
    // `tgid()`, which 7.2 has not.
    // SAFETY: The current task is valid, and its process remains the same.
    Process(unsafe { (*current!().as_ptr()).tgid })
}

/// Its name, with zeros behind it.
fn name() -> [u8; 16] {
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

/// Where it is in its program.
pub(crate) fn site() -> Site {
    let instruction = user_instruction();
    Site {
        instruction,
        place: in_file(instruction, |_, place| place).unwrap_or(0),
        thread: current!().pid(),
        program: name(),
    }
}

/// The path of the file that `address` comes from, or as much of it as there is room for.
pub(crate) fn path_of(address: usize) -> Option<CString> {
    /// In bytes.
    const LONGEST: usize = 256;

    in_file(address, |file, _| {
        let mut room = KVec::from_elem(0u8, LONGEST, GFP_KERNEL | __GFP_NOWARN).ok()?;
        // CAST: A small number.
        let length = LONGEST as c_int;
        // SAFETY: The file is valid, says `in_file()`; there is as much room.
        let path = unsafe { bindings::file_path(file, room.as_mut_ptr().cast(), length) };
        let path = from_err_ptr(path).ok()?;
        // SAFETY: It lies in `room`, and ends with a zero.
        CString::try_from(unsafe { CStr::from_char_ptr(path) }).ok()
    })?
}

/// What `of` makes of where the task's `address` comes from: a file, which is valid meanwhile, and how
/// far from where its first byte is mapped, in bytes. For a program that may be loaded at any address,
/// the latter is the address in its ELF file. None if it is from nowhere, or its mappings are being
/// changed.
///
/// As `print_vma_addr()` in `mm/memory.c`. That writes to the log only, and has offsets in the file, from
/// which the addresses that linkers give differ.
fn in_file<T>(address: usize, of: impl FnOnce(*mut bindings::file, usize) -> T) -> Option<T> {
    /// Mappings from the start of a file to its code.
    const MOST: usize = 16;

    let task = current!();
    let mm = task.mm()?;
    let mappings = mm.mmap_read_trylock()?;
    let mapping = mappings.vma_lookup(address)?;
    // SAFETY: Mappings are valid as long as the lock is held, and do not change; here and below.
    let file = unsafe { (*mapping.as_ptr()).vm_file };
    if file.is_null() {
        return None;
    }
    let before = |start| {
        // SAFETY: As above.
        let mapping = NonNull::new(unsafe { helpers::vma_before(mm.as_raw(), start) })?;
        // SAFETY: As above.
        Some(unsafe { VmaRef::from_raw(mapping.as_ptr()) })
    };
    let first = iter::successors(Some(mapping), |mapping| before(mapping.start()))
        .take(MOST)
        // SAFETY: As above.
        .find(|one| unsafe { (*one.as_ptr()).vm_file == file && (*one.as_ptr()).vm_pgoff == 0 })?;
    Some(of(file, address - first.start()))
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
