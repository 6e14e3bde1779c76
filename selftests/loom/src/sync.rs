// SPDX-License-Identifier: GPL-2.0

//! Stand-ins for the kernel's atomics, in loom's.

use std::{cell::Cell, collections::HashMap, sync::Arc as StdArc, sync::Mutex, sync::PoisonError};

use loom::sync::atomic::{fence, AtomicU64, Ordering};

pub use stand_ins::sync::Arc;

/// What a control takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weaker {
    /// Nothing.
    Nothing,
    /// Full barriers are none.
    Barriers,
    /// Releases are relaxed.
    Releases,
    /// Acquires are relaxed.
    Acquires,
    /// An update is a load and a store.
    Updates,
}

thread_local! {
    static WEAKER: Cell<Weaker> = const { Cell::new(Weaker::Nothing) };
}

/// Runs `model` in every order that there may be, with something taken away.
///
/// # Panics
///
/// When the model does in one of them.
pub fn explore(weaker: Weaker, model: fn()) {
    // loom runs a model's threads in turn in the calling thread.
    WEAKER.set(weaker);
    loom::model(model);
}

fn lacks(what: Weaker) -> bool {
    WEAKER.get() == what
}

/// A full barrier between CPUs.
pub fn smp_mb() {
    if !lacks(Weaker::Barriers) {
        fence(Ordering::SeqCst);
    }
}

loom::lazy_static! {
    /// loom's atomics by the addresses of the kernel's, made anew for every run of a model. The
    /// kernel's are made in constants, which loom's cannot be.
    static ref CELLS: Mutex<HashMap<usize, StdArc<AtomicU64>>> = Mutex::default();
}

/// Atomic values.
pub mod atomic {
    use super::*;

    /// How an access is ordered.
    pub trait Order {
        #[doc(hidden)]
        fn order() -> Ordering;
    }

    /// With what the thread does afterwards.
    #[derive(Clone, Copy, Debug)]
    pub struct Acquire;
    /// With nothing.
    #[derive(Clone, Copy, Debug)]
    pub struct Relaxed;
    /// With what the thread has done before.
    #[derive(Clone, Copy, Debug)]
    pub struct Release;

    impl Order for Acquire {
        fn order() -> Ordering {
            match lacks(Weaker::Acquires) {
                true => Ordering::Relaxed,
                false => Ordering::Acquire,
            }
        }
    }

    impl Order for Relaxed {
        fn order() -> Ordering {
            Ordering::Relaxed
        }
    }

    impl Order for Release {
        fn order() -> Ordering {
            match lacks(Weaker::Releases) {
                true => Ordering::Relaxed,
                false => Ordering::Release,
            }
        }
    }

    /// What fits in a word.
    pub trait Value: Copy {
        #[doc(hidden)]
        fn word(self) -> u64;
        #[doc(hidden)]
        fn from_word(word: u64) -> Self;
    }

    impl Value for bool {
        fn word(self) -> u64 {
            u64::from(self)
        }
        fn from_word(word: u64) -> Self {
            word != 0
        }
    }

    impl Value for u64 {
        fn word(self) -> u64 {
            self
        }
        fn from_word(word: u64) -> Self {
            word
        }
    }

    impl Value for u32 {
        fn word(self) -> u64 {
            self.into()
        }
        fn from_word(word: u64) -> Self {
            word as u32
        }
    }

    impl Value for i64 {
        fn word(self) -> u64 {
            self as u64
        }
        fn from_word(word: u64) -> Self {
            word as i64
        }
    }

    /// A value that threads share. It stays where it is from its first access on, which the thread
    /// makes that hands it to others.
    #[derive(Debug)]
    pub struct Atomic<T> {
        first: T,
    }

    impl<T: Value> Atomic<T> {
        /// With a first value.
        pub const fn new(first: T) -> Self {
            Self { first }
        }

        fn cell(&self) -> StdArc<AtomicU64> {
            let mut cells = CELLS.lock().unwrap_or_else(PoisonError::into_inner);
            let address = std::ptr::from_ref(self) as usize;
            let cell = cells.entry(address);
            cell.or_insert_with(|| StdArc::new(AtomicU64::new(self.first.word())))
                .clone()
        }

        /// What it is.
        pub fn load<O: Order>(&self, _: O) -> T {
            T::from_word(self.cell().load(O::order()))
        }

        /// Makes it something else.
        pub fn store<O: Order>(&self, value: T, _: O) {
            self.cell().store(value.word(), O::order());
        }

        /// Makes it `new` if it is `old`, and says what it was if not.
        pub fn cmpxchg<O: Order>(&self, old: T, new: T, _: O) -> Result<T, T> {
            let (cell, old, new) = (self.cell(), old.word(), new.word());
            let result = if lacks(Weaker::Updates) {
                match cell.load(O::order()) {
                    same if same == old => {
                        cell.store(new, O::order());
                        Ok(same)
                    }
                    other => Err(other),
                }
            } else {
                cell.compare_exchange(old, new, O::order(), Ordering::Relaxed)
            };
            result.map(T::from_word).map_err(T::from_word)
        }

        /// Adds to it, and says what it was.
        pub fn fetch_add<O: Order>(&self, n: T, _: O) -> T {
            self.update::<O>(
                |word| word.wrapping_add(n.word()),
                |cell, order| cell.fetch_add(n.word(), order),
            )
        }

        /// Takes away from it, and says what it was.
        pub fn fetch_sub<O: Order>(&self, n: T, _: O) -> T {
            self.update::<O>(
                |word| word.wrapping_sub(n.word()),
                |cell, order| cell.fetch_sub(n.word(), order),
            )
        }

        fn update<O: Order>(
            &self,
            change: impl Fn(u64) -> u64,
            at_once: impl Fn(&AtomicU64, Ordering) -> u64,
        ) -> T {
            let cell = self.cell();
            if !lacks(Weaker::Updates) {
                return T::from_word(at_once(&cell, O::order()));
            }
            let before = cell.load(O::order());
            cell.store(change(before), O::order());
            T::from_word(before)
        }
    }
}
