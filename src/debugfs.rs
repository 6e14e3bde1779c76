// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/udmabuf_rs/`.

use crate::{
    ffi::debugfs::Directory,
    stats::STATS, //
};

/// The directory with its only file, `stats`; both go away on drop.
pub(crate) fn statistics() -> Directory {
    Directory::with_file(c"udmabuf_rs", c"stats", &STATS)
}
