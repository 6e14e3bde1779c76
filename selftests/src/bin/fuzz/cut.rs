// SPDX-License-Identifier: GPL-2.0

//! Leaves calls out of a list as long as it still fails (delta debugging).

use std::time::Instant;

/// The shortest list that was found until the deadline. A part is left out if `fails` says so of
/// the rest; parts are halves at first, and single elements in the end.
pub fn cut<T: Clone>(
    list: Vec<T>,
    deadline: Instant,
    mut fails: impl FnMut(&[T]) -> bool,
) -> Vec<T> {
    let mut list = list;
    let mut size = list.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < list.len() {
            if Instant::now() > deadline {
                return list;
            }
            let end = (at + size).min(list.len());
            let rest = [&list[..at], &list[end..]].concat();
            if fails(&rest) {
                list = rest;
                shorter = true;
            } else {
                at = end;
            }
        }
        // Of single elements, one may be needed only because of another that has gone since.
        if size > 1 || !shorter {
            size /= 2;
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[test]
    fn what_is_needed_is_left() {
        let list: Vec<u32> = (0..100).collect();
        let needed = [3, 42, 43, 99];
        let left = cut(list, later(), |list| {
            needed.iter().all(|one| list.contains(one))
        });
        assert_eq!(left, needed);
    }

    #[test]
    fn nothing_is_left_of_what_fails_by_itself() {
        assert_eq!(cut(vec![1, 2, 3], later(), |_| true), Vec::<i32>::new());
    }

    #[test]
    fn nothing_is_left_out_after_the_deadline() {
        let list = vec![1, 2, 3];
        assert_eq!(cut(list.clone(), Instant::now(), |_| true), list);
    }
}
