// SPDX-License-Identifier: GPL-2.0

//! What the calling process may do.
//!
//! C header: [`include/linux/capability.h`](srctree/include/linux/capability.h)

use kernel::{
    bindings,
    ffi::c_int, //
};

/// Whether the caller may see and change any memory, as `/dev/mem` asks.
pub(crate) fn may_map_any_memory() -> bool {
    // SAFETY: Looks at the current task only. CAST: A small number.
    unsafe { bindings::capable(bindings::CAP_SYS_RAWIO as c_int) }
}
