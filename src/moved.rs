// SPDX-License-Identifier: GPL-2.0

//! What hand-overs move.

use core::ops::AddAssign;

/// What a hand-over has done, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moved {
    /// Written back from caches, as many times as that was done.
    pub(crate) cleaned: usize,
    /// Written back and dropped.
    pub(crate) invalidated: usize,
    /// Copied from shadows to pages, for devices changed them.
    pub(crate) collected: usize,
    /// Copied from pages to shadows, for they changed there.
    pub(crate) published: usize,
}

impl AddAssign for Moved {
    fn add_assign(&mut self, more: Self) {
        self.cleaned += more.cleaned;
        self.invalidated += more.invalidated;
        self.collected += more.collected;
        self.published += more.published;
    }
}
