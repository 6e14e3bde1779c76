// SPDX-License-Identifier: GPL-2.0

//! A PCI driver.
//!
//! Its `probe()`, its table of devices and its BARs are not those of the kernel crate, which has
//! them otherwise in Linux 7.2 than in 7.3.
//!
//! C header: [`include/linux/pci.h`](srctree/include/linux/pci.h)

use core::{
    marker::PhantomData,
    ptr::from_ref, //
};

use kernel::{
    bindings,
    device::{
        Bound,
        Core, //
    },
    devres::Devres,
    error::{
        from_result,
        to_result, //
    },
    ffi::c_int,
    pci::{
        Bar,
        Device, //
    },
    prelude::*,
    types::{
        ForeignOwnable,
        Opaque, //
    }, //
};

use super::{
    bound::BoundDevice,
    compat::THIS_MODULE, //
};

/// A driver of devices of one kind.
pub(crate) trait Driver {
    /// The number of who makes the devices.
    const VENDOR: u16;
    /// The number of the devices among those of the vendor.
    const DEVICE: u16;

    /// What there is of a device while it is bound. It is dropped before the device's resources
    /// are released.
    type Data: Send + 'static;

    /// Binds a device.
    fn probe(device: &Device<Core<'_>>) -> Result<Self::Data>;
}

/// A registered driver.
///
/// # Invariants
///
/// `driver` is registered, with the callbacks of this type.
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<D: Driver> {
    #[pin]
    driver: Opaque<bindings::pci_driver>,
    _driver: PhantomData<D>,
}

// SAFETY: A driver belongs to no thread.
unsafe impl<D: Driver> Send for Registration<D> {}
// SAFETY: There is nothing that could be done with a shared reference.
unsafe impl<D: Driver> Sync for Registration<D> {}

/// No device, which ends a table.
const NONE: bindings::pci_device_id = bindings::pci_device_id {
    vendor: 0,
    device: 0,
    subvendor: 0,
    subdevice: 0,
    class: 0,
    class_mask: 0,
    driver_data: 0,
    override_only: 0,
};

impl<D: Driver> Registration<D> {
    const DEVICES: &'static [bindings::pci_device_id; 2] = &[
        bindings::pci_device_id {
            // CAST: Widening, which `into` does not do in a constant.
            vendor: D::VENDOR as u32,
            device: D::DEVICE as u32,
            subvendor: bindings::PCI_ANY_ID as u32,
            subdevice: bindings::PCI_ANY_ID as u32,
            ..NONE
        },
        NONE,
    ];

    /// Binds what is there, and what comes.
    pub(crate) fn new(name: &'static CStr) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: If it succeeds, it is registered so.
            driver <- Opaque::try_ffi_init(move |driver: *mut bindings::pci_driver| {
                let raw = bindings::pci_driver {
                    name: name.as_char_ptr(),
                    id_table: Self::DEVICES.as_ptr(),
                    probe: Some(Self::probe),
                    remove: Some(Self::remove),
                    ..Default::default()
                };
                // SAFETY: The place is ours to write.
                unsafe { driver.write(raw) };
                // SAFETY: It stays there until it is unregistered, on drop.
                to_result(unsafe {
                    bindings::__pci_register_driver(driver, THIS_MODULE, name.as_char_ptr())
                })
            }),
            _driver: PhantomData,
        })
    }

    extern "C" fn probe(raw: *mut bindings::pci_dev, _id: *const bindings::pci_device_id) -> c_int {
        // SAFETY: The PCI core calls this with a valid device, locked.
        // CAST: `Device` is a transparent wrapper of an `Opaque<bindings::pci_dev>`.
        let device = unsafe { &*raw.cast::<Device<Core<'_>>>() };
        from_result(|| {
            let data = KBox::new(D::probe(device)?, GFP_KERNEL)?;
            // SAFETY: The device is valid, and its data is the driver's to set.
            unsafe { bindings::dev_set_drvdata(&raw mut (*raw).dev, data.into_foreign().cast()) };
            Ok(0)
        })
    }

    extern "C" fn remove(raw: *mut bindings::pci_dev) {
        // SAFETY: The PCI core calls this with a valid device.
        let data = unsafe { bindings::dev_get_drvdata(&raw const (*raw).dev) };
        // SAFETY: `probe` succeeded, and put it there; nobody has had it since.
        drop(unsafe { KBox::<D::Data>::from_foreign(data.cast()) });
    }
}

#[pinned_drop]
impl<D: Driver> PinnedDrop for Registration<D> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It is registered by the type invariant.
        unsafe { bindings::pci_unregister_driver(self.driver.get()) };
    }
}

/// The C side of a device.
pub(super) fn raw(device: &Device<Bound>) -> *mut bindings::pci_dev {
    // CAST: `Device` is a transparent wrapper of an `Opaque<bindings::pci_dev>`.
    from_ref(device).cast_mut().cast()
}

/// The device for as long as its resource list has something in it.
///
/// # Safety
///
/// What is made of the longer reference has to be owned by the device's resource list, which is
/// emptied before the device is unbound.
pub(super) unsafe fn for_resources(device: &Device<Bound>) -> &'static Device<Bound> {
    // SAFETY: By the safety requirement the reference is not used for longer than it is valid.
    unsafe { &*from_ref(device) }
}

/// Maps a BAR that has at least `SIZE` bytes, until the device is unbound.
pub(crate) fn map_bar<const SIZE: usize>(
    device: &Device<Bound>,
    bar: u32,
    name: &'static CStr,
) -> Result<Devres<Bar<'static, SIZE>>> {
    // SAFETY: The resource list owns the mapping.
    let device = unsafe { for_resources(device) };
    Devres::new(device.as_ref(), device.iomap_region_sized(bar, name)?)
}

/// Takes the device's right to access memory away: its reads and writes no longer arrive.
pub(crate) fn clear_master(device: &BoundDevice) {
    // SAFETY: The device is bound, hence valid.
    unsafe { bindings::pci_clear_master(device.as_raw_pci()) };
}
