// SPDX-License-Identifier: GPL-2.0

//! An edu device, and what is attached to it.
//!
//! Locks: `hardware` is held during a transfer, so that unmapping waits for it. It is never held
//! while the dma-buf core or an exporter runs: attachments and mappings are made before they are
//! put under the lock, and dropped after they were taken from under it. Nothing is locked inside.

use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    }, //
};

use crate::{
    direction::{
        Direction,
        OneWay, //
    },
    dma_bits::DmaBits,
    engine::Engine,
    ffi::{
        dma_buf::{
            Attachment,
            DmaBuf,
            Importer, //
        },
        udmabuf::{
            self,
            Side, //
        }, //
    },
    mapping::{
        Form,
        Mapping, //
    },
    table::Table, //
};

/// An edu device, bound or not any more.
#[pin_data]
pub(crate) struct Device {
    name: CString,
    /// [`None`] once the driver is unbound. What belongs to sessions goes with it: unbinding does
    /// not wait for programs, their handles just lead nowhere from then on.
    #[pin]
    hardware: Mutex<Option<Hardware>>,
}

/// What exists while the device is bound.
struct Hardware {
    // The order is the order of release; it only has to be readable, as a mapping keeps its
    // attachment.
    mappings: Table<Arc<Mapped>>,
    attachments: Table<Attached>,
    engine: Engine,
}

/// An attachment.
#[derive(Clone)]
struct Attached {
    attachment: Arc<Attachment>,
    /// Whether it has ever been mapped: then its exporter knows the address bits.
    mapped: bool,
    /// How many mappings it has. Counted, not looked for, as in [`Table`].
    mappings: usize,
}

/// A mapping, and the number of the attachment it belongs to.
struct Mapped {
    attachment: u32,
    mapping: Mapping,
}

impl Device {
    /// A device that has just been bound.
    pub(crate) fn new(name: &CStr, engine: Engine) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                name: name.try_into()?,
                hardware <- new_mutex!(Some(Hardware {
                    mappings: Table::new(),
                    attachments: Table::new(),
                    engine,
                }), "edu_hardware"),
            }),
            GFP_KERNEL,
        )
    }

    /// The PCI name.
    pub(crate) fn name(&self) -> &CStr {
        &self.name
    }

    /// Unmaps and detaches everything; all calls fail with [`ENODEV`] from now on.
    pub(crate) fn unbind(&self) {
        let hardware = self.hardware.lock().take();
        drop(hardware);
    }

    /// Does something with the hardware, if there still is some.
    fn with<T>(&self, action: impl FnOnce(&mut Hardware) -> Result<T>) -> Result<T> {
        let mut guard = self.hardware.lock();
        action((*guard).as_mut().ok_or(ENODEV)?)
    }

    /// How many address bits the device has.
    pub(crate) fn bits(&self) -> Result<DmaBits> {
        self.with(|hardware| Ok(hardware.engine.bits()))
    }

    /// Gives the device another number of address bits.
    ///
    /// Fails as [`Engine::check_bits`] does, with [`EBUSY`] while something is attached that has been
    /// mapped, and as [`Engine::set_bits`] does.
    pub(crate) fn set_bits(&self, bits: DmaBits) -> Result {
        self.with(|hardware| {
            hardware.engine.check_bits(bits)?;
            let mut attachments = hardware.attachments.values();
            if attachments.any(|attached| attached.mapped) {
                return Err(EBUSY);
            }
            hardware.engine.set_bits(bits)
        })
    }

    /// Copies `bytes` into the device's memory, from `offset` on.
    pub(crate) fn load(&self, offset: u64, bytes: &[u8]) -> Result {
        self.with(|hardware| hardware.engine.load(offset, bytes))
    }

    /// Copies the device's memory, from `offset` on, to `bytes`.
    pub(crate) fn store(&self, offset: u64, bytes: &mut [u8]) -> Result {
        self.with(|hardware| hardware.engine.store(offset, bytes))
    }

    /// Writes `words` where whoever watches the machine from outside sees them.
    pub(crate) fn note(&self, words: &[u32]) -> Result {
        self.with(|hardware| hardware.engine.note(words))
    }

    /// Attaches `buffer` and returns the attachment's number.
    ///
    /// Fails as the exporter does.
    pub(crate) fn attach(&self, buffer: DmaBuf, importer: Importer) -> Result<u32> {
        let device = self.with(|hardware| Ok(hardware.engine.device().clone()))?;
        let attached = Attached {
            attachment: Arc::new(Attachment::new(buffer, device, importer)?, GFP_KERNEL)?,
            mapped: false,
            mappings: 0,
        };
        // A clone, so that a failure drops nothing under the lock.
        self.with(|hardware| hardware.attachments.insert(attached.clone()))
    }

    /// Detaches attachment `number`.
    ///
    /// Fails with [`ENOENT`] if there is none, with [`EBUSY`] while it is mapped.
    pub(crate) fn detach(&self, number: u32) -> Result {
        let attached = self.with(|hardware| {
            if hardware.attachments.get(number)?.mappings > 0 {
                return Err(EBUSY);
            }
            hardware.attachments.remove(number)
        })?;
        drop(attached);
        Ok(())
    }

    /// Forgets attachment `number` and the buffer, but no mapping of it: a fault of a driver.
    ///
    /// Fails with [`ENOENT`] if there is none, with [`EINVAL`] if it has no mapping.
    pub(crate) fn forget(&self, number: u32) -> Result {
        let attached = self.with(|hardware| {
            if hardware.attachments.get(number)?.mappings == 0 {
                return Err(EINVAL);
            }
            hardware.attachments.remove(number)
        })?;
        attached.attachment.forget_buffer();
        drop(attached);
        Ok(())
    }

    /// The attachment with this number.
    fn attachment(&self, number: u32) -> Result<Arc<Attachment>> {
        self.with(|hardware| Ok(hardware.attachments.get(number)?.attachment.clone()))
    }

    /// Says that the device takes part in atomic operations on the buffer of attachment `number`.
    ///
    /// Fails with [`ENOENT`] if there is no such attachment, and as [`udmabuf::declare_atomics`]
    /// does.
    pub(crate) fn declare_atomics(&self, number: u32) -> Result {
        udmabuf::declare_atomics(&*self.attachment(number)?)
    }

    /// Maps attachment `number` once more; returns the mapping's number and how many DMA segments
    /// it has.
    ///
    /// Fails with [`ENOENT`] if there is no such attachment, and as [`Mapping::new`] does.
    pub(crate) fn map(&self, number: u32, direction: Direction, form: Form) -> Result<(u32, u32)> {
        let attachment = self.with(|hardware| {
            let attached = hardware.attachments.get_mut(number)?;
            attached.mapped = true;
            Ok(attached.attachment.clone())
        })?;
        let mapped = Mapped {
            attachment: number,
            mapping: Mapping::new(attachment.clone(), direction, form)?,
        };
        let mapped = Arc::new(mapped, GFP_KERNEL)?;
        let mapping = self.with(|hardware| {
            // Somebody may have detached it meanwhile, and the number is another one's.
            let attached = hardware.attachments.get_mut(number)?;
            if !Arc::ptr_eq(&attached.attachment, &attachment) {
                return Err(ENOENT);
            }
            // A clone, as in `attach`.
            let mapping = hardware.mappings.insert(mapped.clone())?;
            attached.mappings += 1;
            Ok(mapping)
        })?;
        Ok((mapping, mapped.mapping.segments()))
    }

    /// Takes mapping `number` away from the device, after the transfer that may be running.
    ///
    /// Fails with [`ENOENT`] if there is none.
    pub(crate) fn unmap(&self, number: u32) -> Result {
        let mapped = self.with(|hardware| {
            let mapped = hardware.mappings.remove(number)?;
            // It keeps its attachment from being detached, unless that was forgotten: numbers never
            // come back.
            if let Ok(attached) = hardware.attachments.get_mut(mapped.attachment) {
                attached.mappings -= 1;
            }
            Ok(mapped)
        })?;
        drop(mapped);
        Ok(())
    }

    /// Says that the device is going to access the buffer of mapping `number`, or has done so.
    ///
    /// Fails with [`ENOENT`] if there is none, and as [`udmabuf::device_access`] does.
    pub(crate) fn access(&self, number: u32, direction: Direction, side: Side) -> Result {
        let mapped = self.with(|hardware| Ok(hardware.mappings.get(number)?.clone()))?;
        udmabuf::device_access(mapped.mapping.attachment(), direction, side)
    }

    /// Moves bytes of mapping `number` to or from the device's memory.
    ///
    /// Fails with [`ENOENT`] if there is none, and as [`Mapping::pieces`] and
    /// [`Engine::transfer`] do.
    pub(crate) fn transfer(
        &self,
        number: u32,
        offset: u64,
        length: u64,
        inside: u64,
        way: OneWay,
    ) -> Result {
        self.with(|hardware| {
            let mapped = hardware.mappings.get(number)?;
            let pieces = mapped.mapping.pieces(offset, length, way)?;
            hardware.engine.transfer(pieces, inside, way)
        })
    }
}
