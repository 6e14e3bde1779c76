// SPDX-License-Identifier: GPL-2.0

//! `/dev/edu-importer` by handles, which may be used in any order, and wrongly.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Result;

use selftests::DmaBuf;
use selftests::Errno;
use selftests::abi;
use selftests::importer;
use selftests::sys::ioctl;

use crate::call::Way;
use crate::cells::Piece;

/// An open file of the importer.
#[derive(Debug)]
pub struct Importer(OwnedFd);

fn number(way: Way) -> u32 {
    match way {
        Way::Read => abi::EDU_TO_DEVICE,
        Way::Write => abi::EDU_FROM_DEVICE,
        Way::Both => abi::EDU_BIDIRECTIONAL,
    }
}

impl Importer {
    pub fn open() -> Result<Importer> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        fs::open(importer::DEVICE, flags, Mode::empty()).map(Importer)
    }

    pub fn attach(&self, buffer: &DmaBuf, device: u8) -> Result<u32> {
        let mut attach = abi::edu_attach {
            fd: buffer.as_fd().as_raw_fd(),
            device: device.into(),
            ..Default::default()
        };
        ioctl::call(&self.0, &mut attach)?;
        Ok(attach.attachment)
    }

    pub fn detach(&self, attachment: u32) -> Result<()> {
        ioctl::edu_release(&self.0, abi::REQUEST_EDU_DETACH, attachment)
    }

    pub fn map(&self, attachment: u32, way: Way) -> Result<u32> {
        let mut map = abi::edu_map {
            attachment,
            direction: number(way),
            ..Default::default()
        };
        ioctl::call(&self.0, &mut map)?;
        Ok(map.mapping)
    }

    /// The same by an array of addresses, which only our driver has.
    pub fn map_vecs(&self, attachment: u32, way: Way) -> Result<u32> {
        let mut map = abi::edu_map {
            attachment,
            direction: number(way),
            ..Default::default()
        };
        ioctl::edu_map_vecs(&self.0, &mut map)?;
        Ok(map.mapping)
    }

    /// The device is going to access the buffer, or has done so: `side` is one of `EDU_ACCESS_*`.
    pub fn access(&self, mapping: u32, way: Way, side: u32) -> Result<()> {
        let mut access = abi::edu_access {
            mapping,
            direction: number(way),
            side,
            ..Default::default()
        };
        ioctl::call(&self.0, &mut access).map(drop)
    }

    pub fn declare_atomics(&self, attachment: u32) -> Result<()> {
        ioctl::edu_declare_atomics(&self.0, attachment)
    }

    /// The device's driver puts the buffer before it unmaps and detaches, which the last unmapping does.
    pub fn forget(&self, attachment: u32) -> Result<()> {
        ioctl::edu_forget(&self.0, attachment)
    }

    pub fn unmap(&self, mapping: u32) -> Result<()> {
        ioctl::edu_release(&self.0, abi::REQUEST_EDU_UNMAP, mapping)
    }

    /// Lets the device write the pieces, which lie side by side; or read and compare them, and say
    /// what is wrong.
    pub fn transfer(
        &self,
        (device, mapping): (u8, u32),
        pieces: &[Piece],
        write: bool,
    ) -> Result<Option<String>> {
        let start = pieces.first().ok_or(Errno::INVAL)?.at;
        let mut bytes: Vec<u8> = pieces.iter().flat_map(Piece::bytes).collect();
        for (index, part) in bytes.chunks_mut(importer::MEMORY).enumerate() {
            let offset = start + (index * importer::MEMORY) as u64;
            if write {
                ioctl::edu_load(&self.0, device.into(), 0, part)?;
            }
            let mut dma = abi::edu_dma {
                mapping,
                direction: number(if write { Way::Write } else { Way::Read }),
                offset,
                device_offset: 0,
                length: part.len() as u32,
            };
            ioctl::call(&self.0, &mut dma)?;
            if !write {
                ioctl::edu_store(&self.0, device.into(), 0, part)?;
            }
        }
        if write {
            return Ok(None);
        }
        let wrong = pieces.iter().find_map(|piece| {
            let at = (piece.at - start) as usize;
            piece.check(&bytes[at..at + piece.len as usize])
        });
        Ok(wrong)
    }

    pub fn set_bits(&self, device: u8, bits: u8) -> Result<()> {
        let mut mask = abi::edu_mask {
            device: device.into(),
            dma_bits: bits.into(),
        };
        ioctl::call(&self.0, &mut mask).map(drop)
    }

    /// The kernel's own access.
    pub fn kernel_write(&self, buffer: &DmaBuf, offset: u64, bytes: &[u8]) -> Result<()> {
        ioctl::edu_vmap_write(&self.0, buffer.as_fd().as_raw_fd(), offset, bytes)
    }

    /// The kernel's own access.
    pub fn kernel_read(&self, buffer: &DmaBuf, offset: u64, bytes: &mut [u8]) -> Result<()> {
        ioctl::edu_vmap_read(&self.0, buffer.as_fd().as_raw_fd(), offset, bytes)
    }
}
