// SPDX-License-Identifier: GPL-2.0

//! Orders of pages that a program chooses to do harm.

use std::cell::Cell;
use std::cell::RefCell;

/// An order of `0..count` with which the quicksort of Rust's library calls itself as deep as it ever does:
/// each pivot is among the least there are. Found by sorting with a comparison that decides as late as
/// it can (McIlroy, "A killer adversary for quicksort", 1999).
pub fn worst_for_quicksort(count: usize) -> Vec<usize> {
    let ranks: RefCell<Vec<Option<usize>>> = RefCell::new(vec![None; count]);
    // Taken from the top: what is not decided yet is less than all that is.
    let left = Cell::new(count);
    let candidate = Cell::new(0);
    let decide = |element: usize| {
        left.set(left.get() - 1);
        ranks.borrow_mut()[element] = Some(left.get());
    };
    // No run at the beginning that the sort would find.
    decide(2);
    let mut elements: Vec<usize> = (0..count).collect();
    elements.sort_unstable_by(|&one, &other| {
        let known = |element: usize| ranks.borrow()[element];
        if known(one).is_none() && known(other).is_none() {
            decide(if one == candidate.get() { one } else { other });
        }
        match (known(one), known(other)) {
            (None, _) => candidate.set(one),
            (_, None) => candidate.set(other),
            _ => {}
        }
        known(one).cmp(&known(other))
    });
    let mut ranks = ranks.into_inner();
    for rank in ranks.iter_mut().filter(|rank| rank.is_none()) {
        left.set(left.get() - 1);
        *rank = Some(left.get());
    }
    ranks.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_an_order() {
        let mut order = worst_for_quicksort(1024);
        assert!(!order.is_sorted());
        order.sort();
        assert!(order.into_iter().eq(0..1024));
    }
}
