// SPDX-License-Identifier: GPL-2.0

//! The module's atomics under loom: in every order in which a machine with weak ordering may show
//! them, arm64 for one. No emulator of ours has such an order, and the model beside this crate only
//! that of x86.
//!
//! `pending.rs`, `turns.rs`, `attach.rs`, `quota.rs` and `stats.rs` are compiled here as they are; [`sync`] stands
//! in for the kernel's atomics. These are all files that change an atomic together with other
//! threads, and what each relies on:
//!
//! - `pending.rs`: a full barrier on either side, a release and an acquire. The readers, begin and end,
//!   leave the mutex alone under which the flag is written. See `flag.rs`.
//! - `turns.rs`: a full barrier on either side, a release and an acquire. Who is served has not locked
//!   the mutex. See `waiting.rs`.
//! - `quota.rs`, for `ffi/device_memory.rs` and `ffi/user.rs`: updates of one word, which lose nothing.
//!   See `bounds.rs`.
//! - `stats.rs`: the same. See `counters.rs`.
//!
//! What loom has nothing to say about: `ffi/params.rs` loads single words, which nothing is ordered
//! with; `ffi/folio.rs` loads a counter and flags of the kernel, once each, and relies on a bound with
//! room to spare; `ffi/words.rs` loads words and stores bytes of them, and loom knows no accesses of
//! two sizes to the same place.
//!
//! Each rule has a control: the same with something [weaker](sync::Weaker) in its place has to fail.

// The module's files name the kernel crate.
extern crate self as kernel;

pub use stand_ins::{alloc, error, page, prelude};
pub use std::fmt;

#[allow(dead_code)]
#[path = "../../../src/attach.rs"]
mod attach;
pub mod bounds;
#[allow(dead_code)]
#[path = "../../../src/census.rs"]
mod census;
pub mod counters;
pub mod debugfs;
#[allow(dead_code)]
#[path = "../../../src/direction.rs"]
mod direction;
mod ffi;
pub mod flag;
#[allow(dead_code)]
#[path = "../../../src/merge.rs"]
mod merge;
#[allow(dead_code)]
#[path = "../../../src/moved.rs"]
mod moved;
#[allow(dead_code)]
#[path = "../../../src/pending.rs"]
mod pending;
#[allow(dead_code)]
#[path = "../../../src/quota.rs"]
mod quota;
#[allow(dead_code)]
#[path = "../../../src/span.rs"]
mod span;
#[allow(dead_code)]
#[path = "../../../src/stats.rs"]
mod stats;
pub mod sync;
#[allow(dead_code)]
#[path = "../../../src/turns.rs"]
mod turns;
pub mod waiting;
