// SPDX-License-Identifier: GPL-2.0

//! The memory that buffers are made of.

use protocol::bench::Pages;
use selftests::Backing;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::PAGE;
use selftests::outcome::Stop;

use crate::pool;
use crate::step::Shape;

/// A memfd, all of whose pages are there, and the ranges to be taken of it.
pub struct Subject {
    pub shape: Shape,
    pub items: Vec<Item>,
    /// All of it, mapped.
    pub memory: Mapping,
    // The items name its descriptor.
    _memfd: Memfd,
}

impl Subject {
    pub fn new(shape: Shape) -> Result<Subject, Stop> {
        let of = |backing| Ok(Memfd::builder(shape.bytes).backing(backing).create()?);
        let memfd = match shape.pages {
            Pages::Base => of(Backing::Base),
            Pages::Apart => Ok(Memfd::with_pages_apart(shape.bytes)?),
            Pages::Pieces => pool::memfd(shape.bytes, shape.pieces),
            Pages::Thp => of(Backing::Transparent),
            Pages::Hugetlb => of(Backing::Huge),
        }?;
        let memory = memfd.map()?;
        for at in (0..shape.bytes).step_by(PAGE) {
            memory.write(at, &[1]);
        }
        if shape.pages == Pages::Thp && !memfd.has_transparent_huge_pages()? {
            return Err(Stop::Fail(format!(
                "no {} bytes of transparent huge pages: give the machine more memory",
                shape.bytes
            )));
        }
        let size = shape.bytes / shape.items;
        let items = (0..shape.items).map(|item| memfd.range(item * size, size));
        Ok(Subject {
            shape,
            items: items.collect(),
            memory,
            _memfd: memfd,
        })
    }
}
