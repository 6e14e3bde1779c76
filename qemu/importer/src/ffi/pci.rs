// SPDX-License-Identifier: GPL-2.0

//! What the kernel crate's PCI abstraction leaves out.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use core::mem::transmute;

use kernel::{
    bindings,
    pci::DeviceId, //
};

use super::bound::BoundDevice;

/// Matches devices by numbers, where `DeviceId::from_id` wants a vendor that the kernel knows by
/// name.
pub(crate) const fn device_id(vendor: u16, device: u16) -> DeviceId {
    let id = bindings::pci_device_id {
        // CAST: Widening, which `into` does not do in a constant.
        vendor: vendor as u32,
        device: device as u32,
        subvendor: bindings::PCI_ANY_ID as u32,
        subdevice: bindings::PCI_ANY_ID as u32,
        class: 0,
        class_mask: 0,
        driver_data: 0,
        override_only: 0,
    };
    // SAFETY: `DeviceId` is a transparent wrapper of the C structure.
    unsafe { transmute(id) }
}

/// Takes the device's right to access memory away: its reads and writes no longer arrive.
pub(crate) fn clear_master(device: &BoundDevice) {
    // SAFETY: The device is bound, hence valid.
    unsafe { bindings::pci_clear_master(device.as_raw_pci()) };
}
