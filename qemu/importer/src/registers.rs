// SPDX-License-Identifier: GPL-2.0

//! edu's registers, in BAR 0, and its interrupt.

use kernel::{
    device::Bound,
    devres::Devres,
    io::{
        register,
        Io, //
    },
    irq::IrqReturn,
    pci::{
        self,
        Bar, //
    },
    prelude::*,
    sync::Arc, //
};

use crate::ffi::{
    bound::BoundDevice,
    completion::Events,
    irq::Handler,
    pci::map_bar, //
};

register! {
    /// Which device this is.
    pub(crate) IDENTIFICATION(u32) @ 0x00 {
        /// Always [`Registers::KIND`].
        7:0 kind;
    }

    /// Keeps the complement of what is written, and does nothing else.
    pub(crate) LIVENESS(u32) @ 0x04 {
        31:0 word;
    }

    /// Why the device interrupts.
    pub(crate) IRQ_STATUS(u32) @ 0x24 {
        /// A transfer has finished.
        8:8 transfer => bool;
    }

    /// Takes reasons out of [`IRQ_STATUS`].
    pub(crate) IRQ_ACKNOWLEDGE(u32) @ 0x64 {
        31:0 reasons;
    }

    /// Where a transfer reads: on the bus, or in the device.
    pub(crate) DMA_SOURCE(u64) @ 0x80 {
        63:0 address;
    }

    /// Where a transfer writes: in the device, or on the bus.
    pub(crate) DMA_DESTINATION(u64) @ 0x88 {
        63:0 address;
    }

    /// Bytes to transfer.
    pub(crate) DMA_COUNT(u64) @ 0x90 {
        63:0 bytes;
    }

    /// Starts a transfer.
    pub(crate) DMA_COMMAND(u32) @ 0x98 {
        /// Interrupt when it has finished.
        2:2 interrupt => bool;
        /// Write the bus instead of reading it.
        1:1 from_device => bool;
        /// Start; reads as 1 until the transfer has finished. Nothing stops it earlier, and the
        /// DMA registers ignore what is written meanwhile.
        0:0 run => bool;
    }
}

/// Bytes of BAR 0 that the registers take.
pub(crate) const SIZE: usize = 0xa0;

/// The registers of one device.
#[pin_data]
pub(crate) struct Registers {
    bar: Devres<Bar<'static, SIZE>>,
    /// Finished transfers.
    #[pin]
    pub(crate) finished: Events,
}

impl Registers {
    /// What every edu says in [`const@IDENTIFICATION`].
    const KIND: u32 = 0xed;

    /// Maps BAR 0 and quietens the device.
    ///
    /// Fails with [`ENODEV`] if there is no edu behind it, with [`EBUSY`] if it is at work.
    pub(crate) fn new(device: &pci::Device<Bound>) -> Result<Arc<Self>> {
        let mapped = map_bar::<SIZE>(device, 0, c"edu_importer")?;
        let bar = mapped.access(device.as_ref())?;
        let kind = bar.read(IDENTIFICATION).kind().get();
        if kind != Self::KIND {
            dev_err!(device, "says {kind:#x}, an edu says {:#x}\n", Self::KIND);
            return Err(ENODEV);
        }
        if bar.read(DMA_COMMAND).run() {
            dev_err!(device, "is still transferring, reset it or wait\n");
            return Err(EBUSY);
        }
        bar.write_reg(IRQ_ACKNOWLEDGE::from(u32::MAX));

        Arc::pin_init(
            try_pin_init!(Self {
                bar: mapped,
                finished <- Events::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// The registers themselves, while the device is bound.
    pub(crate) fn bar<'a>(&'a self, device: &'a BoundDevice) -> Result<&'a Bar<'static, SIZE>> {
        self.bar.access(device)
    }
}

/// Reports finished transfers.
pub(crate) struct EduInterrupt(pub(crate) Arc<Registers>);

impl Handler for EduInterrupt {
    fn handle(&self) -> IrqReturn {
        // The handler is gone before the BAR, so there is always one.
        let Some(bar) = self.0.bar.try_access() else {
            return IrqReturn::None;
        };
        let status = bar.read(IRQ_STATUS);
        if status.into_raw() == 0 {
            return IrqReturn::None;
        }
        bar.write_reg(IRQ_ACKNOWLEDGE::from(status.into_raw()));
        if status.transfer() {
            self.0.finished.report();
        }
        IrqReturn::Handled
    }
}
