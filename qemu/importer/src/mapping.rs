// SPDX-License-Identifier: GPL-2.0

//! A mapped buffer, in terms of the bytes that the device may move.

use kernel::{
    prelude::*,
    sync::Arc, //
};

use crate::{
    direction::{
        Direction,
        OneWay, //
    },
    ffi::{
        dma_buf,
        scatterlist::Segments, //
    },
    range::{
        Pieces,
        Range, //
    }, //
};

/// A buffer mapped for a device, and the size of what was mapped.
pub(crate) struct Mapping {
    mapped: dma_buf::Mapping,
    /// Sum of the segments, in bytes.
    size: u64,
    segments: u32,
}

impl Mapping {
    /// Maps the buffer of `attachment`.
    ///
    /// Fails as the exporter does, and with [`EIO`] if the exporter mapped less than the buffer.
    pub(crate) fn new(attachment: Arc<dma_buf::Attachment>, direction: Direction) -> Result<Self> {
        let buffer: u64 = attachment.buffer().size().try_into()?;
        let mapped = dma_buf::Mapping::new(attachment, direction)?;

        let mut size = 0u64;
        let mut segments = 0u32;
        for segment in mapped.segments() {
            size = size.checked_add(segment.length).ok_or(EIO)?;
            segments += 1;
        }
        if size < buffer {
            pr_err!("{size} bytes of a dma-buf were mapped, it has {buffer}: exporter is broken\n");
            return Err(EIO);
        }
        // What follows the last byte of the buffer is nobody's business.
        Ok(Self {
            mapped,
            size: buffer,
            segments,
        })
    }

    /// Number of DMA segments.
    pub(crate) fn segments(&self) -> u32 {
        self.segments
    }

    /// The bus addresses of `length` bytes from `offset` on, for a transfer that goes `way`.
    ///
    /// Fails with [`EINVAL`] if the mapping has no such bytes or no such direction.
    pub(crate) fn pieces(
        &self,
        offset: u64,
        length: u64,
        way: OneWay,
    ) -> Result<Pieces<Segments<'_>>> {
        if !self.mapped.direction().allows(way) {
            return Err(EINVAL);
        }
        let range = Range::new(offset, length, self.size)?;
        Ok(range.split(self.mapped.segments()))
    }
}
