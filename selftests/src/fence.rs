// SPDX-License-Identifier: GPL-2.0

//! Fences that a program makes and signals, in the place of a device that has not finished yet: those
//! of a timeline (CONFIG_SW_SYNC), which kernels for tests have, or else of the driver vgem
//! (CONFIG_DRM_VGEM), which distributions have.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::io::Result;

use crate::Access;
use crate::DmaBuf;
use crate::abi;
use crate::sys;

const TIMELINE: &str = "/sys/kernel/debug/sync/sw_sync";
const CARDS: &str = "/dev/dri";

/// A device's work, which is over when this says so, or is dropped.
#[derive(Debug)]
pub struct Work(Kind);

#[derive(Debug)]
enum Kind {
    Timeline(OwnedFd),
    /// The kernel ends this one after ten seconds.
    Vgem {
        card: File,
        fence: u32,
    },
}

impl Work {
    /// Starts work that reads the buffer, or writes it.
    ///
    /// # Errors
    ///
    /// ENOENT where the kernel has neither, ENOMEM, EMFILE.
    pub fn start(buffer: &DmaBuf, access: Access) -> Result<Work> {
        let (kind, fence) = match timeline() {
            Err(Errno::NOENT) => vgem()?,
            made => made?,
        };
        let mut import = abi::dma_buf_import_sync_file {
            flags: access.sync_flags() as u32,
            fd: fence.as_fd().as_raw_fd(),
        };
        sys::ioctl::call(buffer, &mut import)?;
        Ok(Work(kind))
    }

    /// The work is done.
    ///
    /// # Errors
    ///
    /// Those of the timeline; ETIMEDOUT when the kernel has ended it before.
    pub fn finish(&self) -> Result<()> {
        match &self.0 {
            Kind::Timeline(timeline) => sys::ioctl::sw_sync_increment(timeline, 1),
            Kind::Vgem { card, fence } => {
                let mut signal = abi::vgem_signal {
                    fence: *fence,
                    flags: 0,
                };
                sys::ioctl::call(card, &mut signal).map(drop)
            }
        }
    }
}

/// A fence of a timeline of its own, as a sync file.
fn timeline() -> Result<(Kind, OwnedFd)> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let timeline = fs::open(TIMELINE, flags, Mode::empty())?;
    let fence = sys::ioctl::sw_sync_fence(&timeline, 1)?;
    Ok((Kind::Timeline(timeline), fence))
}

/// A fence of vgem, as a sync file: it is made for a buffer of that driver, and taken from there.
fn vgem() -> Result<(Kind, OwnedFd)> {
    let card = open_vgem()?;
    let mut buffer = abi::drm_dumb_buffer {
        height: 1,
        width: 1,
        bits: 32,
        ..Default::default()
    };
    sys::ioctl::call(&card, &mut buffer)?;
    let mut attach = abi::vgem_attach {
        handle: buffer.handle,
        flags: 1,
        ..Default::default()
    };
    sys::ioctl::call(&card, &mut attach)?;
    let exported = sys::ioctl::drm_export(&card, buffer.handle)?;
    let sync_file = sys::ioctl::export_sync_file(exported)?;
    let fence = attach.fence;
    Ok((Kind::Vgem { card, fence }, sync_file))
}

fn open_vgem() -> Result<File> {
    let cards = std::fs::read_dir(CARDS).map_err(|_| Errno::NOENT)?;
    cards
        .flatten()
        .filter_map(|entry| {
            File::options()
                .read(true)
                .write(true)
                .open(entry.path())
                .ok()
        })
        .find(|card| sys::ioctl::drm_name(card).is_ok_and(|name| name == "vgem"))
        .ok_or(Errno::NOENT)
}
