// SPDX-License-Identifier: GPL-2.0

//! Buffers that drivers share.
//!
//! C header: [`include/linux/dma-buf.h`](srctree/include/linux/dma-buf.h)

pub mod direction;
pub mod resv;
