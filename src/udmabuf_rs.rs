// SPDX-License-Identifier: GPL-2.0

//! `/dev/udmabuf-rs`: pages of sealed memfds as dma-bufs.
//!
//! The layers, each importing only from those above it in this list (the drawing in doc/ has the lowest at
//! its foot):
//!
//! - values: [`abi`], [`accesses`], [`atomics`], [`census`], [`coherency`], [`direction`], [`extent`], [`limits`],
//!   [`merge`], [`mode`], [`moved`], [`quota`], [`report`], [`span`], [`stats`], [`touched`] are plain arithmetic. Of
//!   what is below, [`extent`] uses [`ffi::memory`] and [`ffi::sort`], which know nothing of the driver;
//! - the FFI boundary: [`ffi`] is the only place with `unsafe` and `kernel::bindings`;
//! - mechanisms: [`pending`], [`turns`], [`attach`], [`shadow`], [`mmap`], [`automatic`], [`checker`] do
//!   one thing each, in safe Rust;
//! - assembly: [`exporter`] joins the mechanisms, [`create`] makes a buffer out of a request,
//!   [`query`] tells of one;
//! - surface: [`node`] dispatches the ioctls, [`debugfs`] shows the statistics.
//!
//! C counterpart: `drivers/dma-buf/udmabuf.c`.

#![deny(unsafe_code)]

mod abi;
mod accesses;
mod atomics;
mod attach;
mod automatic;
mod census;
mod checker;
mod coherency;
mod create;
mod debugfs;
mod direction;
mod exporter;
mod extent;
mod ffi;
mod limits;
mod merge;
mod mmap;
mod mode;
mod moved;
mod node;
mod pending;
mod query;
mod quota;
mod report;
mod shadow;
mod span;
mod stats;
mod touched;
mod turns;

use kernel::prelude::*;

module! {
    type: Module,
    name: "udmabuf_rs",
    authors: ["the udmabuf-rs maintainers"],
    description: "dma-bufs out of sealed memfds",
    license: "GPL",
    imports_ns: ["DMA_BUF"],
}

/// The loaded module.
///
/// A dma-buf and an open file, of the device or of debugfs, hold a reference to the module (their
/// `owner`), so nothing here goes away while there is one.
#[pin_data]
struct Module {
    // Dropped first: no new buffer is made while the rest goes away.
    _node: node::Node,
    _debugfs: ffi::debugfs::Directory,
    // What a file there shows.
    _reports: ffi::reports::Reports,
}

impl kernel::InPlaceModule for Module {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        // Before there is a buffer.
        ffi::importers::serve::<exporter::Udmabuf>();
        try_pin_init!(Self {
            _reports: ffi::reports::Reports::new(),
            _node: node::Node::register()?,
            _debugfs: debugfs::directory(),
        })
    }
}
