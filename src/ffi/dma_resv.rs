// SPDX-License-Identifier: GPL-2.0

//! The reservation lock, which dma-buf core holds around some of an exporter's callbacks.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h); which callbacks:
//! "DOC: locking convention" in `drivers/dma-buf/dma-buf.c`.

use super::helpers;
use core::marker::PhantomData;
use kernel::{
    bindings,
    types::NotThreadSafe, //
};

/// Proof that the caller holds a buffer's reservation lock; it does not unlock it.
pub(crate) struct Held<'a> {
    _lock: PhantomData<&'a bindings::dma_resv>,
    _not_send: NotThreadSafe,
}

impl Held<'_> {
    /// Checked by lockdep where that is on.
    ///
    /// # Safety
    ///
    /// `resv` is valid, and locked by the current task for all of `'_`.
    pub(super) unsafe fn assume(resv: *mut bindings::dma_resv) -> Self {
        // SAFETY: `resv` is valid.
        unsafe { helpers::dma_resv_assert_held(resv) };
        Self {
            _lock: PhantomData,
            _not_send: NotThreadSafe,
        }
    }
}
