// SPDX-License-Identifier: GPL-2.0

//! Something that is everybody's, of which all together get so much and no more.
//!
//! Who does not fit has added nothing, not even for a moment: else somebody who does fit could be
//! refused because of somebody who does not.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};

/// Takes `n` of what `taken` counts, of which all together get `most`.
///
/// # Errors
///
/// `ENOMEM` if that is more than there is left.
pub(crate) fn take(taken: &Atomic<i64>, n: i64, most: i64) -> Result {
    let mut before = taken.load(Relaxed);
    loop {
        let after = before.checked_add(n).ok_or(ENOMEM)?;
        if after > most {
            return Err(ENOMEM);
        }
        match taken.cmpxchg(before, after, Relaxed) {
            Ok(_) => return Ok(()),
            Err(other) => before = other,
        }
    }
}

/// Gives back `n` of what was taken.
pub(crate) fn give_back(taken: &Atomic<i64>, n: i64) {
    taken.fetch_sub(n, Relaxed);
}
