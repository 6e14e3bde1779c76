// SPDX-License-Identifier: GPL-2.0

//! The reservation object of a dma-buf: its lock, which dma-buf core holds around some of an
//! exporter's callbacks, and its fences, for what devices have not finished yet.
//!
//! C header: [`include/linux/dma-resv.h`](srctree/include/linux/dma-resv.h); which callbacks:
//! "DOC: locking convention" in `drivers/dma-buf/dma-buf.c`.

use super::helpers;
use crate::direction::Direction;
use core::marker::PhantomData;
use kernel::{
    bindings,
    prelude::*,
    types::NotThreadSafe, //
};

/// Proof that the caller holds a buffer's reservation lock; it does not unlock it.
///
/// # Invariants
///
/// The current task holds the lock for all of `'a`.
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
        if cfg!(CONFIG_LOCKDEP) {
            // SAFETY: `resv` is valid.
            unsafe { helpers::dma_resv_assert_held(resv) };
        }
        // INVARIANT: Says the caller.
        Self {
            _lock: PhantomData,
            _not_send: NotThreadSafe,
        }
    }
}

/// The fences of a buffer whose reservation lock the caller does not hold.
///
/// # Invariants
///
/// The reservation object is valid.
pub(crate) struct Fences<'a> {
    resv: *mut bindings::dma_resv,
    _resv: PhantomData<&'a bindings::dma_resv>,
}

impl Fences<'_> {
    /// # Safety
    ///
    /// `resv` is valid for all of `'_`.
    pub(super) unsafe fn of(resv: *mut bindings::dma_resv) -> Self {
        // INVARIANT: Says the caller.
        Self {
            resv,
            _resv: PhantomData,
        }
    }

    /// Waits for the devices that stand in the way of an `access` by the CPU: for all before it
    /// writes, for those that write before it reads.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS` if a signal arrives first.
    pub(crate) fn wait(&self, access: Direction) -> Result {
        const FOR_EVER: usize = isize::MAX as usize;
        let usage = Self::usage(access);
        // SAFETY: The reservation object is valid by the type invariant.
        let left = unsafe { bindings::dma_resv_wait_timeout(self.resv, usage, true, FOR_EVER) };
        match left {
            // CAST: An errno.
            error if error < 0 => Err(Error::from_errno(error as i32)),
            _ => Ok(()),
        }
    }
    /// Whether [`wait`](Self::wait) would wait for nobody.
    pub(crate) fn are_signaled(&self, access: Direction) -> bool {
        // SAFETY: The reservation object is valid by the type invariant.
        unsafe { bindings::dma_resv_test_signaled(self.resv, Self::usage(access)) }
    }

    /// Whose fences are in the way (`dma_resv_usage_rw()`).
    fn usage(access: Direction) -> bindings::dma_resv_usage {
        match access.has_to_device() {
            true => bindings::dma_resv_usage_DMA_RESV_USAGE_READ,
            false => bindings::dma_resv_usage_DMA_RESV_USAGE_WRITE,
        }
    }
}
