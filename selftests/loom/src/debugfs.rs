// SPDX-License-Identifier: GPL-2.0

//! Files that the kernel shows.

use std::fmt;

/// What a file says.
pub trait Writer {
    /// Writes it.
    ///
    /// # Errors
    ///
    /// Those of the formatter.
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
}
