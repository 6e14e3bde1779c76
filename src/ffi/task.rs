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

/// Where it is in its program, and from which file that is.
pub(crate) fn site() -> (Site, Option<CString>) {
    let instruction = user_instruction();
    let (place, path) = place_of(instruction).unzip();
    let place = place.unwrap_or(0);
    let site = Site {
        instruction,
        place,
        thread: current!().pid(),
        program: name(),
    };
    (site, path)
}

/// Where the task's `address` comes from: how far from where the first byte of a file is mapped, in bytes,
/// and the file's path. For a program that may be loaded at any address, the first is the address in its
/// ELF file. None if it is from nowhere, or its mappings are being changed.
///
/// As `print_vma_addr()` in `mm/memory.c`. That writes to the log only, and has offsets in the file, from
/// which the addresses that linkers give differ.
fn place_of(address: usize) -> Option<(usize, CString)> {
    /// Of a path, in bytes.
    const LONGEST: usize = 256;
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
    let mut room = KVec::from_elem(0u8, LONGEST, GFP_KERNEL | __GFP_NOWARN).ok()?;
    // CAST: A small number.
    let length = LONGEST as c_int;
    // SAFETY: The mapping has a reference to the file; there is as much room.
    let path = unsafe { bindings::file_path(file, room.as_mut_ptr().cast(), length) };
    let path = from_err_ptr(path).ok()?;
    // SAFETY: It lies in `room`, and ends with a zero.
    let path = unsafe { CStr::from_char_ptr(path) };
    Some((address - first.start(), CString::try_from(path).ok()?))
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
