// SPDX-License-Identifier: GPL-2.0

//! A made-up machine for scripts to run on: headers of a kernel, a source tree, compilers and tools
//! that only say what they are asked for.

mod machine;
mod outcome;

pub use machine::{Machine, RELEASE, RUSTC};
pub use outcome::Outcome;
