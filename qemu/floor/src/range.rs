// SPDX-License-Identifier: GPL-2.0

//! Ranges of a file, in bytes.

use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};

/// A range of a file: whole pages, at least one.
#[derive(Clone, Copy)]
pub(crate) struct FileRange {
    start: i64,
    end: i64,
}

impl FileRange {
    /// The `size` bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// `EINVAL` if these are no pages, parts of pages, or more than a file can have.
    pub(crate) fn new(offset: u64, size: u64) -> Result<Self> {
        const PAGE: u64 = PAGE_SIZE as u64;
        if size == 0 || offset % PAGE != 0 || size % PAGE != 0 {
            return Err(EINVAL);
        }
        let end = offset.checked_add(size).ok_or(EINVAL)?;
        Ok(Self {
            start: i64::try_from(offset).map_err(|_| EINVAL)?,
            end: i64::try_from(end).map_err(|_| EINVAL)?,
        })
    }

    /// Where it starts.
    pub(crate) fn start(&self) -> i64 {
        self.start
    }

    /// The offset of its last byte.
    pub(crate) fn last(&self) -> i64 {
        self.end - 1
    }

    /// What is left of it behind its first `bytes` bytes, whole pages; [`None`] if nothing is.
    pub(crate) fn behind(&self, bytes: i64) -> Option<Self> {
        let start = self.start.checked_add(bytes)?;
        (start < self.end).then_some(Self { start, ..*self })
    }
}
