// SPDX-License-Identifier: GPL-2.0

//! Fences that a program makes and signals, in the place of a device that has not finished yet
//! (CONFIG_SW_SYNC).

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Result;

use crate::Access;
use crate::DmaBuf;
use crate::abi;
use crate::sys;

const FILE: &str = "/sys/kernel/debug/sync/sw_sync";

/// A device's work, which is over when this says so, or is dropped.
#[derive(Debug)]
pub struct Work {
    timeline: OwnedFd,
}

impl Work {
    /// Starts work that reads the buffer, or writes it.
    ///
    /// # Errors
    ///
    /// ENOENT without CONFIG_SW_SYNC, ENOMEM, EMFILE.
    pub fn start(buffer: &DmaBuf, access: Access) -> Result<Work> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let timeline = fs::open(FILE, flags, Mode::empty())?;
        let fence = sys::ioctl::sw_sync_fence(&timeline, 1)?;
        let mut import = abi::dma_buf_import_sync_file {
            flags: access.sync_flags() as u32,
            fd: fence.as_fd().as_raw_fd(),
        };
        sys::ioctl::call(buffer, &mut import)?;
        Ok(Work { timeline })
    }

    /// The work is done.
    ///
    /// # Errors
    ///
    /// Those of the timeline.
    pub fn finish(&self) -> Result<()> {
        sys::ioctl::sw_sync_increment(&self.timeline, 1)
    }
}
