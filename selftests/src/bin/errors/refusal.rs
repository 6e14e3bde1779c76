// SPDX-License-Identifier: GPL-2.0

//! The check that all of these tests make.

use std::fmt::Display;

use selftests::Errno;
use selftests::Ledger;
use selftests::Outcome;
use selftests::outcome;

/// Fails unless the call is refused with exactly this error and leaves nothing behind.
#[track_caller]
pub fn refused<T>(
    what: impl Display,
    call: impl FnOnce() -> Result<T, Errno>,
    expected: Errno,
) -> Outcome {
    let before = Ledger::now()?;
    outcome::errno(&what, call(), expected)?;
    outcome::equal(format_args!("{what}, left behind"), Ledger::now()?, before)
}
