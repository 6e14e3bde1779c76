// SPDX-License-Identifier: GPL-2.0

//! Quotas that several threads take of.

use loom::{sync::Arc, thread};

use crate::{
    prelude::*,
    quota,
    sync::atomic::{Atomic, Relaxed},
};

/// Of which all together get so much.
const MOST: i64 = 4;

/// A way to take.
type Take = fn(&Atomic<i64>, i64, i64) -> Result;

/// Two threads take so much at once. Says which of them got it, and how much was taken then; they have
/// given it back since.
fn at_once(take: Take, wanted: [i64; 2]) -> ([bool; 2], i64) {
    let taken = Arc::new(Atomic::new(0));
    assert_eq!(taken.load(Relaxed), 0);
    let other = thread::spawn({
        let taken = taken.clone();
        move || take(&taken, wanted[1], MOST).is_ok()
    });
    let first = take(&taken, wanted[0], MOST).is_ok();
    let got = [first, other.join().unwrap()];
    let during = taken.load(Relaxed);
    let givers = [0, 1].map(|who| {
        let taken = taken.clone();
        let n = if got[who] { wanted[who] } else { 0 };
        thread::spawn(move || quota::give_back(&taken, n))
    });
    givers.into_iter().for_each(|giver| giver.join().unwrap());
    assert_eq!(taken.load(Relaxed), 0, "something is taken for ever");
    (got, during)
}

/// Both fit, but not together.
pub fn one_of_two() {
    let (got, during) = at_once(quota::take, [3, 3]);
    assert!(got[0] != got[1], "one of them gets it: {got:?}");
    assert_eq!(during, 3);
}

/// One does not fit, and must not be in the way of one who does.
fn one_beside_a_glutton(take: Take) {
    let (got, during) = at_once(take, [MOST + 1, 1]);
    assert_eq!((got, during), ([false, true], 1), "who fits gets it");
}

/// As the module takes.
pub fn one_beside_a_glutton_of_the_module() {
    one_beside_a_glutton(quota::take);
}

/// As one would that adds, looks, and gives back if it was too much.
pub fn one_beside_a_glutton_who_adds_first() {
    one_beside_a_glutton(|taken, n, most| {
        if taken.fetch_add(n, Relaxed) + n <= most {
            return Ok(());
        }
        quota::give_back(taken, n);
        Err(ENOMEM)
    });
}
