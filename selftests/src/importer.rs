// SPDX-License-Identifier: GPL-2.0

//! Real devices that read and write a dma-buf: QEMU's edu, through `/dev/edu-importer`.

use std::ffi::CStr;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Result;

use crate::DmaBuf;
use crate::PAGE;
use crate::abi;
use crate::sys;

/// The importer's device file.
pub const DEVICE: &str = "/dev/edu-importer";

/// Size of the memory inside one edu device, in bytes.
pub const MEMORY: usize = abi::EDU_MEMORY_SIZE as usize;

/// Which way data may move through a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    Bidirectional,
    /// The device reads the buffer.
    ToDevice,
    /// The device writes the buffer.
    FromDevice,
}

impl Direction {
    fn number(self) -> u32 {
        match self {
            Direction::Bidirectional => abi::EDU_BIDIRECTIONAL,
            Direction::ToDevice => abi::EDU_TO_DEVICE,
            Direction::FromDevice => abi::EDU_FROM_DEVICE,
        }
    }
}

/// One edu device. Everything made through it is given back when it is dropped.
#[derive(Debug)]
pub struct Edu {
    importer: OwnedFd,
    device: u32,
}

impl Edu {
    /// Opens edu device `number`: 0, 1, ... in the order of the bus.
    ///
    /// # Errors
    ///
    /// ENOENT when the importer is not loaded, ENODEV when there is no such device.
    pub fn open(number: u32) -> Result<Edu> {
        let importer = fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        let edu = Edu {
            importer,
            device: number,
        };
        edu.query()?;
        Ok(edu)
    }

    fn query(&self) -> Result<abi::edu_query> {
        let mut query = abi::edu_query {
            device: self.device,
            ..Default::default()
        };
        sys::ioctl::call(&self.importer, &mut query)?;
        Ok(query)
    }

    /// The device's name on its bus.
    ///
    /// # Errors
    ///
    /// Those of the importer.
    pub fn name(&self) -> Result<String> {
        let name = self.query()?.name.map(|byte| byte as u8);
        let name = CStr::from_bytes_until_nul(&name).unwrap_or(c"unnamed");
        Ok(name.to_string_lossy().into_owned())
    }

    /// How many address bits the device can use.
    ///
    /// # Errors
    ///
    /// Those of the importer.
    pub fn dma_bits(&self) -> Result<u32> {
        Ok(self.query()?.dma_bits)
    }

    /// Changes how many address bits the device can use.
    ///
    /// # Errors
    ///
    /// EINVAL for more than it has, EBUSY while something is attached that has been mapped, EIO when the
    /// machine has no memory for so few bits.
    pub fn set_dma_bits(&self, dma_bits: u32) -> Result<()> {
        let mut mask = abi::edu_mask {
            device: self.device,
            dma_bits,
        };
        sys::ioctl::call(&self.importer, &mut mask).map(drop)
    }

    /// Copies bytes into the device's own memory, without any dma-buf.
    ///
    /// # Errors
    ///
    /// EINVAL when they do not fit.
    pub fn load(&self, device_offset: usize, bytes: &[u8]) -> Result<()> {
        sys::ioctl::edu_load(&self.importer, self.device, device_offset as u32, bytes)
    }

    /// Copies bytes out of the device's own memory, without any dma-buf.
    ///
    /// # Errors
    ///
    /// EINVAL when the range is outside the device's memory.
    pub fn store(&self, device_offset: usize, bytes: &mut [u8]) -> Result<()> {
        sys::ioctl::edu_store(&self.importer, self.device, device_offset as u32, bytes)
    }

    /// Writes words to a register of the device that does nothing with them, for whoever watches
    /// from outside. Nothing comes in between.
    ///
    /// # Errors
    ///
    /// EINVAL for no words, or too many.
    pub fn note(&self, words: &[u32]) -> Result<()> {
        sys::ioctl::edu_note(&self.importer, self.device, words)
    }

    /// Attaches a buffer to the device.
    ///
    /// # Errors
    ///
    /// Those of dma_buf_attach().
    pub fn attach(&self, buffer: &DmaBuf) -> Result<Attachment<'_>> {
        self.attach_with(buffer, 0)
    }

    /// The same of an importer that can do with a buffer that moves.
    ///
    /// # Errors
    ///
    /// Those of dma_buf_dynamic_attach().
    pub fn attach_dynamic(&self, buffer: &DmaBuf) -> Result<Attachment<'_>> {
        self.attach_with(buffer, abi::EDU_DYNAMIC)
    }

    fn attach_with(&self, buffer: &DmaBuf, flags: u32) -> Result<Attachment<'_>> {
        let mut attach = abi::edu_attach {
            fd: buffer.as_fd().as_raw_fd(),
            device: self.device,
            flags,
            ..Default::default()
        };
        sys::ioctl::call(&self.importer, &mut attach)?;
        Ok(Attachment {
            edu: self,
            handle: attach.attachment,
        })
    }

    /// Writes the buffer from inside the kernel: vmap, begin, copy, end, vunmap.
    ///
    /// # Errors
    ///
    /// EINVAL when the range is outside the buffer, and those of the exporter.
    pub fn vmap_write(&self, buffer: &DmaBuf, offset: usize, bytes: &[u8]) -> Result<()> {
        let fd = buffer.as_fd().as_raw_fd();
        sys::ioctl::edu_vmap_write(&self.importer, fd, offset as u64, bytes)
    }

    /// Reads the buffer from inside the kernel.
    ///
    /// # Errors
    ///
    /// As [`Edu::vmap_write`].
    pub fn vmap_read(&self, buffer: &DmaBuf, offset: usize, bytes: &mut [u8]) -> Result<()> {
        let fd = buffer.as_fd().as_raw_fd();
        sys::ioctl::edu_vmap_read(&self.importer, fd, offset as u64, bytes)
    }

    /// The page frame numbers of a whole buffer, page by page, whatever its exporter tells programs.
    ///
    /// # Errors
    ///
    /// EOPNOTSUPP for a buffer that is not memory, and those of the exporter.
    pub fn frames(&self, buffer: &DmaBuf) -> Result<Vec<u64>> {
        let mut frames = vec![0; buffer.size()? / PAGE];
        let fd = buffer.as_fd().as_raw_fd();
        sys::ioctl::edu_frames(&self.importer, fd, &mut frames)?;
        Ok(frames)
    }
}

/// A device that uses fewer address bits than it has, until this is dropped. Memory that it does
/// not reach takes it a bounce buffer.
#[derive(Debug)]
pub struct Narrow {
    edu: Edu,
    bits: u32,
}

impl Narrow {
    /// Lets the device use `bits` address bits, or those that it has if they are fewer.
    ///
    /// # Errors
    ///
    /// As [`Edu::set_dma_bits`].
    pub fn new(edu: Edu, bits: u32) -> Result<Narrow> {
        let before = edu.dma_bits()?;
        edu.set_dma_bits(bits.min(before))?;
        Ok(Narrow { edu, bits: before })
    }
}

impl Deref for Narrow {
    type Target = Edu;

    fn deref(&self) -> &Edu {
        &self.edu
    }
}

impl Drop for Narrow {
    fn drop(&mut self) {
        // Only refused while something is attached, and attachments borrow the device.
        let _ = self.edu.set_dma_bits(self.bits);
    }
}

/// A buffer attached to a device; detached on drop.
#[derive(Debug)]
pub struct Attachment<'a> {
    edu: &'a Edu,
    handle: u32,
}

impl Attachment<'_> {
    /// The device.
    pub fn device(&self) -> &Edu {
        self.edu
    }

    /// Hands the buffer over to the device.
    ///
    /// # Errors
    ///
    /// Those of dma_buf_map_attachment().
    pub fn map(&self, direction: Direction) -> Result<DeviceMapping<'_>> {
        let mut map = abi::edu_map {
            attachment: self.handle,
            direction: direction.number(),
            ..Default::default()
        };
        sys::ioctl::call(&self.edu.importer, &mut map)?;
        Ok(DeviceMapping {
            edu: self.edu,
            handle: map.mapping,
            segments: map.segments,
        })
    }

    /// Hands the buffer over to the device, which learns by an array of `struct dma_vec` where it is.
    ///
    /// # Errors
    ///
    /// Those of udmabuf_map_vecs_unlocked(), EOPNOTSUPP where no driver has it, and EIO for an array
    /// of another size than the buffer's.
    pub fn map_vecs(&self, direction: Direction) -> Result<DeviceMapping<'_>> {
        let mut map = abi::edu_map {
            attachment: self.handle,
            direction: direction.number(),
            ..Default::default()
        };
        sys::ioctl::edu_map_vecs(&self.edu.importer, &mut map)?;
        Ok(DeviceMapping {
            edu: self.edu,
            handle: map.mapping,
            segments: map.segments,
        })
    }

    /// Says that the device takes part in the CPU's atomic operations.
    ///
    /// # Errors
    ///
    /// Those of udmabuf_declare_atomics(), and EOPNOTSUPP where no driver has it.
    pub fn declare_atomics(&self) -> Result<()> {
        sys::ioctl::edu_declare_atomics(&self.edu.importer, self.handle)
    }

    /// Has the driver of the device give its reference to the buffer back, and forget the attachment, while
    /// its mappings go on. That is a fault: an exporter that does not keep what is mapped frees it.
    ///
    /// # Errors
    ///
    /// EINVAL if nothing is mapped.
    pub fn forget(&self) -> Result<()> {
        sys::ioctl::edu_forget(&self.edu.importer, self.handle)
    }

    /// Detaches the buffer from the device.
    ///
    /// # Errors
    ///
    /// Those of the importer; dropping tries again then.
    pub fn detach(self) -> Result<()> {
        self.release()?;
        std::mem::forget(self);
        Ok(())
    }

    fn release(&self) -> Result<()> {
        sys::ioctl::edu_release(&self.edu.importer, abi::REQUEST_EDU_DETACH, self.handle)
    }
}

impl Drop for Attachment<'_> {
    fn drop(&mut self) {
        // The handle is ours, and its mappings, which borrow from us, are gone: cannot fail.
        let _ = self.release();
    }
}

/// A buffer that the device may access; handed back on drop.
#[derive(Debug)]
pub struct DeviceMapping<'a> {
    edu: &'a Edu,
    handle: u32,
    segments: u32,
}

impl DeviceMapping<'_> {
    /// In how many pieces the device sees the buffer.
    pub fn segments(&self) -> u32 {
        self.segments
    }

    /// Lets the device read buffer bytes from `offset` on, and returns what it got: as many bytes
    /// as `bytes` is long, in pieces that fit its memory.
    ///
    /// # Errors
    ///
    /// EINVAL when the mapping's direction or the range forbids it, ETIMEDOUT.
    pub fn device_reads(&self, offset: usize, bytes: &mut [u8]) -> Result<()> {
        for (index, piece) in bytes.chunks_mut(MEMORY).enumerate() {
            self.dma(Direction::ToDevice, offset + index * MEMORY, piece.len())?;
            self.edu.store(0, piece)?;
        }
        Ok(())
    }

    /// Lets the device write `bytes` to the buffer from `offset` on.
    ///
    /// # Errors
    ///
    /// As [`DeviceMapping::device_reads`].
    pub fn device_writes(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        for (index, piece) in bytes.chunks(MEMORY).enumerate() {
            self.edu.load(0, piece)?;
            self.dma(Direction::FromDevice, offset + index * MEMORY, piece.len())?;
        }
        Ok(())
    }

    /// The device is going to access the buffer: what others wrote is there for it, with no bracket.
    ///
    /// # Errors
    ///
    /// Those of udmabuf_begin_device_access(), and EOPNOTSUPP where no driver has it.
    pub fn begin_access(&self, direction: Direction) -> Result<()> {
        self.access(direction, abi::EDU_ACCESS_BEGIN)
    }

    /// The device has accessed the buffer: what it wrote is there for others, with no bracket.
    ///
    /// # Errors
    ///
    /// Those of udmabuf_end_device_access(), and EOPNOTSUPP where no driver has it.
    pub fn end_access(&self, direction: Direction) -> Result<()> {
        self.access(direction, abi::EDU_ACCESS_END)
    }

    fn access(&self, direction: Direction, side: u32) -> Result<()> {
        let mut access = abi::edu_access {
            mapping: self.handle,
            direction: direction.number(),
            side,
            ..Default::default()
        };
        sys::ioctl::call(&self.edu.importer, &mut access).map(drop)
    }

    fn dma(&self, direction: Direction, offset: usize, length: usize) -> Result<()> {
        let mut dma = abi::edu_dma {
            mapping: self.handle,
            direction: direction.number(),
            offset: offset as u64,
            device_offset: 0,
            length: length as u32,
        };
        sys::ioctl::call(&self.edu.importer, &mut dma).map(drop)
    }

    /// Takes the buffer back from the device.
    ///
    /// # Errors
    ///
    /// Those of the importer; dropping tries again then.
    pub fn unmap(self) -> Result<()> {
        self.release()?;
        std::mem::forget(self);
        Ok(())
    }

    fn release(&self) -> Result<()> {
        sys::ioctl::edu_release(&self.edu.importer, abi::REQUEST_EDU_UNMAP, self.handle)
    }
}

impl Drop for DeviceMapping<'_> {
    fn drop(&mut self) {
        // The handle is ours: cannot fail.
        let _ = self.release();
    }
}
