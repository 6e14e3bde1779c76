// SPDX-License-Identifier: GPL-2.0

//! A guest in the guest, to see that a stock QEMU works with udmabuf and that the pixels are right.
//!
//! In the outer guest runs `gpu-host`: it starts QEMU with a virtio-gpu whose framebuffers are
//! blobs, which QEMU turns into dma-bufs of the outer guest's `/dev/udmabuf`. In the inner guest
//! runs `gpu-guest`, which draws what it is asked to. The two share this library: what they say
//! to each other, and what the screen has to look like.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod conversation;
mod picture;

pub use conversation::{Gpu, Memory, PORT, Reply, Request};
pub use picture::{BYTES_PER_PIXEL, Layer, Picture, Rectangle, Size};
