// SPDX-License-Identifier: GPL-2.0

//! The matrix: every flow on every machine, with the driver under test, with the one in the kernel
//! tree and the system heap, and with broken variants that show what a result is worth.
//!
//! The guest program `flows` runs the flows and says what became of the bytes ([`flows`]). Where
//! QEMU cannot show a missing sync in the bytes, as it has no caches, a plugin judges the
//! accesses instead ([`model`]). Both are joined into one [`cell`] per machine, driver and flow;
//! all cells of a machine are a [`mod@column`], which a [`trial`] makes in one boot, as the [`plan`]
//! has it, and which the [`verdict`] is about.

pub mod cause;
pub mod cell;
pub mod column;
pub mod cost;
pub mod flows;
pub mod model;
pub mod picture;
pub mod plan;
pub mod record;
pub mod table;
pub mod trial;
pub mod verdict;
