// SPDX-License-Identifier: GPL-2.0

//! A file in debugfs that keeps its module loaded while it is open.
//!
//! C header: [`include/linux/debugfs.h`](srctree/include/linux/debugfs.h)
//!
//! Those of the kernel crate have no owner, and whoever closes one when the module is gone looks for its
//! operations where the module was (`full_proxy_release()` in `fs/debugfs/file.c`).

#![cfg_attr(not(CONFIG_DEBUG_FS), allow(dead_code))]

use super::compat::THIS_MODULE;
use core::{
    marker::PhantomData,
    ptr, //
};
use kernel::{
    bindings,
    debugfs::Writer,
    fmt,
    prelude::*,
    seq_file::SeqFile,
    seq_print, //
};

/// A directory with files, each of which shows a value; all go away on drop.
///
/// # Invariants
///
/// What `debugfs_create_dir()` returned, be it an error, or null: debugfs takes those as well.
pub(crate) struct Directory(*mut bindings::dentry);

// SAFETY: A directory belongs to no thread.
unsafe impl Send for Directory {}
// SAFETY: There is nothing that could be done with a shared reference.
unsafe impl Sync for Directory {}

impl Directory {
    /// A kernel without debugfs.
    #[cfg(not(CONFIG_DEBUG_FS))]
    pub(crate) fn new(_: &CStr) -> Self {
        // INVARIANT: There is no directory, which debugfs takes as well.
        Self(ptr::null_mut())
    }

    /// Never fails: what cannot be shown is not missed.
    #[cfg(CONFIG_DEBUG_FS)]
    pub(crate) fn new(name: &CStr) -> Self {
        // SAFETY: The name is a C string; without a parent the directory is debugfs's own.
        let entry = unsafe { bindings::debugfs_create_dir(name.as_char_ptr(), ptr::null_mut()) };
        // INVARIANT: It has just been made, or not.
        Self(entry)
    }

    /// A kernel without debugfs.
    #[cfg(not(CONFIG_DEBUG_FS))]
    pub(crate) fn add<T: Writer + Sync>(&self, _: &CStr, _: &'static T) {}

    /// As [`new`](Self::new).
    #[cfg(CONFIG_DEBUG_FS)]
    pub(crate) fn add<T: Writer + Sync>(&self, file: &CStr, value: &'static T) {
        // SAFETY: Name and operations are valid; the value, of the type that they expect, stays.
        unsafe {
            bindings::debugfs_create_file_full(
                file.as_char_ptr(),
                0o400,
                self.0,
                ptr::from_ref(value).cast_mut().cast(),
                ptr::null(),
                &Operations::<T>::OPERATIONS,
            )
        };
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        #[cfg(CONFIG_DEBUG_FS)]
        // SAFETY: By the type invariant. It waits for who is reading, and later reads fail.
        unsafe {
            bindings::debugfs_remove(self.0)
        };
    }
}

/// What a file that shows a `T` does.
struct Operations<T>(PhantomData<T>);

impl<T: Writer + Sync> Operations<T> {
    const OPERATIONS: bindings::file_operations = bindings::file_operations {
        owner: THIS_MODULE,
        open: Some(Self::open),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// Called by debugfs for a file that was made with [`OPERATIONS`](Self::OPERATIONS).
    unsafe extern "C" fn open(inode: *mut bindings::inode, file: *mut bindings::file) -> c_int {
        // SAFETY: The inode is valid; its data are those that the file was made with.
        let value = unsafe { (*inode).i_private };
        // SAFETY: The file is being opened.
        unsafe { bindings::single_open(file, Some(Self::show), value) }
    }

    /// # Safety
    ///
    /// Called for a file that [`open`](Self::open) has opened.
    unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
        // SAFETY: The file is valid, and `open` put a pointer to a `T` there, which stays.
        let value = unsafe { &*(*seq).private.cast::<T>() };
        // SAFETY: The file is valid, and nobody else uses it while it is being read.
        let seq = unsafe { SeqFile::from_raw(seq) };
        seq_print!(seq, "{}", Text(value));
        0
    }
}

/// What a value writes, as text.
struct Text<'a, T>(&'a T);

impl<T: Writer> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(f)
    }
}
