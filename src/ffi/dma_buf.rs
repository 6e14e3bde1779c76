// SPDX-License-Identifier: GPL-2.0

//! dma-bufs, of whatever exporter.
//!
//! - [`DmaBuf`]: a counted reference.
//! - [`Buffer`]: a buffer that is borrowed, and what it is made of; an exporter's callbacks get it.
//! - [`Kept`]: a counted reference by which the memory outlives a callback.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

use super::{
    dma_resv::Fences,
    vma::UserMappings, //
};
use crate::span::Span;
use core::{
    mem,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    fs::file::FileDescriptorReservation,
    page::PAGE_SHIFT,
    prelude::*, //
};

/// A buffer of `memory` while somebody holds it.
///
/// # Invariants
///
/// The buffer is live for all of `'a`, and `memory` is its own.
pub(crate) struct Buffer<'a, M> {
    raw: NonNull<bindings::dma_buf>,
    memory: &'a M,
}

impl<M> Clone for Buffer<'_, M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Buffer<'_, M> {}

impl<'a, M> Buffer<'a, M> {
    /// # Safety
    ///
    /// The buffer is live for all of `'a`, and `memory` is its own.
    pub(super) unsafe fn new(raw: *mut bindings::dma_buf, memory: &'a M) -> Self {
        // SAFETY: What is live is somewhere.
        let raw = unsafe { NonNull::new_unchecked(raw) };
        // INVARIANT: Says the caller.
        Self { raw, memory }
    }

    /// What it is made of.
    pub(crate) fn memory(self) -> &'a M {
        self.memory
    }

    /// The same, for whoever needs it longer.
    pub(crate) fn keep(self) -> Kept<M> {
        // SAFETY: A buffer has a file for all its life (`get_dma_buf()`).
        unsafe { bindings::get_file((*self.raw.as_ptr()).file) };
        // INVARIANT: The reference has just been taken.
        Kept {
            buf: self.raw,
            memory: NonNull::from(self.memory),
        }
    }

    /// Takes back what [`keep`](Self::keep) returned, and was forgotten.
    ///
    /// # Safety
    ///
    /// That happened once more than this.
    pub(super) unsafe fn kept(self) -> Kept<M> {
        // INVARIANT: The reference is the one that was forgotten.
        Kept {
            buf: self.raw,
            memory: NonNull::from(self.memory),
        }
    }

    /// All of it.
    pub(crate) fn whole(self) -> Span {
        // SAFETY: By the type invariant; the size does not change.
        Span::whole(unsafe { (*self.raw.as_ptr()).size } >> PAGE_SHIFT)
    }

    /// Its inode, by which user space tells buffers apart.
    pub(crate) fn inode(self) -> u64 {
        // SAFETY: By the type invariant, and a buffer has a file, which has an inode.
        unsafe { (*(*(*self.raw.as_ptr()).file).f_inode).i_ino }
    }

    /// What devices have not finished yet.
    pub(crate) fn fences(self) -> Fences<'a> {
        // SAFETY: By the type invariant; a buffer has a reservation object for all its life.
        unsafe { Fences::of((*self.raw.as_ptr()).resv) }
    }

    /// The user mappings of it, whoever has them.
    pub(crate) fn users(self) -> UserMappings<'a> {
        // SAFETY: By the type invariant; a buffer has a file for all its life.
        unsafe { UserMappings::of((*self.raw.as_ptr()).file) }
    }
}

/// What a buffer is made of, and a reference to it: what a device may still access is not freed, even
/// if its driver has forgotten it.
///
/// # Invariants
///
/// Owns a reference to the buffer, and `memory` lives as long as that does.
pub(crate) struct Kept<M> {
    buf: NonNull<bindings::dma_buf>,
    memory: NonNull<M>,
}

// SAFETY: A reference may be dropped by any task, and with the last one the memory is; until then it is
// shared with others.
unsafe impl<M: Send + Sync> Send for Kept<M> {}
// SAFETY: It only shows the memory.
unsafe impl<M: Sync> Sync for Kept<M> {}

impl<M> Deref for Kept<M> {
    type Target = M;

    fn deref(&self) -> &M {
        // SAFETY: It lives by the type invariant.
        unsafe { self.memory.as_ref() }
    }
}

impl<M> Drop for Kept<M> {
    fn drop(&mut self) {
        // As `get_file()` takes it. What `dma_buf_put()` does besides is for whoever imports; and this
        // may be called with the reservation lock held, for the last reference goes later, by itself.
        // SAFETY: The reference is owned, by the type invariant.
        unsafe { bindings::fput((*self.buf.as_ptr()).file) };
    }
}

/// A dma-buf, of whatever exporter.
///
/// # Invariants
///
/// Owns a reference to the buffer.
pub(crate) struct DmaBuf(NonNull<bindings::dma_buf>);

impl DmaBuf {
    /// What core returned: a buffer, or an error.
    ///
    /// # Safety
    ///
    /// With a buffer comes a reference, which nobody else has.
    pub(super) unsafe fn from_raw(buf: *mut bindings::dma_buf) -> Result<Self> {
        // INVARIANT: The reference is ours, says the caller. Core never returns null.
        NonNull::new(from_err_ptr(buf)?).map(Self).ok_or(EINVAL)
    }

    pub(super) fn as_raw(&self) -> *mut bindings::dma_buf {
        self.0.as_ptr()
    }

    /// The buffer behind a descriptor of the current process.
    ///
    /// # Errors
    ///
    /// `EBADF` if there is none, `EINVAL` if it is of something else.
    pub(crate) fn get(fd: i32) -> Result<Self> {
        // SAFETY: Any number may be asked for.
        let buf = unsafe { bindings::dma_buf_get(fd) };
        // SAFETY: The reference that is returned is our own.
        unsafe { Self::from_raw(buf) }
    }

    /// Publishes the buffer as the reserved descriptor, and returns its number. Cannot fail.
    pub(crate) fn install(self, reservation: FileDescriptorReservation) -> u32 {
        let fd = reservation.reserved_fd();
        // SAFETY: The descriptor is reserved by the current task, and the reference to the buffer
        // is ours to pass on.
        unsafe { bindings::dma_buf_fd_install(self.as_raw(), fd as c_int) };
        // Both are consumed.
        mem::forget(reservation);
        mem::forget(self);
        fd
    }
}

impl Drop for DmaBuf {
    fn drop(&mut self) {
        // SAFETY: The reference is owned, by the type invariant.
        unsafe { bindings::dma_buf_put(self.as_raw()) };
    }
}
