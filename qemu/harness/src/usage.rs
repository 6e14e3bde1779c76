// SPDX-License-Identifier: GPL-2.0

//! The error of asking for something that cannot be.

use std::fmt;

/// The caller asked for something impossible; the program then ends with exit code 2.
#[derive(Debug)]
pub struct Usage(pub String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Returns early with a [`Usage`] error.
macro_rules! refuse {
    ($($argument:tt)*) => {
        return Err($crate::usage::Usage(format!($($argument)*)).into())
    };
}
pub(crate) use refuse;
