// SPDX-License-Identifier: GPL-2.0

//! Memory of the inner guest's own on its screen: a memfd, made a dma-buf by the inner guest's
//! `/dev/udmabuf`, imported into its GPU by PRIME. QEMU makes a dma-buf of the same pages outside.

use anyhow::{Context, Result, bail, ensure};
use virtio_gpu::{Gpu, Layer, Memory, Picture, Size};

use super::{SMALL, random_part};
use crate::stage::Stage;

/// How many updates.
const UPDATES: u32 = 20;

/// The most that is drawn in one.
const PART: Size = Size {
    width: 200,
    height: 150,
};

/// A picture in such memory, pixel by pixel.
pub fn memfd(stage: &mut Stage) -> Result<String> {
    stage.show(Gpu::Blob, Memory::Memfd, &Picture::new(SMALL, 8))?;
    stage.framebuffer(SMALL)?;
    Ok(format!(
        "imported and scanned out, 0 of {} pixels wrong",
        SMALL.pixels()
    ))
}

/// Parts are drawn under sync brackets; each shows. Then, as a control, one that was not drawn
/// is missed.
pub fn updates(stage: &mut Stage) -> Result<String> {
    let seed = fastrand::u64(..);
    looked_at(stage, seed).with_context(|| format!("random seed {seed}"))
}

fn looked_at(stage: &mut Stage, seed: u64) -> Result<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut picture = Picture::new(SMALL, 9);
    stage.show(Gpu::Blob, Memory::Memfd, &picture)?;
    for number in 1..=UPDATES {
        let layer = Layer {
            part: random_part(&mut random, SMALL, PART),
            seed: 300 + number,
        };
        stage.update(layer)?;
        picture.draw(layer);
        stage
            .expect(Gpu::Blob, &picture)
            .with_context(|| format!("update {number}"))?;
    }
    let screen = stage.screen(Gpu::Blob)?;
    stage.keep(&screen, "updates")?;

    let part = random_part(&mut random, SMALL, PART);
    picture.draw(Layer { part, seed: 400 });
    let Some(missed) = screen.compare_with(&picture)? else {
        bail!("an update that was not drawn is not missed");
    };
    ensure!(missed.count == part.size.pixels(), "{missed}");
    Ok(format!(
        "{UPDATES} updates, 0 pixels wrong; without one more, {} are",
        missed.count
    ))
}
