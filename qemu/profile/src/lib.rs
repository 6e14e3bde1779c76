// SPDX-License-Identifier: GPL-2.0

//! Where a guest spends its instructions.
//!
//! Everything between two marks, instructions of the guest's program that do nothing else, is
//! counted by translation block. At the end a report has a line for each block that was executed:
//! its address, and the instructions executed in it. A block belongs to the function that it
//! begins in.

#![deny(unsafe_code)]

pub mod counts;
pub mod mark;
#[cfg(not(test))]
mod plugin;
