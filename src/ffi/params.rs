// SPDX-License-Identifier: GPL-2.0

//! The module parameters of `params.c`.

use crate::limits::Limits;
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

extern "C" {
    static udmabuf_rs_list_limit: Atomic<u32>;
    static udmabuf_rs_size_limit_mb: Atomic<u32>;
    static udmabuf_rs_memlock: Atomic<bool>;
    static udmabuf_rs_check: Atomic<u32>;
    static udmabuf_rs_node: *const c_char;
}

/// The limits as they are now.
pub(crate) fn limits() -> Limits {
    // SAFETY: `params.c` defines it as an `unsigned int`, which `Atomic<u32>` is laid out like;
    // the kernel writes it with one store (`param_set_uint()`).
    let list = unsafe { &udmabuf_rs_list_limit };
    // SAFETY: As above.
    let size_mb = unsafe { &udmabuf_rs_size_limit_mb };
    // SAFETY: As above, for a `bool` (`param_set_bool()`).
    let memlock = unsafe { &udmabuf_rs_memlock };
    Limits {
        list: list.load(Relaxed),
        size_mb: size_mb.load(Relaxed),
        memlock: memlock.load(Relaxed),
    }
}

/// How new buffers are checked, see [`Check`](crate::checker::Check).
pub(crate) fn check() -> u32 {
    // SAFETY: As in `limits()`.
    unsafe { &udmabuf_rs_check }.load(Relaxed)
}

/// What the node in `/dev` is to be called. Asked for while the module is loaded, which the parameter
/// is not changed after.
pub(crate) fn node() -> &'static CStr {
    // SAFETY: `params.c` defines it, and the kernel has set it before the module's init function is
    // called (`parse_args()`).
    let node = unsafe { udmabuf_rs_node };
    // SAFETY: A string of `params.c`, or one that the kernel keeps as long as the module
    // (`param_set_charp()`).
    unsafe { CStr::from_char_ptr(node) }
}
