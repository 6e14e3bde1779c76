// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate of Linux 7.2 lacks or has otherwise than that of 7.3, in terms that both know.
//!
//! No code depends on the version, so that what is tested on one kernel is what runs on the other.
//! Elsewhere, for the same reason:
//!
//! - [`misc::Registration`](super::misc::Registration) sets an `owner`, which
//!   `MiscDeviceRegistration` of 7.2 does not;
//! - a mapping's being shared is asked of C (`vma_is_shared`), since `flags::MAYSHARE` of 7.2 is
//!   `VM_MAYEXEC`;
//! - `enum dma_data_direction` is made and compared by way of `DataDirection` only: for bindgen it is
//!   an integer in 7.2, and a type of its own in 7.3.

use kernel::{
    bindings,
    error::Error,
    ffi::c_int,
    types::Opaque, //
};

/// This module: `THIS_MODULE` in C.
///
/// The `module!` macro of 7.2 has it in a static, that of 7.3 in a trait.
pub(super) const THIS_MODULE: *mut bindings::module = {
    // Whether C structures have empty members depends on the configuration.
    #[allow(improper_ctypes)]
    extern "C" {
        static __this_module: Opaque<bindings::module>;
    }
    // SAFETY: Every module has one, which the build makes; nothing is read here.
    unsafe { __this_module.get() }
};

/// `EBADFD`, which 7.2 does not name.
pub(super) fn ebadfd() -> Error {
    Error::from_errno(-(bindings::EBADFD as c_int))
}

/// `EOPNOTSUPP`, which 7.2 does not name.
pub(crate) fn eopnotsupp() -> Error {
    Error::from_errno(-(bindings::EOPNOTSUPP as c_int))
}

/// Loads before it come before those behind it, as seen by other CPUs: `smp_mb(Read)` in 7.3.
#[inline]
pub(super) fn smp_rmb() {
    // SAFETY: Orders memory accesses, and does nothing else.
    unsafe { bindings::smp_rmb() };
}

/// A full barrier between CPUs: `smp_mb(Full)` in 7.3.
#[inline]
pub(crate) fn smp_mb() {
    // SAFETY: Orders memory accesses, and does nothing else.
    unsafe { bindings::smp_mb() };
}
