// SPDX-License-Identifier: GPL-2.0

//! A small safe client of `/dev/udmabuf`, and what the test programs over it share.
//!
//! The client is [`Udmabuf`], [`Memfd`], [`DmaBuf`] and [`Mapping`]; read `bin/story.rs` for an
//! example of their use. [`fallback`] is for buffers that not every importer takes. [`importer`] drives a real device over a dma-buf, [`v4l2`] a camera. The
//! rest watches what the kernel keeps ([`pins`], [`bufinfo`], [`statistics`], [`tracefs`], [`kmsg`]) and how
//! programs access buffers ([`brackets`]), talks to the cache model outside the machine ([`model`]), and
//! runs tests ([`ktap`], [`outcome`]).
//!
//! All `unsafe` code is in [`sys`].

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod abi;
pub mod access;
pub mod brackets;
pub mod bufinfo;
pub mod cgroup;
pub mod child;
pub mod dma_buf;
pub mod driver;
pub mod fallback;
pub mod fence;
pub mod floor;
pub mod heap;
pub mod held;
pub mod hugepage;
pub mod importer;
pub mod kmsg;
pub mod ktap;
pub mod ledger;
pub mod limit;
pub mod machine;
pub mod memfd;
pub mod mode;
pub mod model;
pub mod outcome;
pub mod pagemap;
pub mod pattern;
pub mod piece;
pub mod pins;
pub mod statistics;
pub mod steps;
pub mod sys;
pub mod tracefs;
pub mod udmabuf;
pub mod v4l2;
pub mod window;

pub use access::Access;
pub use dma_buf::Bracket;
pub use dma_buf::DmaBuf;
pub use heap::Heap;
pub use held::Held;
pub use ledger::Ledger;
pub use memfd::Backing;
pub use memfd::Memfd;
pub use mode::Mode;
pub use model::Model;
pub use outcome::Outcome;
pub use pattern::Pattern;
pub use piece::Piece;
pub use rustix::io::Errno;
pub use sys::mapping::Mapping;
pub use udmabuf::Item;
pub use udmabuf::Udmabuf;
pub use window::Window;

/// The page size of the kernel that these programs are built for, in bytes.
pub const PAGE: usize = if cfg!(feature = "pages-of-16k") {
    16 << 10
} else {
    4 << 10
};

/// The size of its huge pages, in bytes: what a page of page table entries maps.
pub const HUGE_PAGE: usize = PAGE / size_of::<u64>() * PAGE;
