// SPDX-License-Identifier: GPL-2.0

//! Where a guest spends its instructions.
//!
//! Everything between two marks, instructions of the guest's program that do nothing else, is
//! counted by translation block; or, with `whole=on`, everything. At the end a report has a line for
//! each block that was executed: its address, its bytes, and the instructions executed in it. A block
//! belongs to the function that it begins in, and to all lines that it has bytes of.

#![deny(unsafe_code)]

pub mod counts;
pub mod mark;
#[cfg(not(test))]
mod plugin;
