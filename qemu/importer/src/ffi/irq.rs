// SPDX-License-Identifier: GPL-2.0

//! An interrupt of a PCI device, given back when the device is unbound.
//!
//! The kernel crate has the two halves, vectors and handler, otherwise in Linux 7.2 than in 7.3, and
//! in neither an owner for both.
//!
//! C header: [`include/linux/interrupt.h`](srctree/include/linux/interrupt.h)

use core::{
    mem::transmute,
    ptr::from_ref, //
};

use kernel::{
    bindings,
    device::Bound,
    devres,
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    },
    irq::IrqReturn,
    pci::Device,
    prelude::*, //
};

use super::pci;

/// What is called on an interrupt.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Says whether the interrupt was the device's.
    fn handle(&self) -> IrqReturn;
}

/// The only vector of a device.
///
/// # Invariants
///
/// It is allocated.
struct Vector(&'static Device<Bound>);

impl Vector {
    /// # Safety
    ///
    /// The device's resource list has to own it.
    unsafe fn new(device: &Device<Bound>) -> Result<Self> {
        // SAFETY: As the caller promises.
        let device = unsafe { pci::for_resources(device) };
        let types = bindings::PCI_IRQ_ALL_TYPES;
        // SAFETY: The device is valid.
        to_result(unsafe { bindings::pci_alloc_irq_vectors(pci::raw(device), 1, 1, types) })?;
        // INVARIANT: It was allocated just now.
        Ok(Self(device))
    }

    fn number(&self) -> Result<c_uint> {
        // SAFETY: The device is valid.
        let number = unsafe { bindings::pci_irq_vector(pci::raw(self.0), 0) };
        to_result(number)?;
        Ok(number.try_into()?)
    }
}

impl Drop for Vector {
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is one to free.
        unsafe { bindings::pci_free_irq_vectors(pci::raw(self.0)) };
    }
}

/// A handler together with the vector that leads to it.
///
/// # Invariants
///
/// Interrupt `number` calls `handler`.
struct Interrupt<H: Handler> {
    number: c_uint,
    handler: KBox<H>,
    // Freed after `Drop::drop` has taken the handler away.
    _vector: Vector,
}

impl<H: Handler> Interrupt<H> {
    fn new(vector: Vector, name: &'static CStr, handler: H) -> Result<Self> {
        let number = vector.number()?;
        let handler = KBox::new(handler, GFP_KERNEL)?;
        // A line interrupt may be shared; a message never is, and the flag does no harm.
        // CAST: Widening.
        let flags = bindings::IRQF_SHARED as c_ulong;
        // SAFETY: The handler stays where it is until the interrupt is freed, on drop.
        to_result(unsafe {
            bindings::request_threaded_irq(
                number,
                Some(Self::handle),
                None,
                flags,
                name.as_char_ptr(),
                cookie(&handler),
            )
        })?;
        // INVARIANT: It was requested just now.
        Ok(Self {
            number,
            handler,
            _vector: vector,
        })
    }

    extern "C" fn handle(_number: c_int, cookie: *mut c_void) -> bindings::irqreturn_t {
        // SAFETY: The cookie is that of `new`, and a handler is not freed while it may be called.
        let handler = unsafe { &*cookie.cast::<H>() };
        // CAST: `IrqReturn` has the numbers of C.
        let number = handler.handle() as c_uint;
        // SAFETY: For bindgen the C type is this integer, or a transparent wrapper of it.
        unsafe { transmute::<c_uint, bindings::irqreturn_t>(number) }
    }
}

impl<H: Handler> Drop for Interrupt<H> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant it was requested, with this cookie.
        unsafe { bindings::free_irq(self.number, cookie(&self.handler)) };
    }
}

/// What the interrupt's core knows a handler by.
fn cookie<H>(handler: &KBox<H>) -> *mut c_void {
    from_ref::<H>(handler).cast_mut().cast()
}

/// Calls `handler` on the device's only interrupt, until the device is unbound.
pub(crate) fn request<H: Handler>(
    device: &Device<Bound>,
    name: &'static CStr,
    handler: H,
) -> Result {
    // SAFETY: The resource list gets it below, or it is dropped before that.
    let vector = unsafe { Vector::new(device) }?;
    let interrupt = Interrupt::new(vector, name, handler)?;
    devres::register(device.as_ref(), interrupt, GFP_KERNEL)
}
