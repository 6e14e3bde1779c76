// SPDX-License-Identifier: GPL-2.0

//! Test importer: drives QEMU's edu PCI device through the importer's side of dma-buf.
//!
//! A program opens `/dev/edu-importer` and has edu devices read and write dma-bufs; see
//! `uapi/edu_importer.h`. For the hardware see `docs/specs/edu.rst` of QEMU.
//!
//! In layers; a file imports only from layers above its own in this list:
//!
//! - values: [`direction`], [`range`], [`dma_bits`], [`channel`], [`table`];
//! - the fence around C: [`ffi`] (its `global` names the type of what it locks, a [`device`]);
//! - mechanisms: [`registers`], [`engine`], [`mapping`], [`device`], [`registry`], [`cpu_access`];
//! - surface: [`driver`] (PCI), [`session`] (an open file), [`misc`] (ioctls), and this file.

#![deny(unsafe_code)]

mod channel;
mod cpu_access;
mod device;
mod direction;
mod dma_bits;
mod driver;
mod engine;
#[expect(unsafe_code, reason = "the fence")]
mod ffi;
mod mapping;
mod misc;
mod range;
mod registers;
mod registry;
mod session;
mod table;

use kernel::{
    prelude::*,
    InPlaceModule,
    ModuleMetadata, //
};

use crate::{
    dma_bits::DmaBits,
    driver::EduDriver,
    ffi::params,
    session::Session, //
};

module! {
    type: EduImporter,
    name: "edu_importer",
    authors: ["The udmabuf-rs developers"],
    description: "Test importer of dma-bufs on QEMU's edu device",
    license: "GPL",
    imports_ns: ["DMA_BUF"],
}

/// The module while it is loaded.
#[pin_data]
struct EduImporter {
    // The order is the order of unloading: no new session, then no device. Sessions keep the
    // module loaded, so there is none by then.
    #[pin]
    _misc: ffi::misc::Registration<Session>,
    #[pin]
    _driver: ffi::pci::Registration<EduDriver>,
}

impl InPlaceModule for EduImporter {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        pin_init::pin_init_scope(move || {
            for bits in params::all_dma_bits() {
                if DmaBits::new(bits).is_err() {
                    pr_err!("dma_bits={bits} is not possible, use 12 to 64 as in edu's dma_mask\n");
                    return Err(EINVAL);
                }
            }
            ffi::global::init();

            Ok(try_pin_init!(Self {
                _driver <- ffi::pci::Registration::new(<Self as ModuleMetadata>::NAME),
                _misc <- ffi::misc::Registration::new(misc::NAME),
            }))
        })
    }
}
