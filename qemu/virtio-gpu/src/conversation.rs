// SPDX-License-Identifier: GPL-2.0

//! What the two programs say to each other, over a virtio-serial port of its own: `gpu-host` asks,
//! `gpu-guest` answers, one request at a time.

use serde::{Deserialize, Serialize};

use crate::{Layer, Picture, Size};

/// The name of the virtio-serial port.
pub const PORT: &str = "udmabuf.gpu";

/// One of the inner guest's two GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Gpu {
    /// Its framebuffers are blobs: memory that QEMU maps.
    Blob,
    /// Its framebuffers are copied into QEMU's own memory.
    Copy,
}

impl Gpu {
    /// What QEMU calls the device.
    pub fn id(self) -> &'static str {
        match self {
            Gpu::Blob => "blob",
            Gpu::Copy => "copy",
        }
    }

    /// The number of its slot on the first PCI bus.
    pub fn slot(self) -> u8 {
        match self {
            Gpu::Blob => 0x10,
            Gpu::Copy => 0x11,
        }
    }
}

/// Where the inner guest takes the memory of a framebuffer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Memory {
    /// From the GPU's driver: a dumb buffer.
    Dumb,
    /// From a memfd of its own, through the inner guest's `/dev/udmabuf`, imported by PRIME.
    Memfd,
}

/// What `gpu-guest` is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Draws a picture into new memory and puts it on a screen, in place of what was there.
    Show {
        /// Whose screen.
        gpu: Gpu,
        /// What memory.
        memory: Memory,
        /// What to draw.
        picture: Picture,
        /// The place (x, y) of a pixel that is drawn wrong, for a test of the test.
        wrong: Option<(u32, u32)>,
    },
    /// Draws another part into the memory that is on the screen, inside sync brackets where
    /// there are any, and has the screen updated there.
    Update(Layer),
    /// Draws another part into a buffer that is not on the screen, and flips to it. There are two
    /// such buffers; what is on the screen at first is one of them.
    Flip(Layer),
    /// Flips to and fro until somebody ends it; answered when that has begun.
    FlipForEver,
    /// Makes and destroys framebuffers of random sizes, beside what is on the screen.
    Churn {
        /// How many.
        count: u32,
        /// The seed of their sizes.
        seed: u64,
    },
    /// Has the camera capture into memory of a memfd, as [`Memory::Memfd`], and puts the picture on
    /// the screen.
    Capture(Size),
    /// Reads what is on the screen, as the inner guest's CPU sees it.
    Read,
}

/// What `gpu-guest` answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It is done.
    Done,
    /// A part of the pixels that were asked for, in order; more is to follow.
    Pixels(Vec<u8>),
    /// It could not be done, for this reason.
    Failed(String),
}
