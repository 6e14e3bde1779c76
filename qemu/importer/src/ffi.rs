// SPDX-License-Identifier: GPL-2.0

//! The fence: the only place with `unsafe` and [`kernel::bindings`].
//!
//! One file per C header. Each wraps what the importer needs in types that safe code cannot misuse.

pub(crate) mod abi;
pub(crate) mod bound;
/// The driver's own.
#[allow(dead_code, reason = "the driver needs more of it")]
#[allow(
    rustdoc::broken_intra_doc_links,
    reason = "its comments link to other modules of the driver"
)]
#[path = "../../../src/ffi/compat.rs"]
mod compat;
pub(crate) mod completion;
pub(crate) mod dma;
pub(crate) mod dma_buf;
mod errno;
pub(crate) mod global;
pub(crate) mod iommu;
pub(crate) mod irq;
/// The driver's own.
#[path = "../../../src/ffi/misc.rs"]
pub(crate) mod misc;
pub(crate) mod params;
pub(crate) mod pci;
pub(crate) mod scatterlist;
mod symbol;
pub(crate) mod udmabuf;
