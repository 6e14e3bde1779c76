// SPDX-License-Identifier: GPL-2.0

//! edu's DMA engine: moves bytes between the bus and the device's own memory.

use kernel::{
    io::Io,
    pci::Bar,
    prelude::*,
    sync::Arc,
    time::msecs_to_jiffies, //
};

use crate::{
    channel,
    direction::OneWay,
    dma_bits::DmaBits,
    ffi::{
        abi::EDU_MEMORY_SIZE,
        bound::BoundDevice,
        dma::{
            self,
            SharedMemory, //
        },
        iommu,
        pci, //
    },
    range::{
        Range,
        Segment, //
    },
    registers::{
        Registers,
        DMA_COMMAND,
        DMA_COUNT,
        DMA_DESTINATION,
        DMA_SOURCE,
        LIVENESS,
        SIZE, //
    }, //
};

/// Where the engine sees the device's memory.
const DEVICE_MEMORY: u64 = 0x4_0000;

/// How long a transfer may take, in milliseconds. edu needs 100 ms of the guest's time; an
/// emulator on a busy machine may be late.
const TIMEOUT_MS: u32 = 10_000;

/// The engine of one device, which does one transfer at a time.
///
/// A transfer cannot be stopped, and its memory may not be given back while it runs. So nobody
/// leaves before it has finished: waiting is bounded, not interruptible.
pub(crate) struct Engine {
    registers: Arc<Registers>,
    /// For transfers that go through no dma-buf.
    page: SharedMemory,
    bits: DmaBits,
    /// As many as the device has: it drops those above without a word.
    most: DmaBits,
    /// Whether a transfer never finished. The device no longer reaches memory then.
    stuck: bool,
    device: BoundDevice,
}

impl Engine {
    /// The engine of `device`, which puts `bits` address bits on the bus.
    ///
    /// Fails with [`EIO`] if the machine has no memory for so few bits.
    pub(crate) fn new(
        device: BoundDevice,
        registers: Arc<Registers>,
        bits: DmaBits,
    ) -> Result<Self> {
        dma::set_no_segment_limits(&device);
        dma::set_mask(&device, bits.mask()?)?;
        Ok(Self {
            registers,
            page: SharedMemory::new(&device, EDU_MEMORY_SIZE)?,
            bits,
            most: bits,
            stuck: false,
            device,
        })
    }

    /// The device that the engine belongs to.
    pub(crate) fn device(&self) -> &BoundDevice {
        &self.device
    }

    /// How many address bits the device has.
    pub(crate) fn bits(&self) -> DmaBits {
        self.bits
    }

    /// Whether the device has so many address bits; [`EINVAL`] if not.
    pub(crate) fn check_bits(&self, bits: DmaBits) -> Result {
        bits.check(self.most)
    }

    /// Gives the device another number of address bits, which [passes](Self::check_bits).
    ///
    /// Fails as [`Self::new`] does; the old number then stays.
    pub(crate) fn set_bits(&mut self, bits: DmaBits) -> Result {
        dma::set_mask(&self.device, bits.mask()?)?;
        // The device may not reach the old page any more.
        match SharedMemory::new(&self.device, EDU_MEMORY_SIZE) {
            Ok(page) => {
                self.page = page;
                self.bits = bits;
                Ok(())
            }
            Err(error) => {
                dma::set_mask(&self.device, self.bits.mask()?)?;
                Err(error)
            }
        }
    }

    /// Writes `words` to a register that does nothing with them.
    pub(crate) fn note(&self, words: &[u32]) -> Result {
        write(self.registers.bar(&self.device)?, words);
        Ok(())
    }

    /// Says to whoever watches the machine that this is device number `index`.
    pub(crate) fn introduce(&self, index: u32) -> Result {
        self.note(&channel::device(index, self.snoops()))
    }

    /// Whether the device sees what is in the CPU's caches.
    pub(crate) fn snoops(&self) -> bool {
        dma::is_coherent(&self.device)
    }

    /// Whether an IOMMU translates what the device puts on the bus, of which it has the page of
    /// this engine as an example.
    pub(crate) fn has_iommu(&self) -> bool {
        iommu::translate(&self.device, self.page.address() >> channel::PAGE_SHIFT).is_some()
    }

    /// Copies `bytes` into the device's memory, from `offset` on.
    pub(crate) fn load(&mut self, offset: u64, bytes: &[u8]) -> Result {
        self.page.write(bytes)?;
        self.transfer_page(offset, bytes.len(), OneWay::ToDevice)
    }

    /// Copies the device's memory, from `offset` on, to `bytes`.
    pub(crate) fn store(&mut self, offset: u64, bytes: &mut [u8]) -> Result {
        self.transfer_page(offset, bytes.len(), OneWay::FromDevice)?;
        self.page.read(bytes)
    }

    fn transfer_page(&mut self, offset: u64, length: usize, way: OneWay) -> Result {
        let page = Segment {
            address: self.page.address(),
            length: length.try_into()?,
        };
        self.transfer(core::iter::once(page), offset, way)
    }

    /// Moves `pieces` of the bus, one after the other, to or from the device's memory, where they
    /// lie end to end from `offset` on.
    ///
    /// Fails, before anything has moved, with [`EINVAL`] if they do not fit into the device's
    /// memory, with [`EIO`] if the device does not reach one of them or an earlier transfer never
    /// finished; with [`ETIMEDOUT`] if the device does not finish this one.
    pub(crate) fn transfer<I>(&mut self, pieces: I, offset: u64, way: OneWay) -> Result
    where
        I: Iterator<Item = Segment> + Clone,
    {
        if self.stuck {
            dev_err!(
                self.device,
                "a transfer never finished, rebind the device\n"
            );
            return Err(EIO);
        }
        let mut length = 0u64;
        for piece in pieces.clone() {
            self.check(piece)?;
            length = length.checked_add(piece.length).ok_or(EINVAL)?;
        }
        // CAST: A page size fits into any integer.
        let range = Range::new(offset, length, EDU_MEMORY_SIZE as u64)?;

        let mut inside = DEVICE_MEMORY + range.offset();
        for piece in pieces {
            self.transfer_one(piece, inside, way)?;
            inside += piece.length;
        }
        Ok(())
    }

    /// Refuses what is out of the device's reach: it would cut the address off and access
    /// something else.
    fn check(&self, piece: Segment) -> Result {
        if !self.bits.reach(piece) {
            dev_err!(
                self.device,
                "cannot reach {:#x}+{:#x} with {} address bits\n",
                piece.address,
                piece.length,
                self.bits.get()
            );
            return Err(EIO);
        }
        Ok(())
    }

    fn transfer_one(&mut self, piece: Segment, inside: u64, way: OneWay) -> Result {
        let (source, destination) = match way {
            OneWay::ToDevice => (piece.address, inside),
            OneWay::FromDevice => (inside, piece.address),
        };
        let finished = &self.registers.finished;
        let bar = self.registers.bar(&self.device)?;

        // Whoever watches the machine sees bus addresses only.
        for page in channel::pages(piece) {
            if let Some(frame) = iommu::translate(&self.device, page) {
                write(bar, &channel::translate(page, frame));
            }
        }

        finished.forget();
        // The kernel crate takes no BAR's word for more than 32-bit alignment, hence `try`.
        bar.try_write_reg(DMA_SOURCE::from(source))?;
        bar.try_write_reg(DMA_DESTINATION::from(destination))?;
        bar.try_write_reg(DMA_COUNT::from(piece.length))?;
        bar.write_reg(
            DMA_COMMAND::zeroed()
                .with_interrupt(true)
                .with_from_device(way == OneWay::FromDevice)
                .with_run(true),
        );

        let mut left = msecs_to_jiffies(TIMEOUT_MS);
        while let Some(rest) = finished.wait(left) {
            if !bar.read(DMA_COMMAND).run() {
                return Ok(());
            }
            left = rest;
        }

        if bar.read(DMA_COMMAND).run() {
            // The memory is given back after this call, so the device must not come for it later.
            pci::clear_master(&self.device);
            self.stuck = true;
            dev_err!(
                self.device,
                "a transfer did not finish, DMA is off until the next bind\n"
            );
        } else {
            dev_err!(self.device, "a transfer finished without an interrupt\n");
        }
        Err(ETIMEDOUT)
    }
}

/// Writes `words` to the register that does nothing with them.
fn write(bar: &Bar<'_, SIZE>, words: &[u32]) {
    for &word in words {
        bar.write_reg(LIVENESS::from(word));
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Without a driver the device has no business on the bus.
        pci::clear_master(&self.device);
    }
}
