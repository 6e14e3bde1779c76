// SPDX-License-Identifier: GPL-2.0

//! Functions of a module that need not be there.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use core::{
    ffi::CStr,
    mem::transmute_copy, //
};

use kernel::{
    bindings,
    ffi::c_void,
    prelude::*, //
};

use super::errno::eopnotsupp;

/// A function that a module exports to those under the GPL. While this exists, the module stays.
///
/// # Invariants
///
/// `function` is what is exported as `name`, and the value owns one reference to its module.
pub(super) struct Symbol<F: Copy> {
    function: F,
    name: &'static CStr,
}

impl<F: Copy> Symbol<F> {
    const IS_A_POINTER: () = assert!(size_of::<F>() == size_of::<*mut c_void>());

    /// What is exported as `name`. Fails with `EOPNOTSUPP` if nothing is.
    ///
    /// # Safety
    ///
    /// `F` must be a function pointer, of the type of what anybody exports as `name`.
    pub(super) unsafe fn get(name: &'static CStr) -> Result<Self> {
        const { Self::IS_A_POINTER };
        // SAFETY: A NUL-terminated string.
        let address = unsafe { bindings::__symbol_get(name.as_char_ptr()) };
        if address.is_null() {
            return Err(eopnotsupp());
        }
        // SAFETY: The sizes are the same, and by the safety requirement so is what they mean.
        let function = unsafe { transmute_copy::<*mut c_void, F>(&address) };
        // INVARIANT: The reference was taken just now.
        Ok(Self { function, name })
    }

    /// The function, which is not to be called once `self` is gone.
    pub(super) fn function(&self) -> F {
        self.function
    }
}

impl<F: Copy> Drop for Symbol<F> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the reference is ours, and it is not used again.
        unsafe { bindings::__symbol_put(self.name.as_char_ptr()) };
    }
}
