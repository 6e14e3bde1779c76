// SPDX-License-Identifier: GPL-2.0

//! A misc device that keeps its module loaded.
//!
//! C header: [`include/linux/miscdevice.h`](srctree/include/linux/miscdevice.h)

use super::compat::THIS_MODULE;
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions, //
    },
    prelude::*,
    types::Opaque, //
};

/// A registered misc device, as `MiscDeviceRegistration` is; and whoever has it open has a reference to
/// the module, which that of Linux 7.2 does not see to.
///
/// # Invariants
///
/// `device` is registered, with [`OPERATIONS`](Self::OPERATIONS).
#[pin_data(PinnedDrop)]
pub(crate) struct Registration<T: MiscDevice> {
    #[pin]
    device: Opaque<bindings::miscdevice>,
    _operations: PhantomData<T>,
}

// SAFETY: A misc device belongs to no thread.
unsafe impl<T: MiscDevice> Send for Registration<T> {}
// SAFETY: There is nothing that could be done with a shared reference.
unsafe impl<T: MiscDevice> Sync for Registration<T> {}

impl<T: MiscDevice> Registration<T> {
    const OPERATIONS: bindings::file_operations = {
        let device = MiscDeviceOptions { name: c"" }.into_raw::<T>();
        bindings::file_operations {
            owner: THIS_MODULE,
            // SAFETY: A constant of the kernel crate's.
            ..unsafe { *device.fops }
        }
    };

    /// # Errors
    ///
    /// Those of `misc_register()`.
    pub(crate) fn new(name: &'static CStr) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            // INVARIANT: If it succeeds, it is registered so.
            device <- Opaque::try_ffi_init(move |device: *mut bindings::miscdevice| {
                let raw = bindings::miscdevice {
                    fops: &Self::OPERATIONS,
                    ..MiscDeviceOptions { name }.into_raw::<T>()
                };
                // SAFETY: The place is ours to write.
                unsafe { device.write(raw) };
                // SAFETY: It stays there until it is deregistered, on drop. `T::open` takes it for a
                // `MiscDeviceRegistration`, which is nothing but the same structure, registered.
                to_result(unsafe { bindings::misc_register(device) })
            }),
            _operations: PhantomData,
        })
    }
}

#[pinned_drop]
impl<T: MiscDevice> PinnedDrop for Registration<T> {
    fn drop(self: Pin<&mut Self>) {
        // SAFETY: It is registered by the type invariant.
        unsafe { bindings::misc_deregister(self.device.get()) };
    }
}
