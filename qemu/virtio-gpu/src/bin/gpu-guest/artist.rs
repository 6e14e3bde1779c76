// SPDX-License-Identifier: GPL-2.0

//! What is on the screens, and how it changes.

use std::{collections::VecDeque, ops::RangeInclusive};

use anyhow::{Context, Result, ensure};
use selftests::{
    Access,
    v4l2::{Camera, Format},
};
use virtio_gpu::{Gpu, Layer, Memory, Picture, Rectangle, Size};

use crate::{card::Card, shared::Shared, surface::Surface};

/// As many buffers as the camera wants.
const FRAMES: usize = 2;

/// The name of the camera, which is vivid's, ends with this.
const CAMERA: &str = "vid-cap";

/// Framebuffers that exist at a time while they come and go.
const ALIVE: usize = 8;

/// The sizes, up to that of a small screen. The GPU takes no framebuffer below 32 by 32.
const WIDTHS: RangeInclusive<u32> = 32..=640;
const HEIGHTS: RangeInclusive<u32> = 32..=480;

/// One GPU's screen.
struct Screen {
    gpu: Gpu,
    card: Card,
    front: Surface,
    /// The other of the two buffers that are flipped.
    back: Option<Surface>,
}

impl Screen {
    /// The first picture on a GPU.
    fn new(gpu: Gpu, make: impl FnOnce(&Card) -> Result<Surface>) -> Result<Self> {
        let card = Card::open(gpu)?;
        let front = make(&card)?;
        card.set_mode(front.framebuffer(), front.size())?;
        Ok(Screen {
            gpu,
            card,
            front,
            back: None,
        })
    }

    /// Another picture, with another mode perhaps.
    fn replace(&mut self, front: Surface) -> Result<()> {
        self.card.set_mode(front.framebuffer(), front.size())?;
        let old = std::mem::replace(&mut self.front, front);
        for surface in [Some(old), self.back.take()].into_iter().flatten() {
            surface.destroy(&self.card)?;
        }
        Ok(())
    }

    /// Draws over a part of the buffer that is not on the screen, and flips to it. At first that
    /// is a copy of the one that is.
    fn flip(&mut self, layer: Layer) -> Result<()> {
        let mut back = match self.back.take() {
            Some(back) => back,
            None => self.front.copy(&self.card)?,
        };
        back.draw_layer(&self.card, layer)?;
        self.card.flip(back.framebuffer())?;
        self.back = Some(std::mem::replace(&mut self.front, back));
        Ok(())
    }
}

/// Everything on both screens; the blob GPU's is the one that is worked on.
#[derive(Default)]
pub struct Artist {
    screens: Vec<Screen>,
}

impl Artist {
    /// Puts something new on a GPU's screen.
    fn put(&mut self, gpu: Gpu, make: impl FnOnce(&Card) -> Result<Surface>) -> Result<()> {
        match self.screens.iter_mut().find(|screen| screen.gpu == gpu) {
            Some(screen) => {
                let made = make(&screen.card)?;
                screen.replace(made)
            }
            None => {
                self.screens.push(Screen::new(gpu, make)?);
                Ok(())
            }
        }
    }

    fn blob(&mut self) -> Result<&mut Screen> {
        let mut screens = self.screens.iter_mut();
        let screen = screens.find(|screen| screen.gpu == Gpu::Blob);
        screen.context("nothing is on the screen yet")
    }

    /// Puts a picture on a screen, with one pixel wrong if that is wanted.
    pub fn show(
        &mut self,
        gpu: Gpu,
        memory: Memory,
        picture: &Picture,
        wrong: Option<(u32, u32)>,
    ) -> Result<()> {
        self.put(gpu, |card| {
            let mut surface = Surface::new(card, memory, picture.size())?;
            surface.draw(card, picture, picture.size().whole())?;
            if let Some(place) = wrong {
                surface.spoil(card, picture, place)?;
            }
            Ok(surface)
        })
    }

    /// Draws over a part of what is on the screen.
    pub fn update(&mut self, layer: Layer) -> Result<()> {
        let screen = self.blob()?;
        screen.front.draw_layer(&screen.card, layer)?;
        screen.card.update(screen.front.framebuffer(), layer.part)
    }

    /// Flips to a buffer with something else in it.
    pub fn flip(&mut self, layer: Layer) -> Result<()> {
        self.blob()?.flip(layer)
    }

    /// Flips until somebody ends it.
    pub fn flip_for_ever(&mut self, begun: impl FnOnce() -> Result<()>) -> Result<()> {
        let screen = self.blob()?;
        let part = Rectangle {
            x: 0,
            y: 0,
            size: Size {
                width: 64,
                height: 64,
            },
        };
        screen.flip(Layer { part, seed: 0 })?;
        begun()?;
        for seed in (1..1 << 24).cycle() {
            screen.flip(Layer { part, seed })?;
        }
        Ok(())
    }

    /// Makes framebuffers of random sizes, some of which exist at the same time, and destroys them.
    pub fn churn(&mut self, count: u32, seed: u64) -> Result<()> {
        let card = &self.blob()?.card;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut alive = VecDeque::new();
        for _ in 0..count {
            let size = Size {
                width: random.u32(WIDTHS),
                height: random.u32(HEIGHTS),
            };
            alive.push_back(Surface::new(card, Memory::Dumb, size)?);
            if alive.len() > ALIVE {
                let any = random.usize(..alive.len());
                alive.swap(0, any);
                if let Some(surface) = alive.pop_front() {
                    surface.destroy(card)?;
                }
            }
        }
        alive
            .into_iter()
            .try_for_each(|surface| surface.destroy(card))
    }

    /// Puts on the screen what the camera sees.
    pub fn capture(&mut self, size: Size) -> Result<()> {
        let camera = Camera::open(CAMERA, Format::Xbgr32, size.width, size.height);
        let camera = camera.context("no camera (vivid) with pixels as the screen has them")?;
        ensure!(
            camera.size() == size.bytes(),
            "the camera has no frames of {size}"
        );
        let mut frames = Vec::new();
        for _ in 0..FRAMES {
            frames.push(Shared::new(size.bytes())?);
        }
        let buffers: Vec<_> = frames.iter().map(|frame| &frame.buffer).collect();
        // The camera writes as a CPU does; to bracket that is its user's part.
        let brackets = buffers.iter().map(|buffer| buffer.begin(Access::Write));
        let brackets = brackets.collect::<Result<Vec<_>, _>>();
        let brackets = brackets.context("SYNC_START")?;
        camera
            .capture(&buffers)
            .context("the camera does not capture")?;
        for bracket in brackets {
            bracket.end().context("SYNC_END")?;
        }
        let last = frames.pop().context("no frame")?;
        self.put(Gpu::Blob, |card| Surface::import(card, last, size))
    }

    /// What is on the screen, as the CPU sees it.
    pub fn read(&mut self) -> Result<Vec<u8>> {
        let screen = self.blob()?;
        screen.front.read(&screen.card)
    }
}
