// SPDX-License-Identifier: GPL-2.0

//! Sealed memory files, the raw material of a udmabuf.

use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use rustix::fs;
use rustix::fs::FallocateFlags;
use rustix::fs::MemfdFlags;
use rustix::fs::SealFlags;
use rustix::io::Errno;
use rustix::io::Result;

use crate::Access;
use crate::HUGE_PAGE;
use crate::Item;
use crate::Mapping;
use crate::PAGE;
use crate::hugepage;
use crate::pagemap;

/// What kind of pages a memfd is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Pages of the usual size, [`PAGE`].
    Base,
    /// Transparent huge pages, as far as the kernel finds any.
    Transparent,
    /// Huge pages from the reserved pool (hugetlb).
    Huge,
}

impl Backing {
    /// Every kind, for tests that go through all of them.
    pub const ALL: [Backing; 3] = [Backing::Base, Backing::Transparent, Backing::Huge];

    /// The size of one page of this kind, in bytes.
    pub fn page_size(self) -> usize {
        match self {
            Backing::Base => PAGE,
            Backing::Transparent | Backing::Huge => HUGE_PAGE,
        }
    }
}

/// Where the flags of memfd_create() have the size of huge pages (`MFD_HUGE_SHIFT`).
const HUGE_SHIFT: u32 = 26;

/// A memory file.
#[derive(Debug)]
pub struct Memfd {
    fd: OwnedFd,
    size: usize,
    backing: Backing,
}

/// How a [`Memfd`] is to be made.
#[derive(Clone, Copy, Debug)]
pub struct Builder {
    size: usize,
    backing: Backing,
    seals: SealFlags,
    /// What chooses the size of huge pages; nothing for [`HUGE_PAGE`], the kernel's default.
    huge: MemfdFlags,
}

impl Builder {
    /// Of a single huge page as large as the file, from the pool of that size. The page is there
    /// once the file is made.
    pub fn in_one_page(mut self) -> Builder {
        self.backing = Backing::Huge;
        self.huge = MemfdFlags::from_bits_retain(self.size.trailing_zeros() << HUGE_SHIFT);
        self
    }

    /// The kind of pages; [`Backing::Base`] otherwise.
    pub fn backing(mut self, backing: Backing) -> Builder {
        self.backing = backing;
        self
    }

    /// The seals; F_SEAL_SHRINK alone otherwise.
    pub fn seals(mut self, seals: SealFlags) -> Builder {
        self.seals = seals;
        self
    }

    /// Makes the file.
    ///
    /// # Errors
    ///
    /// Those of memfd_create(), ftruncate() and fcntl(); for transparent huge pages, those of
    /// switching them on for shared memory.
    pub fn create(self) -> Result<Memfd> {
        let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        match self.backing {
            Backing::Base => {}
            Backing::Transparent => hugepage::enable_for_shared_memory()?,
            Backing::Huge => flags |= MemfdFlags::HUGETLB | self.huge,
        }
        let fd = fs::memfd_create("selftest", flags)?;
        fs::ftruncate(&fd, self.size as u64)?;
        let memfd = Memfd {
            fd,
            size: self.size,
            backing: self.backing,
        };
        if !self.huge.is_empty() {
            fs::fallocate(&memfd.fd, FallocateFlags::empty(), 0, self.size as u64)?;
        }
        if self.backing == Backing::Transparent {
            memfd.populate_with_huge_pages()?;
        }
        if !self.seals.is_empty() {
            memfd.add_seals(self.seals)?;
        }
        Ok(memfd)
    }
}

impl Memfd {
    /// Starts a memfd of `size` bytes that udmabuf accepts: base pages, sealed against shrinking.
    pub fn builder(size: usize) -> Builder {
        Builder {
            size,
            backing: Backing::Base,
            seals: SealFlags::SHRINK,
            huge: MemfdFlags::empty(),
        }
    }

    /// A memfd of `size` bytes that udmabuf accepts.
    ///
    /// # Errors
    ///
    /// As [`Builder::create`].
    pub fn new(size: usize) -> Result<Memfd> {
        Memfd::builder(size).create()
    }

    /// A memfd of `size` bytes that udmabuf accepts, whose base pages lie apart: no two that
    /// follow each other in the file do so in memory.
    ///
    /// # Errors
    ///
    /// As [`Builder::create`], those of mmap() and fallocate(), and those of
    /// [`pagemap::frames`]: only root sees where pages lie.
    pub fn with_pages_apart(size: usize) -> Result<Memfd> {
        let [memfd, between] = [Memfd::new(size)?, Memfd::new(size)?];
        let [ours, others] = [memfd.map()?, between.map()?];
        // The kernel hands out pages that lie side by side one after the other, mostly.
        for at in (0..size).step_by(PAGE) {
            ours.write(at, &[0]);
            others.write(at, &[0]);
        }
        // What another CPU had, or somebody let go, may lie beside the page before all the same.
        let mut taken = Vec::new();
        while let Some(page) = pagemap::beside_the_one_before(&frames(&ours)?) {
            memfd.punch_hole(page * PAGE, PAGE)?;
            // This one takes the page that was let go, so that the file gets another.
            let spare = Memfd::new(PAGE)?;
            spare.map()?.touch(0);
            taken.push(spare);
        }
        Ok(memfd)
    }

    /// Size in bytes, as it was made.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The whole file as an item of a buffer.
    pub fn whole(&self) -> Item {
        self.range(0, self.size)
    }

    /// A range of the file as an item of a buffer, in bytes.
    pub fn range(&self, offset: usize, size: usize) -> Item {
        Item::new(self, offset as u64, size as u64)
    }

    /// Adds seals.
    ///
    /// # Errors
    ///
    /// EPERM when sealing is forbidden, EBUSY for F_SEAL_WRITE while pages are mapped or pinned.
    pub fn add_seals(&self, seals: SealFlags) -> Result<()> {
        fs::fcntl_add_seals(&self.fd, seals)
    }

    /// The seals that are set.
    ///
    /// # Errors
    ///
    /// Those of fcntl().
    pub fn seals(&self) -> Result<SealFlags> {
        fs::fcntl_get_seals(&self.fd)
    }

    /// Changes the size of the file.
    ///
    /// # Errors
    ///
    /// EPERM when a seal forbids it.
    pub fn resize(&self, size: usize) -> Result<()> {
        fs::ftruncate(&self.fd, size as u64)
    }

    /// Allocates the pages of a range, in which nothing is looked at or cleared yet.
    ///
    /// # Errors
    ///
    /// Those of fallocate().
    pub fn allocate(&self, offset: usize, size: usize) -> Result<()> {
        fs::fallocate(
            &self.fd,
            FallocateFlags::empty(),
            offset as u64,
            size as u64,
        )
    }

    /// Takes the pages of a range out of the file, which reads as zeroes afterwards.
    ///
    /// # Errors
    ///
    /// Those of fallocate().
    pub fn punch_hole(&self, offset: usize, size: usize) -> Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fs::fallocate(&self.fd, flags, offset as u64, size as u64)
    }

    /// Maps the whole file for reading and writing.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn map(&self) -> Result<Mapping> {
        Mapping::aligned(
            self,
            0,
            self.size,
            Access::ReadWrite,
            self.backing.page_size(),
        )
    }

    /// Whether the kernel really found transparent huge pages for the whole file.
    ///
    /// # Errors
    ///
    /// Those of mmap(), and EIO when /proc cannot be read.
    pub fn has_transparent_huge_pages(&self) -> Result<bool> {
        let mapping = self.map()?;
        for at in (0..self.size).step_by(PAGE) {
            mapping.touch(at);
        }
        Ok(hugepage::mapped_by_huge_entries(&mapping)? == self.size)
    }

    /// Touches every huge page through a mapping that asks for them. Allocating through the
    /// driver would give base pages where the system-wide setting is "advise".
    fn populate_with_huge_pages(&self) -> Result<()> {
        let mapping = self.map()?;
        mapping.want_huge_pages()?;
        for at in (0..self.size).step_by(HUGE_PAGE) {
            mapping.touch(at);
        }
        Ok(())
    }
}

/// The page frame numbers of a mapping, with the errors of this file.
fn frames(mapping: &Mapping) -> Result<Vec<u64>> {
    pagemap::frames(mapping).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::PERM))
}

impl AsFd for Memfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
