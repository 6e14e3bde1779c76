// SPDX-License-Identifier: GPL-2.0

//! The fence: the only place with `unsafe` and [`kernel::bindings`].
//!
//! One file per subject. Each wraps what the module needs in types that safe code cannot misuse.

pub(crate) mod abi;
pub(crate) mod capability;
mod clock;
pub(crate) mod memfd;
pub(crate) mod vma;
