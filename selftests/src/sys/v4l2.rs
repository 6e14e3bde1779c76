// SPDX-License-Identifier: GPL-2.0

//! ioctls of a video device that captures into dma-bufs, one plane each.

use std::ffi::c_int;
use std::os::fd::AsFd;

use rustix::io::Errno;
use rustix::io::Result;
use rustix::ioctl;
use rustix::ioctl::Updater;

use super::ioctl::call;
use crate::abi;

const CAPTURE: u32 = abi::V4L2_BUF_TYPE_VIDEO_CAPTURE;

/// The flag of a frame that is damaged (linux/videodev2.h).
const FLAG_ERROR: u32 = 0x40;

/// Asks for a format; returns what the device makes of it.
///
/// # Errors
///
/// Those of the device.
pub fn set_format(
    device: impl AsFd,
    width: u32,
    height: u32,
    pixelformat: u32,
) -> Result<abi::v4l2_pix_format> {
    let mut format = abi::v4l2_format {
        type_: CAPTURE,
        ..Default::default()
    };
    format.fmt.pix = abi::v4l2_pix_format {
        width,
        height,
        pixelformat,
        field: abi::V4L2_FIELD_NONE,
        ..Default::default()
    };
    call(device, &mut format)?;
    // SAFETY: It was written above, and by the kernel after that; any bits will do.
    Ok(unsafe { format.fmt.pix })
}

/// Makes room for `count` buffers; returns for how many there is.
///
/// # Errors
///
/// Those of the device.
pub fn request_buffers(device: impl AsFd, count: u32) -> Result<u32> {
    let mut request = abi::v4l2_requestbuffers {
        count,
        type_: CAPTURE,
        memory: abi::V4L2_MEMORY_DMABUF,
        ..Default::default()
    };
    call(device, &mut request)?;
    Ok(request.count)
}

fn buffer(index: u32, fd: c_int) -> abi::v4l2_buffer {
    abi::v4l2_buffer {
        index,
        type_: CAPTURE,
        memory: abi::V4L2_MEMORY_DMABUF,
        m: abi::v4l2_buffer__bindgen_ty_1 { fd },
        ..Default::default()
    }
}

/// Gives dma-buf `fd` to the device as its buffer `index`.
///
/// # Errors
///
/// Those of the device, and of the dma-buf's exporter.
pub fn queue(device: impl AsFd, index: u32, fd: c_int) -> Result<()> {
    let mut buffer = buffer(index, fd);
    // SAFETY: The structure is the request's. For one plane the kernel follows no pointer in it.
    let update =
        unsafe { Updater::<{ abi::REQUEST_V4L2_QUEUE }, abi::v4l2_buffer>::new(&mut buffer) };
    // SAFETY: As above.
    unsafe { ioctl::ioctl(device, update) }
}

/// Takes the next buffer back from the device; returns its number.
///
/// # Errors
///
/// EAGAIN for a descriptor that does not wait, EIO when the frame is damaged, and those of the
/// device.
pub fn dequeue(device: impl AsFd) -> Result<u32> {
    let mut buffer = buffer(0, 0);
    // SAFETY: The structure is the request's. For one plane the kernel follows no pointer in it.
    let update =
        unsafe { Updater::<{ abi::REQUEST_V4L2_DEQUEUE }, abi::v4l2_buffer>::new(&mut buffer) };
    // SAFETY: As above.
    unsafe { ioctl::ioctl(device, update) }?;
    if buffer.flags & FLAG_ERROR != 0 {
        return Err(Errno::IO);
    }
    Ok(buffer.index)
}

/// Lets the device fill the buffers that it was given.
///
/// # Errors
///
/// Those of the device.
pub fn stream_on(device: impl AsFd) -> Result<()> {
    stream::<{ abi::REQUEST_V4L2_STREAM_ON }>(device)
}

/// Ends that, and takes all buffers back.
///
/// # Errors
///
/// Those of the device.
pub fn stream_off(device: impl AsFd) -> Result<()> {
    stream::<{ abi::REQUEST_V4L2_STREAM_OFF }>(device)
}

fn stream<const REQUEST: u32>(device: impl AsFd) -> Result<()> {
    // CAST: The number of a buffer type is small.
    let kind = CAPTURE as c_int;
    // SAFETY: Both requests read one int, the type of the buffers.
    let setter = unsafe { ioctl::Setter::<REQUEST, c_int>::new(kind) };
    // SAFETY: As above.
    unsafe { ioctl::ioctl(device, setter) }
}
