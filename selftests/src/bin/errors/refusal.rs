// SPDX-License-Identifier: GPL-2.0

//! The check that all of these tests make.

use std::fmt::Display;

use selftests::Errno;
use selftests::Ledger;
use selftests::Outcome;
use selftests::outcome;
use selftests::statistics;

/// Fails unless the call is refused with exactly this error and leaves nothing behind.
#[track_caller]
pub fn refused<T>(
    what: impl Display,
    call: impl FnOnce() -> Result<T, Errno>,
    expected: Errno,
) -> Outcome {
    let before = (Ledger::now()?, statistics::counter("created")?);
    outcome::errno(&what, call(), expected)?;
    let after = (Ledger::now()?, statistics::counter("created")?);
    outcome::equal(
        format_args!("{what}, left behind, and made so far"),
        after,
        before,
    )
}
