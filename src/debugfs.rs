// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/udmabuf_rs/`.

use crate::{
    ffi::{
        debugfs::Directory,
        reports::Lines, //
    },
    stats::STATS, //
};

/// The directory and its files, which go away on drop: `stats`, and `wrong`, what the checker said.
pub(crate) fn directory() -> Directory {
    let directory = Directory::new(c"udmabuf_rs");
    directory.add(c"stats", &STATS);
    directory.add(c"wrong", &Lines);
    directory
}
