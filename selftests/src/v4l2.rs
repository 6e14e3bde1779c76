// SPDX-License-Identifier: GPL-2.0

//! A camera that captures into dma-bufs, by V4L2: as much of it as vivid, the kernel's camera that
//! is none, needs.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::io::Result;

use crate::DmaBuf;
use crate::abi;
use crate::limit::Limit;
use crate::limit::readable_within;
use crate::sys;

/// Where the kernel lists its video devices.
const CLASS: &str = "/sys/class/video4linux";

/// What a pixel is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Two bytes: brightness, and one of two colour differences.
    Yuyv,
    /// Four bytes: blue, green, red, and one without meaning; what DRM calls XRGB8888.
    Xbgr32,
}

impl Format {
    fn code(self) -> u32 {
        match self {
            Format::Yuyv => abi::PIXEL_FORMAT_YUYV,
            Format::Xbgr32 => abi::PIXEL_FORMAT_XBGR32,
        }
    }
}

/// How long to wait for a frame; a slow machine takes much less.
const PATIENCE: Limit = Limit::seconds(10);

/// A capture device, set up for frames of one size.
#[derive(Debug)]
pub struct Camera {
    fd: OwnedFd,
    size: usize,
    row: usize,
}

impl Camera {
    /// Opens the first device whose name ends with `name`, for frames of `width` by `height`
    /// pixels, or what the device takes for that.
    ///
    /// # Errors
    ///
    /// ENODEV when there is no such device, EINVAL when it does not know the format, and those of
    /// the device.
    pub fn open(name: &str, format: Format, width: u32, height: u32) -> Result<Camera> {
        let node = find(name).map_err(|_| Errno::NODEV)?.ok_or(Errno::NODEV)?;
        let fd = rustix::fs::open(
            format!("/dev/{node}"),
            OFlags::RDWR | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        let set = sys::v4l2::set_format(&fd, width, height, format.code())?;
        if set.pixelformat != format.code() {
            return Err(Errno::INVAL);
        }
        Ok(Camera {
            fd,
            size: set.sizeimage as usize,
            row: set.bytesperline as usize,
        })
    }

    /// Bytes of a frame.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Bytes from one row of pixels to the next.
    pub fn row(&self) -> usize {
        self.row
    }

    /// Captures one frame into each buffer, in their order.
    ///
    /// # Errors
    ///
    /// ENOBUFS when the device takes fewer buffers, ETIMEDOUT when no frame comes, EIO for a
    /// frame that the device calls damaged, and those of the device.
    pub fn capture(&self, frames: &[&DmaBuf]) -> Result<()> {
        // CAST: Nobody has that many.
        let count = frames.len() as u32;
        if sys::v4l2::request_buffers(&self.fd, count)? < count {
            return Err(Errno::NOBUFS);
        }
        let result = self.stream(frames);
        // The device lets go of the buffers, whatever came before.
        sys::v4l2::stream_off(&self.fd)?;
        sys::v4l2::request_buffers(&self.fd, 0)?;
        result
    }

    fn stream(&self, frames: &[&DmaBuf]) -> Result<()> {
        for (index, frame) in (0..).zip(frames) {
            sys::v4l2::queue(&self.fd, index, frame.as_fd().as_raw_fd())?;
        }
        let patience = PATIENCE
            .here()
            .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?;
        sys::v4l2::stream_on(&self.fd)?;
        for _ in frames {
            if !readable_within(&self.fd, patience)? {
                return Err(Errno::TIMEDOUT);
            }
            sys::v4l2::dequeue(&self.fd)?;
        }
        Ok(())
    }
}

/// The node of the first video device whose name ends with `name`.
fn find(name: &str) -> io::Result<Option<String>> {
    let mut nodes = Vec::new();
    for entry in fs::read_dir(CLASS)? {
        let entry = entry?;
        let other = fs::read_to_string(entry.path().join("name"))?;
        if other.trim_end().ends_with(name) {
            nodes.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(nodes.into_iter().min())
}
