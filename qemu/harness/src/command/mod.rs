// SPDX-License-Identifier: GPL-2.0

//! What the harness can be asked to do, one file each.

pub mod run;
pub mod shell;
pub mod vm;
