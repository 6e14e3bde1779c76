// SPDX-License-Identifier: GPL-2.0

//! An interrupt of a PCI device, given back when the device is unbound.
//!
//! The kernel crate has the two halves, vectors and handler, but no owner for both.
//!
//! C header: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)

use core::ptr::from_ref;

use kernel::{
    device::Bound,
    devres,
    irq::{
        Flags,
        Handler,
        Registration, //
    },
    pci::{
        self,
        IrqTypes,
        IrqVectorRegistration, //
    },
    prelude::*, //
};

/// A handler together with the vectors that lead to it.
#[pin_data]
struct Interrupt<H: Handler + 'static> {
    // The order is the order of release: first the handler, then its vector.
    #[pin]
    registration: Registration<'static, H>,
    vectors: IrqVectorRegistration<'static>,
}

/// Calls `handler` on the device's first interrupt, until the device is unbound.
pub(crate) fn request<H>(
    device: &pci::Device<Bound>,
    name: &'static CStr,
    handler: impl PinInit<H, Error> + 'static,
) -> Result
where
    H: Handler + Send + 'static,
{
    // SAFETY: The device outlives what is made of the longer reference: that is owned by the
    // device's resource list, which is emptied before the device is unbound.
    let device: &'static pci::Device<Bound> = unsafe { &*from_ref(device) };

    let interrupt = try_pin_init!(Interrupt {
        vectors: device.alloc_irq_vectors(1, 1, IrqTypes::all())?,
        registration <- {
            // SAFETY: `vectors` lies in pinned memory and is dropped after `registration`.
            let vectors: &'static IrqVectorRegistration<'static> = unsafe { &*from_ref(vectors) };
            let request = vectors.index(0)?.into();
            // A line interrupt may be shared; a message never is, and the flag does no harm.
            // SAFETY: The resource list drops the registration; nobody else can get at it.
            unsafe { Registration::new(request, Flags::SHARED, name, handler) }
        },
    }? Error);

    devres::register(device.as_ref(), interrupt, GFP_KERNEL)
}
