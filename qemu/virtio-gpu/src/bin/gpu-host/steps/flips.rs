// SPDX-License-Identifier: GPL-2.0

//! Two buffers in turn.

use anyhow::{Context, Result};
use virtio_gpu::{Gpu, Layer, Memory, Picture, Request, Size};

use super::{LARGE, SMALL, random_part};
use crate::stage::Stage;

/// How often.
const FLIPS: u32 = 100;

/// Every flip is looked at with a chance of one in this.
const LOOK: u32 = 8;

/// The most that is drawn before a flip.
const PART: Size = Size {
    width: 64,
    height: 64,
};

/// 640x480.
pub fn small(stage: &mut Stage) -> Result<String> {
    flips(stage, SMALL)
}

/// 1920x1080.
pub fn large(stage: &mut Stage) -> Result<String> {
    flips(stage, LARGE)
}

/// Before every flip something is drawn into the buffer that comes to the screen, so that
/// neither an older state nor the other buffer is taken for it.
fn flips(stage: &mut Stage, size: Size) -> Result<String> {
    let seed = fastrand::u64(..);
    looked_at(stage, size, seed).with_context(|| format!("random seed {seed}"))
}

fn looked_at(stage: &mut Stage, size: Size, seed: u64) -> Result<String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut front = Picture::new(size, 6);
    stage.show(Gpu::Blob, Memory::Dumb, &front)?;
    let mut back = front.clone();
    let mut looked = 0;
    for flip in 1..=FLIPS {
        let part = random_part(&mut random, size, PART);
        let layer = Layer {
            part,
            seed: 100 + flip,
        };
        stage.ask(&Request::Flip(layer))?;
        back.draw(layer);
        std::mem::swap(&mut front, &mut back);
        if flip == 1 || flip == FLIPS || random.u32(..LOOK) == 0 {
            stage
                .expect(Gpu::Blob, &front)
                .with_context(|| format!("after flip {flip}"))?;
            looked += 1;
        }
    }
    Ok(format!(
        "{FLIPS} flips, {looked} screens looked at, 0 pixels wrong"
    ))
}
