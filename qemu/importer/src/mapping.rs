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
        dma_buf::{
            self,
            Attachment, //
        },
        scatterlist,
        udmabuf::{
            VecMapping,
            Vecs, //
        }, //
    },
    range::{
        Pieces,
        Range,
        Segment, //
    }, //
};

/// How the exporter says where a mapped buffer is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// By a `struct sg_table`.
    Table,
    /// By an array of `struct dma_vec`.
    Vecs,
}

/// A buffer mapped in one of these ways.
enum Mapped {
    Table(dma_buf::Mapping),
    Vecs(VecMapping),
}

/// Iterator over the DMA segments of a mapping.
#[derive(Clone)]
pub(crate) enum Segments<'a> {
    /// Of a `struct sg_table`.
    Table(scatterlist::Segments<'a>),
    /// Of an array of `struct dma_vec`.
    Vecs(Vecs<'a>),
}

impl Iterator for Segments<'_> {
    type Item = Segment;

    fn next(&mut self) -> Option<Segment> {
        match self {
            Self::Table(segments) => segments.next(),
            Self::Vecs(segments) => segments.next(),
        }
    }
}

impl Mapped {
    fn segments(&self) -> Segments<'_> {
        match self {
            Self::Table(mapped) => Segments::Table(mapped.segments()),
            Self::Vecs(mapped) => Segments::Vecs(mapped.segments()),
        }
    }

    fn direction(&self) -> Direction {
        match self {
            Self::Table(mapped) => mapped.direction(),
            Self::Vecs(mapped) => mapped.direction(),
        }
    }

    fn attachment(&self) -> &Attachment {
        match self {
            Self::Table(mapped) => mapped.attachment(),
            Self::Vecs(mapped) => mapped.attachment(),
        }
    }
}

/// A buffer mapped for a device, and the size of what was mapped.
pub(crate) struct Mapping {
    mapped: Mapped,
    /// Sum of the segments, in bytes.
    size: u64,
    segments: u32,
}

impl Mapping {
    /// Maps the buffer of `attachment`.
    ///
    /// Fails as the exporter does, and with [`EIO`] if the exporter mapped less than the buffer, or
    /// anything else in an array, which is not rounded to anything.
    pub(crate) fn new(
        attachment: Arc<Attachment>,
        direction: Direction,
        form: Form,
    ) -> Result<Self> {
        let buffer: u64 = attachment.buffer().size().try_into()?;
        let mapped = match form {
            Form::Table => Mapped::Table(dma_buf::Mapping::new(attachment, direction)?),
            Form::Vecs => Mapped::Vecs(VecMapping::new(attachment, direction)?),
        };

        let mut size = 0u64;
        let mut segments = 0u32;
        for segment in mapped.segments() {
            size = size.checked_add(segment.length).ok_or(EIO)?;
            segments += 1;
        }
        if size < buffer || (form == Form::Vecs && size != buffer) {
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

    /// The attachment that is mapped.
    pub(crate) fn attachment(&self) -> &Attachment {
        self.mapped.attachment()
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
