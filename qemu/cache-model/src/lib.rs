// SPDX-License-Identifier: GPL-2.0

//! What the caches of a non-coherent arm64 machine would make of a program.
//!
//! QEMU has no caches, so a forgotten clean or invalidate goes unnoticed in it. This TCG plugin
//! follows every access of the CPUs and every transfer of the edu devices to the pages that the
//! guest asks it to watch, and reports what would have gone wrong:
//!
//! - [`mod@line`] has the rules: the states of a cache line, and which access breaks what;
//! - [`model`] keeps the watched lines, [`filter`] says quickly that a page is none of them;
//! - [`instruction`] finds cache maintenance by its encoding, [`translation`] the physical address
//!   behind its operand, for which some has to wait ([`deferred`]);
//! - [`transfers`] infers DMA from the registers that start it;
//! - [`observer`] joins them with the messages of the guest (`protocol::channel`), and
//!   [`report`] writes down what it finds;
//! - `plugin` and `memory` are all that knows QEMU, and no part of the unit tests.
//!
//! Speculation is assumed everywhere: a line that a device wrote counts as cached in its old form
//! until it is invalidated after the write.

#![deny(unsafe_code)]

pub mod deferred;
pub mod filter;
pub mod instruction;
pub mod line;
#[cfg(not(test))]
#[allow(unsafe_code)]
mod memory;
pub mod model;
pub mod observer;
pub mod options;
#[cfg(not(test))]
mod plugin;
pub mod report;
pub mod transfers;
pub mod translation;
