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
    /// The data is wrong.
    Wrong {
        /// The first wrong byte.
        mismatch: Mismatch,
        /// Where it was found.
        place: Place,
    },
    /// A rule does not hold that is not about bytes.
    Broken(String),
    /// Who is tested does not offer what is to be tested.
    Absent(String),
    /// The environment lacks what the test needs.
    Skip(String),
}

/// A line of a test program.
pub type Place = &'static Location<'static>;

impl Stop {
    #[track_caller]
    fn fail(why: impl fmt::Display) -> Stop {
        Stop::Fail(at(Location::caller(), why))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Fail(reason)
            | Stop::Broken(reason)
            | Stop::Absent(reason)
            | Stop::Skip(reason) => f.write_str(reason),
            Stop::Wrong { mismatch, place } => f.write_str(&at(place, mismatch)),
        }
    }
}

fn at(place: Place, why: impl fmt::Display) -> String {
    format!("{}:{}: {why}", place.file(), place.line())
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

/// Ends a test that has found a rule broken; `what` says which.
///
/// # Errors
///
/// Always.
#[track_caller]
pub fn broken<T>(what: impl fmt::Display) -> Outcome<T> {
    Err(Stop::Broken(at(Location::caller(), what)))
}

/// Fails as [`broken`] unless the condition holds; `what` says what the rule is.
///
/// # Errors
///
/// When the condition is false.
#[track_caller]
pub fn rule(what: impl fmt::Display, condition: bool) -> Outcome {
    if condition {
        Ok(())
    } else {
        broken(format_args!("{what}: not so"))
    }
}

/// Ends a test of something that is not offered, as the call says that has been made for it.
///
/// # Errors
///
/// When the call failed, as [`Stop::Absent`] if there is no such call or feature.
#[track_caller]
pub fn offered<T>(what: impl fmt::Display, result: rustix::io::Result<T>) -> Outcome<T> {
    match result {
        Err(error @ (Errno::NOTTY | Errno::OPNOTSUPP)) => {
            Err(Stop::Absent(format!("{what}: {error}")))
        }
        Err(error) => Err(Stop::fail(format_args!("{what}: {error}"))),
        Ok(value) => Ok(value),
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

fail_from!(Errno, io::Error, String);

impl From<Mismatch> for Stop {
    #[track_caller]
    fn from(mismatch: Mismatch) -> Stop {
        Stop::Wrong {
            mismatch,
            place: Location::caller(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_offered_is_no_failure() {
        for (errno, absent) in [
            (Errno::NOTTY, true),
            (Errno::OPNOTSUPP, true),
            (Errno::INVAL, false),
        ] {
            let stop = offered::<()>("a call", Err(errno)).unwrap_err();
            assert_eq!(matches!(stop, Stop::Absent(_)), absent, "{stop}");
            assert!(stop.to_string().contains("a call"), "{stop}");
        }
        assert_eq!(offered("a call", Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_broken_rule_keeps_its_place() {
        let Err(Stop::Broken(why)) = rule("two is one", false) else {
            panic!("it holds");
        };
        assert!(why.contains("outcome.rs") && why.contains("two is one"));
        assert!(rule("one is one", true).is_ok());
    }

    #[test]
    fn wrong_data_keeps_its_offset_and_place() {
        let mismatch = Mismatch {
            position: 0x40,
            found: 0x12,
            expected: 0x34,
        };
        let stop = Stop::from(mismatch);
        let Stop::Wrong { place, .. } = &stop else {
            panic!("{stop}");
        };
        assert!(place.file().ends_with("outcome.rs"));
        assert!(stop.to_string().ends_with(&mismatch.to_string()), "{stop}");
    }
}
