// SPDX-License-Identifier: GPL-2.0

//! When nothing more is begun.

use std::time::{Duration, SystemTime};

use crate::ktap::{Test, Verdict};

/// A time after which tests that have not begun are left out. A run that somebody ends after so many
/// minutes says nothing at all; one that leaves something out says what.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deadline(Option<SystemTime>);

impl Deadline {
    /// So many seconds after 1970 began, or never.
    pub fn new(seconds: Option<u64>) -> Self {
        Deadline(seconds.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
    }

    /// Whether there is one.
    pub fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Whether it is over.
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|time| time <= SystemTime::now())
    }

    /// Moves another first one to the front each time, where the last ones may be left out.
    pub fn rotate<T>(self, items: &mut [T]) {
        let Some(Ok(since)) = self
            .0
            .map(|time| time.duration_since(SystemTime::UNIX_EPOCH))
        else {
            return;
        };
        if !items.is_empty() {
            // Spread, for runs may begin at the same time of each day (Fibonacci hashing).
            let spread = since.as_secs().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            items.rotate_left(spread as usize % items.len());
        }
    }
}

/// A test that was left out.
pub fn left_out(name: &str) -> Test {
    Test {
        path: vec![name.to_owned()],
        verdict: Verdict::Skipped("there was no time left: without UNTIL= it runs".into()),
    }
}

/// A test in a kernel that was not built, for want of time.
pub fn not_built(name: &str) -> Test {
    Test {
        path: vec![name.to_owned()],
        verdict: Verdict::Skipped("UNTIL= leaves its kernel out: without UNTIL= it runs".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_seconds(seconds: i64) -> Deadline {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Deadline::new(now.unwrap().as_secs().checked_add_signed(seconds))
    }

    #[test]
    fn is_over_once_it_has_come() {
        assert!(in_seconds(-1).is_over());
        assert!(!in_seconds(1000).is_over());
        assert!(!Deadline::new(None).is_over());
        assert!(in_seconds(-1).is_set() && !Deadline::new(None).is_set());
    }

    #[test]
    fn all_are_first_some_time() {
        let first = |seconds| {
            let mut items = [0, 1, 2];
            Deadline::new(seconds).rotate(&mut items);
            items[0]
        };
        // At the same time of each day.
        let mut all: Vec<_> = (0..30).map(|day| first(Some(day * 86400))).collect();
        all.sort();
        all.dedup();
        assert_eq!(all, [0, 1, 2]);
        assert_eq!(first(None), 0);
        Deadline::new(Some(1)).rotate::<u8>(&mut []);
    }
}
