// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/udmabuf_rs/`.

use crate::stats::{
    Stats,
    STATS, //
};
use kernel::{
    debugfs::{
        Dir,
        File, //
    },
    prelude::*, //
};

/// The directory and its only file, `stats`; both go away on drop.
#[pin_data]
pub(crate) struct Statistics {
    #[pin]
    _stats: File<&'static Stats>,
    _dir: Dir,
}

impl Statistics {
    /// Never fails: without debugfs there is no directory.
    pub(crate) fn new() -> impl PinInit<Self, Error> {
        let dir = Dir::new(c"udmabuf_rs");
        try_pin_init!(Self {
            _stats <- dir.read_only_file(c"stats", &STATS),
            _dir: dir,
        })
    }
}
