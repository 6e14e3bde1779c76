// SPDX-License-Identifier: GPL-2.0

//! What the harness can be asked to do, one file each.

pub mod bench;
pub mod clients;
mod host;
pub mod installed;
pub mod matrix;
pub mod mutants;
pub mod run;
pub mod shell;
pub mod test;
pub mod trace;
pub mod virtio_gpu;
pub mod vm;
