// SPDX-License-Identifier: GPL-2.0

//! A GPU with one screen, through DRM's mode setting calls.

use std::{
    fs::{self, File},
    os::fd::{AsFd, BorrowedFd},
};

use anyhow::{Context, Result, bail};
use drm::control::{
    ClipRect, Device as _, Event, Mode, PageFlipFlags, connector, crtc, framebuffer,
};
use virtio_gpu::{Gpu, Rectangle, Size};

/// Where the kernel lists GPUs.
const CLASS: &str = "/sys/class/drm";

/// The device node of a GPU, of which this process is the master.
struct Node(File);

impl AsFd for Node {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl drm::Device for Node {}
impl drm::control::Device for Node {}

/// An open GPU with its screen.
pub struct Card {
    node: Node,
    connector: connector::Handle,
    crtc: crtc::Handle,
    modes: Vec<Mode>,
}

impl AsFd for Card {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.node.as_fd()
    }
}

impl drm::Device for Card {}
impl drm::control::Device for Card {}

impl Card {
    /// Opens the GPU in its PCI slot and finds its screen.
    pub fn open(gpu: Gpu) -> Result<Self> {
        let path = format!("/dev/dri/{}", name(gpu)?);
        let file = File::options().read(true).write(true).open(&path);
        let node = Node(file.with_context(|| path.clone())?);
        let resources = node.resource_handles().context("no mode setting")?;
        for handle in resources.connectors() {
            let connector = node.get_connector(*handle, true)?;
            if connector.state() == connector::State::Connected {
                let crtc = resources.crtcs().first().context("no CRTC")?;
                return Ok(Card {
                    connector: *handle,
                    crtc: *crtc,
                    modes: connector.modes().to_vec(),
                    node,
                });
            }
        }
        bail!("{path} has no screen")
    }

    /// Sets the mode of that size, with this framebuffer on the screen.
    pub fn set_mode(&self, framebuffer: framebuffer::Handle, size: Size) -> Result<()> {
        let fits = |mode: &&Mode| {
            let (width, height) = mode.size();
            Size {
                width: width.into(),
                height: height.into(),
            } == size
        };
        let mode = self.modes.iter().find(fits);
        let mode = mode.with_context(|| format!("the screen has no mode {size}"))?;
        self.set_crtc(
            self.crtc,
            Some(framebuffer),
            (0, 0),
            &[self.connector],
            Some(*mode),
        )
        .with_context(|| format!("cannot set the mode {size}"))
    }

    /// Tells the GPU that a part of the framebuffer has changed.
    pub fn update(&self, framebuffer: framebuffer::Handle, part: Rectangle) -> Result<()> {
        let Rectangle { x, y, size } = part;
        // CAST: Framebuffers are not that large.
        let [x1, y1, x2, y2] = [x, y, x + size.width, y + size.height].map(|n| n as u16);
        self.dirty_framebuffer(framebuffer, &[ClipRect::new(x1, y1, x2, y2)])
            .context("cannot update the screen")
    }

    /// Puts another framebuffer of the same size on the screen, and waits until it is there.
    pub fn flip(&self, framebuffer: framebuffer::Handle) -> Result<()> {
        self.page_flip(self.crtc, framebuffer, PageFlipFlags::EVENT, None)
            .context("cannot flip")?;
        loop {
            let mut events = self.receive_events().context("no news of the flip")?;
            if events.any(|event| matches!(event, Event::PageFlip(_))) {
                return Ok(());
            }
        }
    }
}

/// The name of the GPU's device node.
fn name(gpu: Gpu) -> Result<String> {
    let slot = format!("0000:00:{:02x}.0", gpu.slot());
    for entry in fs::read_dir(CLASS).context(CLASS)? {
        let entry = entry.context(CLASS)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Connectors are listed as well, with a dash in their names.
        if name.starts_with("card") && !name.contains('-') {
            let device = fs::canonicalize(entry.path())?;
            if device.iter().any(|part| part == slot.as_str()) {
                return Ok(name);
            }
        }
    }
    bail!("no GPU in the PCI slot {slot}")
}
