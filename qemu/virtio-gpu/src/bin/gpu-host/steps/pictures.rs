// SPDX-License-Identifier: GPL-2.0

//! A picture on the screen, and where its pixels come from.

use anyhow::{Context, Result, bail, ensure};
use selftests::{Access, driver::Driver};
use virtio_gpu::{Gpu, Layer, Memory, Picture, Rectangle, Size};

use super::{LARGE, SMALL};
use crate::{screen::Screen, stage::Stage};

/// A size that no other step has a framebuffer of.
const OTHER: Size = Size {
    width: 800,
    height: 600,
};

/// 640x480, pixel by pixel.
pub fn small(stage: &mut Stage) -> Result<String> {
    picture(stage, SMALL)
}

/// 1920x1080, pixel by pixel.
pub fn large(stage: &mut Stage) -> Result<String> {
    picture(stage, LARGE)
}

fn picture(stage: &mut Stage, size: Size) -> Result<String> {
    stage.show(Gpu::Blob, Memory::Dumb, &Picture::new(size, 0))?;
    stage.framebuffer(size)?;
    let screen = stage.screen(Gpu::Blob)?;
    stage.keep(&screen, &format!("picture-{size}"))?;
    Ok(format!("0 of {} pixels wrong", size.pixels()))
}

/// Control: the comparison sees a single pixel.
pub fn one_wrong_pixel(stage: &mut Stage) -> Result<String> {
    let place = (fastrand::u32(..SMALL.width), fastrand::u32(..SMALL.height));
    let picture = Picture::new(SMALL, 1);
    stage.draw(Gpu::Blob, Memory::Dumb, &picture, Some(place))?;
    let wrong = stage.screen(Gpu::Blob)?.compare_with(&picture)?;
    match wrong {
        Some(wrong) if (wrong.count, wrong.first) == (1, place) => Ok(format!("seen: {wrong}")),
        Some(wrong) => bail!("something else is wrong: {wrong}"),
        None => bail!("not seen"),
    }
}

/// The kernel, the driver and QEMU all know the framebuffer as a udmabuf.
pub fn through_udmabuf(stage: &mut Stage) -> Result<String> {
    stage.show(Gpu::Blob, Memory::Dumb, &Picture::new(SMALL, 2))?;
    let buffer = stage.framebuffer(SMALL)?;
    let counted = match stage.driver {
        Driver::Rust => "counted by the driver",
        Driver::C => "not counted by ours",
    };
    Ok(format!(
        "a udmabuf of {} bytes, pinned, {counted}, held by QEMU",
        buffer.size()?
    ))
}

/// There is one memory only: the inner guest's pixels are in the dma-buf, and what is written
/// into the dma-buf from outside is on the screen and in the inner guest's own mapping. No copy
/// behaves so.
pub fn one_memory(stage: &mut Stage) -> Result<String> {
    let mut picture = Picture::new(SMALL, 3);
    stage.show(Gpu::Blob, Memory::Dumb, &picture)?;
    let buffer = stage.framebuffer(SMALL)?;
    let mapping = buffer.map(Access::ReadWrite).context("cannot map it")?;

    let mut bytes = vec![0; SMALL.bytes()];
    let bracket = buffer.begin(Access::Read)?;
    mapping.read(0, &mut bytes);
    bracket.end()?;
    if let Some(wrong) = Screen::from_memory(SMALL, &bytes)?.compare_with(&picture)? {
        bail!("in the dma-buf {wrong}");
    }

    let part = Rectangle {
        x: 123,
        y: 234,
        size: Size {
            width: 200,
            height: 100,
        },
    };
    picture.draw(Layer { part, seed: 4 });
    let bracket = buffer.begin(Access::Write)?;
    for y in part.y..part.y + part.size.height {
        let row = SMALL.width as usize * y as usize + part.x as usize;
        let bytes = picture.bytes(y, part.x..part.x + part.size.width);
        mapping.write(row * virtio_gpu::BYTES_PER_PIXEL, &bytes);
    }
    bracket.end()?;
    stage.expect(Gpu::Blob, &picture)?;
    if let Some(wrong) = stage.seen_by_guest(SMALL)?.compare_with(&picture)? {
        bail!("in the inner guest {wrong}");
    }
    let pixels = part.size.pixels();
    Ok(format!(
        "{pixels} pixels written into the dma-buf are on the screen and in the inner guest"
    ))
}

/// Control: of a GPU that copies, the same picture is right, and no dma-buf is found.
pub fn copying_gpu(stage: &mut Stage) -> Result<String> {
    let picture = Picture::new(OTHER, 5);
    stage.show(Gpu::Copy, Memory::Dumb, &picture)?;
    let Err(why) = stage.framebuffer(OTHER) else {
        bail!("a dma-buf was found behind a screen that is copied")
    };
    ensure!(why.to_string().starts_with("0 udmabufs"), "{why}");
    Ok(format!("told apart: {why}"))
}
