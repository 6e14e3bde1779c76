// SPDX-License-Identifier: GPL-2.0

//! The floor: what the kernel itself takes for the work of a udmabuf driver, without a driver.
//!
//! A program opens `/dev/udmabuf-floor` and has memory pinned and unpinned, or maps page frames;
//! see `uapi/udmabuf_floor.h`. What a driver takes beyond that is the driver's own.
//!
//! In layers; a file imports only from layers above its own in this list:
//!
//! - values: [`range`];
//! - the fence around C: [`ffi`];
//! - surface: [`pin`] (the ioctl), [`misc`] (the device), and this file.

#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the fence")]
mod ffi;
mod misc;
mod pin;
mod range;

use kernel::{
    miscdevice::MiscDeviceRegistration,
    prelude::*,
    InPlaceModule, //
};

use crate::misc::Floor;

module! {
    type: UdmabufFloor,
    name: "udmabuf_floor",
    authors: ["The udmabuf-rs developers"],
    description: "What the kernel itself takes to pin and map memory",
    license: "GPL",
}

/// The module while it is loaded. Open files and mappings keep it loaded.
#[pin_data]
struct UdmabufFloor {
    #[pin]
    _misc: MiscDeviceRegistration<Floor>,
}

impl InPlaceModule for UdmabufFloor {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _misc <- MiscDeviceRegistration::register(misc::OPTIONS),
        })
    }
}
