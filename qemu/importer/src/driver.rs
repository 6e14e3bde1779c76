// SPDX-License-Identifier: GPL-2.0

//! The PCI driver: binds edu devices and makes them known.

use kernel::{
    device::Core,
    pci,
    prelude::*,
    sync::Arc, //
};

use crate::{
    device::Device,
    dma_bits::DmaBits,
    engine::Engine,
    ffi::{
        bound::BoundDevice,
        dma,
        irq,
        params,
        pci::Driver, //
    },
    registers::{
        EduInterrupt,
        Registers, //
    },
    registry, //
};

/// Vendor number of devices that only QEMU has.
const QEMU: u16 = 0x1234;

/// QEMU's device number of edu.
const EDU: u16 = 0x11e8;

/// The driver of edu devices.
pub(crate) struct EduDriver;

/// A device in the registry for as long as it is bound.
pub(crate) struct Presence(Arc<Device>);

impl Drop for Presence {
    fn drop(&mut self) {
        registry::remove(&self.0);
        self.0.unbind();
    }
}

impl Driver for EduDriver {
    const VENDOR: u16 = QEMU;
    const DEVICE: u16 = EDU;
    type Data = Presence;

    fn probe(device: &pci::Device<Core<'_>>) -> Result<Presence> {
        let name = device.as_ref().name();
        let number = registry::number(name)?;
        let bits = DmaBits::new(params::dma_bits(number))?;
        device.enable_device_mem()?;

        let bound = BoundDevice::new(device)?;
        if let Some(coherent) = params::coherent(number) {
            dma::set_coherent(&bound, coherent).inspect_err(|_| {
                dev_err!(
                    device,
                    "this architecture has no such device, do not use coherent=\n"
                );
            })?;
        }
        let registers = Registers::new(device)?;
        irq::request(device, c"edu_importer", EduInterrupt(registers.clone()))?;
        let engine = Engine::new(bound, registers, bits).inspect_err(|_| {
            dev_err!(
                device,
                "the machine has no DMA memory below {} address bits\n",
                bits.get()
            );
        })?;
        engine.introduce(number)?;
        device.set_master();
        dev_info!(
            device,
            "edu {number}: {} address bits, {}, {} IOMMU\n",
            bits.get(),
            if engine.snoops() {
                "snoops"
            } else {
                "does not snoop"
            },
            if engine.has_iommu() { "an" } else { "no" }
        );

        let device = Device::new(name, engine)?;
        registry::add(device.clone())?;
        Ok(Presence(device))
    }
}
