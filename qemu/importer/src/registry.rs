// SPDX-License-Identifier: GPL-2.0

//! All edu devices that are bound, by number.
//!
//! They are in the order of their PCI names, whose digits have fixed places, so a device's number
//! depends on its slot and not on who was probed first.

use kernel::{
    prelude::*,
    sync::Arc, //
};

use crate::{
    device::Device,
    ffi::global, //
};

/// The number of a device of that name among those that are bound.
pub(crate) fn number(name: &CStr) -> Result<u32> {
    let devices = global::lock()?;
    let before = devices
        .iter()
        .filter(|other| other.name().to_bytes() < name.to_bytes());
    Ok(before.count().try_into()?)
}

/// Makes `device` known.
pub(crate) fn add(device: Arc<Device>) -> Result {
    let mut devices = global::lock()?;
    let place = devices
        .iter()
        .position(|other| other.name().to_bytes() > device.name().to_bytes())
        .unwrap_or(devices.len());
    devices.reserve(1, GFP_KERNEL)?;
    devices
        .insert_within_capacity(place, device)
        .map_err(|_| ENOMEM)
}

/// Forgets `device`.
pub(crate) fn remove(device: &Arc<Device>) {
    let Ok(mut devices) = global::lock() else {
        return;
    };
    devices.retain(|other| !Arc::ptr_eq(other, device));
    // The list is a static, which nobody drops when the module goes.
    if devices.is_empty() {
        *devices = KVec::new();
    }
}

/// The device with `number`, counted from 0. Fails with [`ENODEV`].
pub(crate) fn get(number: u32) -> Result<Arc<Device>> {
    let devices = global::lock()?;
    let index: usize = number.try_into()?;
    devices.get(index).cloned().ok_or(ENODEV)
}
