// SPDX-License-Identifier: GPL-2.0

//! Memory that a GPU scans out.

use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use drm::{
    buffer::{self, Buffer, DrmFourcc},
    control::{Device as _, dumbbuffer::DumbBuffer, framebuffer},
};
use virtio_gpu::{BYTES_PER_PIXEL, Layer, Memory, Picture, Rectangle, Size};

use crate::{card::Card, shared::Shared};

/// Bits of a pixel, and those of them that are colour.
const BITS: u32 = 8 * BYTES_PER_PIXEL as u32;
const DEPTH: u32 = 24;

/// Where the memory is from.
enum Store {
    Dumb(DumbBuffer),
    Shared(Shared, Imported),
}

/// A dma-buf as the GPU knows it.
struct Imported {
    size: Size,
    pitch: u32,
    handle: buffer::Handle,
}

impl Buffer for Imported {
    fn size(&self) -> (u32, u32) {
        (self.size.width, self.size.height)
    }

    fn format(&self) -> DrmFourcc {
        DrmFourcc::Xrgb8888
    }

    fn pitch(&self) -> u32 {
        self.pitch
    }

    fn handle(&self) -> buffer::Handle {
        self.handle
    }
}

/// A framebuffer with its memory. To be given back with [`destroy`](Self::destroy).
pub struct Surface {
    size: Size,
    store: Store,
    framebuffer: framebuffer::Handle,
}

impl Surface {
    /// Makes one.
    pub fn new(card: &Card, memory: Memory, size: Size) -> Result<Self> {
        match memory {
            Memory::Dumb => Self::dumb(card, size),
            Memory::Memfd => Self::import(card, Shared::new(size.bytes())?, size),
        }
    }

    fn dumb(card: &Card, size: Size) -> Result<Self> {
        let wanted = (size.width, size.height);
        let buffer = card
            .create_dumb_buffer(wanted, DrmFourcc::Xrgb8888, BITS)
            .with_context(|| format!("cannot make a dumb buffer of {size}"))?;
        let framebuffer = card.add_framebuffer(&buffer, DEPTH, BITS);
        Ok(Surface {
            size,
            store: Store::Dumb(buffer),
            framebuffer: framebuffer.context("cannot make a framebuffer")?,
        })
    }

    /// Makes one of a dma-buf, whose rows follow each other without a gap.
    pub fn import(card: &Card, shared: Shared, size: Size) -> Result<Self> {
        let handle = card.prime_fd_to_buffer(shared.buffer.as_fd());
        let imported = Imported {
            size,
            pitch: size.width * BYTES_PER_PIXEL as u32,
            handle: handle.context("the GPU does not import the dma-buf")?,
        };
        let framebuffer = card.add_framebuffer(&imported, DEPTH, BITS);
        Ok(Surface {
            size,
            framebuffer: framebuffer.context("cannot make a framebuffer of the dma-buf")?,
            store: Store::Shared(shared, imported),
        })
    }

    /// Width and height.
    pub fn size(&self) -> Size {
        self.size
    }

    /// What the GPU calls it.
    pub fn framebuffer(&self) -> framebuffer::Handle {
        self.framebuffer
    }

    /// Draws a part of a picture.
    pub fn draw(&mut self, card: &Card, picture: &Picture, part: Rectangle) -> Result<()> {
        ensure!(picture.size() == self.size, "a picture of another size");
        let columns = part.x..part.x + part.size.width;
        let rows = part.y..part.y + part.size.height;
        let pitch = self.pitch();
        let pieces = rows.map(|y| {
            let at = y as usize * pitch + part.x as usize * BYTES_PER_PIXEL;
            (at, picture.bytes(y, columns.clone()))
        });
        self.write(card, pieces)
    }

    /// Draws a layer over what is there.
    pub fn draw_layer(&mut self, card: &Card, layer: Layer) -> Result<()> {
        let mut picture = Picture::new(self.size, 0);
        picture.draw(layer);
        self.draw(card, &picture, layer.part)
    }

    /// Inverts the colour of one pixel.
    pub fn spoil(&mut self, card: &Card, picture: &Picture, (x, y): (u32, u32)) -> Result<()> {
        let at = y as usize * self.pitch() + x as usize * BYTES_PER_PIXEL;
        let pixel = !picture.pixel(x, y);
        self.write(card, [(at, pixel.to_le_bytes().to_vec())].into_iter())
    }

    fn write(&mut self, card: &Card, pieces: impl Iterator<Item = (usize, Vec<u8>)>) -> Result<()> {
        match &mut self.store {
            Store::Dumb(buffer) => {
                let mapping = card.map_dumb_buffer(buffer);
                let mut mapping = mapping.context("cannot map the dumb buffer")?;
                for (at, bytes) in pieces {
                    mapping[at..at + bytes.len()].copy_from_slice(&bytes);
                }
                Ok(())
            }
            Store::Shared(shared, _) => shared.write(pieces),
        }
    }

    /// Everything in it, row by row without gaps.
    pub fn read(&mut self, card: &Card) -> Result<Vec<u8>> {
        let pitch = self.pitch();
        let row = self.size.width as usize * BYTES_PER_PIXEL;
        ensure!(pitch == row, "rows of {row} bytes are {pitch} bytes apart");
        let mut pixels = vec![0; self.size.bytes()];
        match &mut self.store {
            Store::Dumb(buffer) => {
                let mapping = card.map_dumb_buffer(buffer);
                let mapping = mapping.context("cannot map the dumb buffer")?;
                pixels.copy_from_slice(&mapping[..self.size.bytes()]);
            }
            Store::Shared(shared, _) => shared.read(&mut pixels)?,
        }
        Ok(pixels)
    }

    /// Another one with the same in it.
    pub fn copy(&mut self, card: &Card) -> Result<Self> {
        let mut copy = Self::dumb(card, self.size)?;
        ensure!(copy.pitch() == self.pitch(), "the copy has another pitch");
        copy.write(card, [(0, self.read(card)?)].into_iter())?;
        Ok(copy)
    }

    /// Bytes from one row to the next.
    fn pitch(&self) -> usize {
        match &self.store {
            Store::Dumb(buffer) => buffer.pitch() as usize,
            Store::Shared(_, imported) => imported.pitch as usize,
        }
    }

    /// Gives everything back.
    pub fn destroy(self, card: &Card) -> Result<()> {
        card.destroy_framebuffer(self.framebuffer)
            .context("cannot give the framebuffer back")?;
        match self.store {
            Store::Dumb(buffer) => card.destroy_dumb_buffer(buffer),
            Store::Shared(_, imported) => card.close_buffer(imported.handle),
        }
        .context("cannot give the buffer back")
    }
}
