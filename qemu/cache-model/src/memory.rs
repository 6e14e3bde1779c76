// SPDX-License-Identifier: GPL-2.0

//! Reads the guest's memory.
//!
//! The crate has a function for this, but it gives QEMU a `GByteArray` of its own making, which
//! is shorter than what GLib takes it for. So this is done by hand, the one place with unsafe code.

use std::ffi::c_int;

use qemu_plugin::sys::{GByteArray, qemu_plugin_read_memory_vaddr};

/// Bytes of a page table entry.
const WORD: usize = 8;

// GLib is part of QEMU.
unsafe extern "C" {
    fn g_byte_array_new() -> *mut GByteArray;
    fn g_byte_array_free(array: *mut GByteArray, free_segment: c_int) -> *mut u8;
}

/// An array of GLib's.
///
/// # Invariants
///
/// The pointer is to a valid array that nobody else has.
struct Bytes(*mut GByteArray);

impl Bytes {
    fn new() -> Self {
        // SAFETY: It has no preconditions; GLib aborts when it has no memory.
        let array = unsafe { g_byte_array_new() };
        // INVARIANT: It was made just now.
        Bytes(array)
    }

    fn word(&self) -> Option<u64> {
        // SAFETY: By the type invariant the array is valid, and nobody changes it meanwhile.
        let array = unsafe { &*self.0 };
        if array.data.is_null() || (array.len as usize) < WORD {
            return None;
        }
        // SAFETY: A valid array has `len` bytes at `data`, which were checked to be enough.
        Some(u64::from_le_bytes(unsafe {
            array.data.cast::<[u8; WORD]>().read()
        }))
    }
}

impl Drop for Bytes {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the array is valid, and nobody uses it after this.
        unsafe { g_byte_array_free(self.0, 1) };
    }
}

/// The eight bytes at a virtual address of the CPU whose callback runs, if it can read them now.
pub fn read(address: u64) -> Option<u64> {
    let bytes = Bytes::new();
    // SAFETY: The array is valid by its type invariant, and QEMU makes it as long as it is told.
    let read = unsafe { qemu_plugin_read_memory_vaddr(address, bytes.0, WORD) };
    if read { bytes.word() } else { None }
}
