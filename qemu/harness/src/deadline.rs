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
            items.rotate_left(since.as_secs() as usize % items.len());
        }
    }
}

/// A test that was left out.
pub fn left_out(name: &str) -> Test {
    Test {
        path: vec![name.to_owned()],
        verdict: Verdict::Skipped("there was no time left: make test runs it".into()),
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
    }

    #[test]
    fn all_are_first_some_time() {
        let first = |seconds| {
            let mut items = [0, 1, 2];
            Deadline::new(seconds).rotate(&mut items);
            items[0]
        };
        let of_some: Vec<_> = (30..33).map(|seconds| first(Some(seconds))).collect();
        assert_eq!(of_some, [0, 1, 2]);
        assert_eq!(first(None), 0);
        Deadline::new(Some(1)).rotate::<u8>(&mut []);
    }
}
