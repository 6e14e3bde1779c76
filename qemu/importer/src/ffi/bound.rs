// SPDX-License-Identifier: GPL-2.0

//! A device that stays bound to this driver for as long as someone needs it to.
//!
//! C header: [`include/linux/device/devres.h`](srctree/include/linux/device/devres.h)

use core::{
    ops::Deref,
    ptr::from_ref, //
};

use kernel::{
    bindings,
    device::{
        self,
        Bound, //
    },
    devres,
    pci,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc,
        Completion, //
    }, //
};

/// A counted proof that a PCI device is bound to this driver.
///
/// What belongs to a bound device (a dma-buf attachment, a DMA mapping) keeps one. Unbinding waits
/// until the last one is gone, so keep it only where unbinding can take it away.
///
/// # Invariants
///
/// The device is bound while the value exists.
#[derive(Clone)]
pub(crate) struct BoundDevice(Arc<Use>);

/// Exists while there is a [`BoundDevice`]; its end lets the device be unbound.
struct Use {
    device: ARef<pci::Device>,
    end: Arc<UseEnd>,
}

impl Drop for Use {
    fn drop(&mut self) {
        self.end.reached.complete_all();
    }
}

/// How the device's resource list learns that a [`Use`] is over.
#[pin_data]
struct UseEnd {
    /// Whether there is a [`Use`] to wait for.
    begun: Atomic<bool>,
    #[pin]
    reached: Completion,
}

/// The entry on the device's resource list.
struct WaitForUseEnd(Arc<UseEnd>);

impl Drop for WaitForUseEnd {
    fn drop(&mut self) {
        if self.0.begun.load(Acquire) {
            self.0.reached.wait_for_completion();
        }
    }
}

impl BoundDevice {
    /// The first proof for a device that is being probed; the others are its clones.
    pub(crate) fn new(device: &pci::Device<Bound>) -> Result<Self> {
        let end = Arc::pin_init(
            pin_init!(UseEnd {
                begun: Atomic::new(false),
                reached <- Completion::new(),
            }),
            GFP_KERNEL,
        )?;
        // From here on unbinding runs the entry's destructor, whatever else happens.
        devres::register(device.as_ref(), WaitForUseEnd(end.clone()), GFP_KERNEL)?;

        // INVARIANT: The device is bound now, and does not finish being unbound before the
        // entry's destructor has seen the end of this use. If there is no memory for the `Arc`,
        // the use ends here.
        end.begun.store(true, Release);
        let device: &pci::Device = device;
        let device = device.into();
        Ok(Self(Arc::new(Use { device, end }, GFP_KERNEL)?))
    }

    /// The C side of the device, valid and bound while `self` exists.
    pub(super) fn as_raw(&self) -> *mut bindings::device {
        let device: &device::Device = (*self.0.device).as_ref();
        // CAST: `device::Device` is a transparent wrapper of an `Opaque<bindings::device>`.
        from_ref(device).cast_mut().cast()
    }

    /// The C side of the PCI device, valid and bound while `self` exists.
    pub(super) fn as_raw_pci(&self) -> *mut bindings::pci_dev {
        let device: &pci::Device = &self.0.device;
        // CAST: `pci::Device` is a transparent wrapper of an `Opaque<bindings::pci_dev>`.
        from_ref(device).cast_mut().cast()
    }
}

impl Deref for BoundDevice {
    type Target = device::Device<Bound>;

    fn deref(&self) -> &Self::Target {
        let device: &device::Device = (*self.0.device).as_ref();
        // SAFETY: By the type invariant the device is bound for longer than `self` is borrowed.
        unsafe { device.as_bound() }
    }
}
