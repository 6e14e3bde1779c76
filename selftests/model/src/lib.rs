// SPDX-License-Identifier: GPL-2.0

//! The rules of the hand-over, explored on the host: every interleaving, at the granularity at which
//! the kernel can be interrupted.
//!
//! `attach.rs`, `merge.rs`, `pending.rs`, which decide in a hand-over, `automatic.rs` and `touched.rs`,
//! which do so for a buffer that hands itself over, `accesses.rs`, which judges brackets, and `abi.rs`,
//! `atomics.rs`, `census.rs`, `coherency.rs`, `direction.rs`, `extent.rs`, `limits.rs`, `mode.rs`, `moved.rs`,
//! `span.rs` are compiled here as they are, without a copy; the crate `kernel` stands in for the kernel's. Their KUnit
//! suites run as ordinary tests. [`world`] is the machine that they run on: memory, a CPU cache, shadows,
//! store buffers, page table entries, two mutexes. [`run`] executes an operation of the module again and again, each time up to
//! its next access to that machine, so that whatever else there is can happen between any two of
//! them. [`oracle`] knows what a read may return. [`explore`] gives all of it to a model checker.
//!
//! What is not modelled: reordering by a CPU other than that of stores behind later loads (x86-TSO),
//! on machines with a cache to be maintained too; more than one buffer, allocation failures, fences and
//! begin's second round, shadows that are given back at unmap, the loops of `shadow.rs` over pages, and
//! the exporter's glue around the mutexes, a few lines each, which [`run`] and, for automatic buffers,
//! `exporter` repeat.
//!
//! Of an automatic buffer, each agent has a mapping of its own, whose entries are there or not: a touch
//! without one is a fault, and is tried once more. An entry goes at once, everywhere, with the stores
//! that were made by way of it. Not modelled are the memfd's own mappings, and accesses of debuggers. Of the
//! checker, the judge alone is compared with a definition, in sequences, not interleavings: all that it
//! does is under one mutex.

// The module's files use of each other what the module needs, not what the model does.
#[allow(dead_code)]
#[path = "../../../src/abi.rs"]
mod abi;
#[allow(dead_code)]
#[path = "../../../src/accesses.rs"]
mod accesses;
#[allow(dead_code)]
#[path = "../../../src/atomics.rs"]
mod atomics;
#[allow(dead_code)]
#[path = "../../../src/attach.rs"]
mod attach;
#[allow(dead_code)]
#[path = "../../../src/automatic.rs"]
mod automatic;
#[allow(dead_code)]
#[path = "../../../src/census.rs"]
mod census;
#[allow(dead_code)]
#[path = "../../../src/coherency.rs"]
mod coherency;
#[allow(dead_code)]
#[path = "../../../src/direction.rs"]
mod direction;
mod exporter;
#[allow(dead_code)]
#[path = "../../../src/extent.rs"]
mod extent;
mod ffi;
#[allow(dead_code)]
#[path = "../../../src/limits.rs"]
mod limits;
#[allow(dead_code)]
#[path = "../../../src/merge.rs"]
mod merge;
#[allow(dead_code)]
#[path = "../../../src/mode.rs"]
mod mode;
#[allow(dead_code)]
#[path = "../../../src/moved.rs"]
mod moved;
#[allow(dead_code)]
#[path = "../../../src/pending.rs"]
mod pending;
#[allow(dead_code)]
#[path = "../../../src/span.rs"]
mod span;
#[allow(dead_code)]
#[path = "../../../src/touched.rs"]
mod touched;

#[cfg(test)]
mod brackets;
#[cfg(test)]
mod counting;
pub mod explore;
pub mod oracle;
#[cfg(test)]
mod properties;
pub mod run;
pub mod script;
pub mod world;
