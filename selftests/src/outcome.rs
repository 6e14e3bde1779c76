// SPDX-License-Identifier: GPL-2.0

//! How a test ends, and the checks that end it.

use std::fmt;
use std::io;
use std::panic::Location;

use rustix::io::Errno;

use crate::pattern::Mismatch;

/// What a test returns: nothing, or why it stopped.
pub type Outcome<T = ()> = Result<T, Stop>;

/// Why a test stopped early.
#[derive(Debug)]
pub enum Stop {
    /// Something is not as it should be.
    Fail(String),
    /// The environment lacks what the test needs.
    Skip(String),
}

impl Stop {
    #[track_caller]
    fn fail(why: impl fmt::Display) -> Stop {
        let place = Location::caller();
        Stop::Fail(format!("{}:{}: {why}", place.file(), place.line()))
    }
}

/// Ends a test that lacks something; `what` names it.
///
/// # Errors
///
/// Always.
pub fn skip<T>(what: impl Into<String>) -> Outcome<T> {
    Err(Stop::Skip(what.into()))
}

/// Ends a test that went wrong.
///
/// # Errors
///
/// Always.
#[track_caller]
pub fn fail<T>(why: impl fmt::Display) -> Outcome<T> {
    Err(Stop::fail(why))
}

/// Fails unless the condition holds; `what` says what should be.
///
/// # Errors
///
/// When the condition is false.
#[track_caller]
pub fn check(what: impl fmt::Display, condition: bool) -> Outcome {
    if condition {
        Ok(())
    } else {
        fail(format_args!("{what}: not so"))
    }
}

/// Fails unless both values are equal.
///
/// # Errors
///
/// When they differ.
#[track_caller]
pub fn equal<T: PartialEq + fmt::Debug>(what: impl fmt::Display, got: T, expected: T) -> Outcome {
    if got == expected {
        return Ok(());
    }
    fail(format_args!("{what}: {got:?} instead of {expected:?}"))
}

/// Fails unless the call failed with exactly this error.
///
/// # Errors
///
/// When it succeeded or failed otherwise.
#[track_caller]
pub fn errno<T, E: Into<Errno>>(
    what: impl fmt::Display,
    result: Result<T, E>,
    expected: Errno,
) -> Outcome {
    match result.map_err(Into::into) {
        Err(error) if error == expected => Ok(()),
        Err(error) => fail(format_args!(
            "{what}: \"{error}\" instead of \"{expected}\""
        )),
        Ok(_) => fail(format_args!("{what}: succeeded instead of \"{expected}\"")),
    }
}

// The place of the `?` is the place of the failure: `track_caller` reaches through the conversion.
macro_rules! fail_from {
    ($($error:ty),*) => {$(
        impl From<$error> for Stop {
            #[track_caller]
            fn from(error: $error) -> Stop {
                Stop::fail(error)
            }
        }
    )*};
}

fail_from!(Errno, io::Error, Mismatch, String);
