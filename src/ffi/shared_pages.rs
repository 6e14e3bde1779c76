// SPDX-License-Identifier: GPL-2.0

//! The pages of a buffer, for whoever needs them after the callback that showed them.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

use super::folio::PinnedPages;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::bindings;

/// The pages of a buffer, and a reference to it: what a device may still access is not freed, even if
/// its driver has forgotten it.
///
/// # Invariants
///
/// Owns a reference to the buffer, and `pages` live as long as that does.
pub(crate) struct SharedPages {
    buf: NonNull<bindings::dma_buf>,
    pages: NonNull<PinnedPages>,
}

// SAFETY: A reference to a buffer may be dropped by any task, and the pages are of none.
unsafe impl Send for SharedPages {}
// SAFETY: Nothing changes through a shared reference.
unsafe impl Sync for SharedPages {}

impl SharedPages {
    /// # Safety
    ///
    /// `buf` is live, and `pages` live as long as it does.
    pub(super) unsafe fn new(buf: NonNull<bindings::dma_buf>, pages: &PinnedPages) -> Self {
        // SAFETY: A buffer has a file for all its life (`get_dma_buf()`).
        unsafe { bindings::get_file((*buf.as_ptr()).file) };
        // INVARIANT: The reference has just been taken.
        Self {
            buf,
            pages: NonNull::from(pages),
        }
    }
}

impl Deref for SharedPages {
    type Target = PinnedPages;

    fn deref(&self) -> &PinnedPages {
        // SAFETY: They live by the type invariant.
        unsafe { self.pages.as_ref() }
    }
}

impl Drop for SharedPages {
    fn drop(&mut self) {
        // As `get_file()` takes it. What `dma_buf_put()` does besides is for whoever imports; and this
        // may be called with the reservation lock held, for the last reference goes later, by itself.
        // SAFETY: The reference is owned, by the type invariant.
        unsafe { bindings::fput((*self.buf.as_ptr()).file) };
    }
}
