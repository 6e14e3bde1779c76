// SPDX-License-Identifier: GPL-2.0

//! Memory that a device reaches, and the CPU too, with nothing in between where that can be had.
//!
//! C header: [`include/linux/dma-mapping.h`](srctree/include/linux/dma-mapping.h)
//!
//! It is not bounced, and decrypted where that is needed: the DMA API sees to it. A device that
//! snoops, without an IOMMU or operations of its own, gets pages (`dma_alloc_pages()`); any other gets
//! memory that needs no syncs whatever stands between (`dma_alloc_coherent()`), and that the CPU does
//! not cache if the device does not snoop. Where there is no such memory left, which happens in the small zones
//! of devices that reach little, a device that snoops gets ordinary pages behind a bounce buffer:
//! then the CPU's side is [fetched](DeviceMemory::fetch) before it is read, and just those bytes
//! that were stored are sent, for sending a whole page would undo what the device wrote meanwhile.
//! A device that does not snoop cannot have those: cache lines are larger than bytes.
//!
//! What is asked for is charged to the caller's memory cgroup.

use super::{
    device::{
        Bounced,
        Device, //
    },
    helpers,
    signal::check_killed,
    words::{
        Told,
        Words, //
    },
};
use crate::{
    direction::Direction,
    merge::Word,
    quota, //
};
use core::{
    ops::Range,
    ptr::NonNull, //
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN, //
        GFP_KERNEL_ACCOUNT,
    },
    bindings,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::atomic::Atomic, //
};

/// The largest piece, in pages: 2 MiB, which comes of the page allocator without trouble. Where there
/// is memory set aside for devices that need large pieces (`dma_alloc_contiguous()`), all but single
/// pages come from there; it is not for shadows, and nobody would pay for it.
const MAX_BLOCK: usize = match cfg!(CONFIG_DMA_CMA) {
    true => 1,
    false => 0x20_0000 >> PAGE_SHIFT,
};

/// Where a block comes from, and goes to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// `dma_alloc_pages()`: its first page.
    Pages(NonNull<bindings::page>),
    /// `dma_alloc_coherent()`.
    Coherent,
    /// The page allocator, then mapped, and bounced perhaps: its first page.
    Mapped(NonNull<bindings::page>),
}

/// Physically contiguous memory, for the device at least.
struct Block {
    /// First page index in the buffer.
    page: usize,
    /// Length, in pages: a power of two.
    pages: usize,
    address: bindings::dma_addr_t,
    cpu: NonNull<Word>,
    origin: Origin,
    share: Option<Share>,
}

/// Memory of a device, as many pages as a buffer has, indexed as those; freed on drop.
///
/// # Invariants
///
/// The blocks are the device's, without gaps from page 0 on.
pub(crate) struct DeviceMemory {
    blocks: KVVec<Block>,
    pages: usize,
    device: Device,
}

// SAFETY: Memory and device may be used and released from any task.
unsafe impl Send for DeviceMemory {}

impl DeviceMemory {
    /// Allocates `pages` pages for `device`, zeroed, in as few blocks as there is memory for.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINTR` if the process is being killed.
    pub(crate) fn new(device: Device, pages: usize) -> Result<Self> {
        // INVARIANT: There are no blocks yet.
        let mut memory = Self {
            blocks: KVVec::new(),
            pages: 0,
            device,
        };
        let flags = GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        let mut largest = MAX_BLOCK;
        while memory.pages < pages {
            // Every now and then, there may be large ones again.
            if memory.pages % MAX_BLOCK == 0 {
                largest = MAX_BLOCK;
            }
            let left = pages - memory.pages;
            // The largest power of two that is not too much.
            let mut size = largest.min(1 << (usize::BITS - 1 - left.leading_zeros()));
            memory.blocks.reserve(1, flags)?;
            let block = loop {
                match Block::new(&memory.device, memory.pages, size) {
                    Ok(block) => break block,
                    Err(error) if size == 1 => return Err(error),
                    // What there was none of, there is none of for what comes next either.
                    Err(_) => {
                        size /= 2;
                        largest = size;
                    }
                }
            };
            memory.blocks.push(block, flags)?;
            // INVARIANT: The block begins where the others end.
            memory.pages += size;
            // SAFETY: May sleep: memory is being allocated.
            unsafe { helpers::cond_resched() };
            check_killed()?;
        }
        Ok(memory)
    }

    /// Whose it is.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Whether others may be waiting for some of it.
    pub(crate) fn is_scarce(&self) -> bool {
        self.blocks.iter().any(|block| block.share.is_some())
    }

    /// Whether the device still reaches all of it: its driver may have changed the DMA mask.
    pub(crate) fn is_in_reach(&self) -> bool {
        let mut ends = self.blocks.iter().map(Block::last);
        ends.all(|last| self.device.reaches_address(last))
    }

    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// First page index, number of pages, and first DMA address of each block, from the one on that
    /// holds page index `page`.
    pub(crate) fn blocks_at(&self, page: usize) -> impl Iterator<Item = (usize, usize, u64)> + '_ {
        let blocks = self.blocks.get(self.index(page)..).unwrap_or_default();
        blocks
            .iter()
            .map(|block| (block.page, block.pages, block.address))
    }

    /// Which block holds page index `page`.
    fn index(&self, page: usize) -> usize {
        self.blocks
            .partition_point(|block| block.page + block.pages <= page)
    }

    fn block(&self, page: usize) -> Option<&Block> {
        self.blocks.get(self.index(page))
    }

    /// What the device wrote to a page becomes visible to the CPU.
    pub(crate) fn fetch(&self, page: usize) {
        if let Some(block) = self.block(page) {
            if matches!(block.origin, Origin::Mapped(_)) {
                let address = block.address + (((page - block.page) << PAGE_SHIFT) as u64);
                // SAFETY: The block is mapped in both directions.
                unsafe {
                    helpers::dma_sync_single_for_cpu(
                        self.device.as_raw(),
                        address,
                        PAGE_SIZE,
                        Direction::FromDevice.as_raw(),
                    )
                };
            }
        }
    }

    /// The words of a page, as the CPU sees them. What is stored, the device sees.
    pub(crate) fn words(&self, page: usize) -> Option<Words<'_, Sent<'_>>> {
        let block = self.block(page)?;
        let offset = (page - block.page) << PAGE_SHIFT;
        let sent = Sent {
            device: &self.device,
            to: match block.origin {
                Origin::Mapped(_) => Some(block.address + offset as u64),
                _ => None,
            },
        };
        // SAFETY: Within the block.
        let start = unsafe { block.cpu.byte_add(offset) };
        // SAFETY: A page of the block, which lives as long as `self`.
        Some(unsafe { Words::new(start, sent) })
    }
}

impl Drop for DeviceMemory {
    fn drop(&mut self) {
        for block in &self.blocks {
            // SAFETY: The block is of this device, and nobody uses it any more.
            unsafe { block.free(&self.device) };
        }
    }
}

/// Sends stored bytes on to where the device looks, if that is elsewhere.
pub(crate) struct Sent<'a> {
    device: &'a Device,
    /// DMA address of the memory.
    to: Option<bindings::dma_addr_t>,
}

impl Told for Sent<'_> {
    #[inline]
    fn stored(&self, bytes: Range<usize>) {
        if let Some(address) = self.to {
            // SAFETY: The memory is mapped in both directions.
            unsafe {
                helpers::dma_sync_single_for_device(
                    self.device.as_raw(),
                    address + bytes.start as u64,
                    bytes.len(),
                    Direction::ToDevice.as_raw(),
                )
            };
        }
    }
}

/// Both ways, for the DMA API: a device that reads is joined by one that writes.
const BOTH: Direction = Direction::Bidirectional;

impl Block {
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(device: &Device, page: usize, pages: usize) -> Result<Self> {
        // Pages need syncs, which are known to do nothing for such a device only.
        let block = match device.snoops() && device.is_direct() {
            true => Self::of_pages(device, page, pages),
            false => Self::coherent(device, page, pages),
        };
        match block {
            Err(_) if device.snoops() => Self::mapped(device, page, pages),
            block => block,
        }
    }

    /// How hard to try. Nobody is killed for a device's copy, and where less will do, nothing is
    /// swapped out for much.
    fn flags(pages: usize) -> bindings::gfp_t {
        let trying = match pages {
            1 => bindings::___GFP_RETRY_MAYFAIL_BIT,
            _ => bindings::___GFP_NORETRY_BIT,
        };
        bindings::GFP_KERNEL_ACCOUNT | bindings::__GFP_NOWARN | 1 << trying
    }

    /// Whether the device may be asked for at all: the DMA API warns otherwise.
    fn has_coherent_mask(device: &Device) -> bool {
        // SAFETY: The device is valid.
        unsafe { (*device.as_raw()).coherent_dma_mask != 0 }
    }

    fn of_pages(device: &Device, page: usize, pages: usize) -> Result<Self> {
        if !Self::has_coherent_mask(device) {
            return Err(ENOMEM);
        }
        let mut address = 0;
        // SAFETY: The device is valid; size and flags are such as the function takes.
        let first = unsafe {
            bindings::dma_alloc_pages(
                device.as_raw(),
                pages << PAGE_SHIFT,
                &mut address,
                BOTH.as_raw(),
                Self::flags(pages),
            )
        };
        let first = NonNull::new(first).ok_or(ENOMEM)?;
        // SAFETY: The function gives no high memory.
        let cpu = unsafe { helpers::page_address(first.as_ptr()) };
        let block = Self {
            page,
            pages,
            address,
            cpu: NonNull::new(cpu.cast()).ok_or(ENOMEM)?,
            origin: Origin::Pages(first),
            share: None,
        };
        block.judged(device, Some(first))
    }

    fn coherent(device: &Device, page: usize, pages: usize) -> Result<Self> {
        if !Self::has_coherent_mask(device) {
            return Err(ENOMEM);
        }
        let mut address = 0;
        // SAFETY: The device is valid.
        let cpu = unsafe {
            bindings::dma_alloc_attrs(
                device.as_raw(),
                pages << PAGE_SHIFT,
                &mut address,
                Self::flags(pages),
                bindings::DMA_ATTR_NO_WARN as usize,
            )
        };
        let block = Self {
            page,
            pages,
            address,
            cpu: NonNull::new(cpu.cast()).ok_or(ENOMEM)?,
            origin: Origin::Coherent,
            share: None,
        };
        let first = match device.is_direct() {
            // SAFETY: The device is valid, and addresses are those of memory.
            true => NonNull::new(unsafe { helpers::dma_to_page(device.as_raw(), address) }),
            false => None,
        };
        block.judged(device, first)
    }

    fn mapped(device: &Device, page: usize, pages: usize) -> Result<Self> {
        // SAFETY: The device is valid.
        let max = unsafe { bindings::dma_max_mapping_size(device.as_raw()) };
        if pages << PAGE_SHIFT > max {
            return Err(ENOMEM);
        }
        let flags = Self::flags(pages) | bindings::__GFP_ZERO;
        // SAFETY: May sleep.
        let first = unsafe { bindings::alloc_pages(flags, order(pages)) };
        let first = NonNull::new(first).ok_or(ENOMEM)?;
        // SAFETY: The page is ours.
        let pfn = unsafe { helpers::page_to_pfn(first.as_ptr()) };
        let share = match device.bounced(pfn, pages) {
            Bounced::No => Some(None),
            Bounced::By(all) => Share::new(&BOUNCED, pages, all / 4).map(Some),
            Bounced::OutOfReach => None,
        };
        let Some(share) = share else {
            // SAFETY: The pages are ours, and not mapped.
            unsafe { bindings::__free_pages(first.as_ptr(), order(pages)) };
            return Err(ENOMEM);
        };
        // SAFETY: Without `__GFP_HIGHMEM`, it is no high memory.
        let cpu = unsafe { helpers::page_address(first.as_ptr()) };
        // SAFETY: The device is valid, the pages are ours.
        let address = unsafe {
            bindings::dma_map_page_attrs(
                device.as_raw(),
                first.as_ptr(),
                0,
                pages << PAGE_SHIFT,
                BOTH.as_raw(),
                bindings::DMA_ATTR_NO_WARN as usize,
            )
        };
        // SAFETY: Just mapped, or not.
        let failed = unsafe { helpers::dma_mapping_error(device.as_raw(), address) } != 0;
        match NonNull::new(cpu.cast()) {
            Some(cpu) if !failed => Ok(Self {
                page,
                pages,
                address,
                cpu,
                origin: Origin::Mapped(first),
                share,
            }),
            _ => {
                // SAFETY: The pages are ours, and not mapped: no page has no address.
                unsafe { bindings::__free_pages(first.as_ptr(), order(pages)) };
                Err(ENOMEM)
            }
        }
    }

    /// DMA address of its last byte.
    fn last(&self) -> bindings::dma_addr_t {
        self.address + ((self.pages << PAGE_SHIFT) as u64 - 1)
    }

    /// The block, if the device reaches it, and may have it; frees it if not. `first` is its first
    /// page, if it is known to have one.
    ///
    /// The DMA API allocates what `coherent_dma_mask` allows, while the address will be used as that
    /// of a mapping, for which `dma_mask` counts.
    fn judged(mut self, device: &Device, first: Option<NonNull<bindings::page>>) -> Result<Self> {
        let mut allowed = device.reaches_address(self.last());
        if let Some(first) = first.filter(|_| allowed && device.wants_low_memory()) {
            // SAFETY: The page is valid.
            self.share = unsafe { Share::of_zone(first, self.pages) };
            allowed = self.share.is_some();
        }
        if !allowed {
            // SAFETY: Nobody has it.
            unsafe { self.free(device) };
            return Err(ENOMEM);
        }
        Ok(self)
    }

    /// # Safety
    ///
    /// The block is of `device`, and not used any more.
    unsafe fn free(&self, device: &Device) {
        let (raw, size) = (device.as_raw(), self.pages << PAGE_SHIFT);
        match self.origin {
            // SAFETY: Allocated so.
            Origin::Pages(page) => unsafe {
                bindings::dma_free_pages(raw, size, page.as_ptr(), self.address, BOTH.as_raw())
            },
            // SAFETY: Allocated so.
            Origin::Coherent => unsafe {
                bindings::dma_free_attrs(raw, size, self.cpu.as_ptr().cast(), self.address, 0)
            },
            Origin::Mapped(page) => {
                // What the device wrote was fetched.
                let attrs = bindings::DMA_ATTR_SKIP_CPU_SYNC as usize;
                // SAFETY: Mapped so.
                unsafe {
                    bindings::dma_unmap_page_attrs(raw, self.address, size, BOTH.as_raw(), attrs)
                };
                // SAFETY: Allocated so.
                unsafe { bindings::__free_pages(page.as_ptr(), order(self.pages)) };
            }
        }
    }
}

/// Of a power of two.
fn order(pages: usize) -> u32 {
    pages.trailing_zeros()
}

/// A share of something small that is everybody's, given up on drop: memory of the zones for devices
/// that reach little, of which all shadows together get half; and bounce buffers, of which they get a
/// quarter. So nobody can drain these through this driver.
struct Share {
    taken: &'static Atomic<i64>,
    pages: i64,
}

/// Pages taken from each zone, by its number. Zones that are counted are those of low memory, of which
/// a machine has one each, whatever nodes it has.
static LOW: [Atomic<i64>; bindings::zone_type___MAX_NR_ZONES as usize] =
    [const { Atomic::new(0) }; bindings::zone_type___MAX_NR_ZONES as usize];

/// Pages behind bounce buffers.
static BOUNCED: Atomic<i64> = Atomic::new(0);

impl Share {
    /// Of which all together get `most` pages.
    fn new(taken: &'static Atomic<i64>, pages: usize, most: usize) -> Option<Self> {
        let pages = i64::try_from(pages).ok()?;
        quota::take(taken, pages, i64::try_from(most).ok()?).ok()?;
        Some(Self { taken, pages })
    }

    /// # Safety
    ///
    /// `page` is valid.
    unsafe fn of_zone(page: NonNull<bindings::page>, pages: usize) -> Option<Self> {
        // SAFETY: The page is valid.
        let zone = unsafe { helpers::page_zonenum(page.as_ptr()) } as usize;
        // SAFETY: As above.
        let all = unsafe { helpers::page_zone_managed_pages(page.as_ptr()) };
        Self::new(LOW.get(zone)?, pages, all / 2)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        quota::give_back(self.taken, self.pages);
    }
}

#[kunit_tests(udmabuf_device_memory)]
mod tests {
    use super::*;
    use crate::merge::Memory;
    use kernel::{
        alloc::flags::GFP_KERNEL,
        device::Bound,
        faux,
        sync::atomic::Relaxed, //
    };

    /// A device that DMAs and snoops, as far as the DMA API can tell.
    struct Fake {
        device: Device,
        _registration: faux::Registration,
    }

    impl Fake {
        fn new(mask: u64) -> Result<Self> {
            let registration = faux::Registration::new(c"udmabuf-kunit", None)?;
            let faux: &faux::Device<Bound> = registration.as_ref();
            let device: &kernel::device::Device<Bound> = faux.as_ref();
            // A transparent wrapper.
            let raw = core::ptr::from_ref(device)
                .cast_mut()
                .cast::<bindings::device>();
            // SAFETY: The device is valid, and nobody else uses it.
            unsafe { (*raw).coherent_dma_mask = mask };
            // SAFETY: As above; the mask lives as long as the device.
            unsafe { (*raw).dma_mask = &raw mut (*raw).coherent_dma_mask };
            // SAFETY: As above.
            unsafe { helpers::dev_assign_dma_coherent(raw, true) };
            let raw = NonNull::new(raw).ok_or(EINVAL)?;
            Ok(Self {
                // SAFETY: The device is registered.
                device: unsafe { Device::get(raw) },
                _registration: registration,
            })
        }

        /// Where the device looks: the words at a DMA address, without an IOMMU.
        ///
        /// # Safety
        ///
        /// The address is of memory that is allocated or mapped for the device.
        unsafe fn view(&self, address: bindings::dma_addr_t) -> *mut u8 {
            // SAFETY: Says the caller.
            let page = unsafe { helpers::dma_to_page(self.device.as_raw(), address) };
            // SAFETY: The page is valid, and in the linear map.
            let start = unsafe { helpers::page_address(page) }.cast::<u8>();
            // CAST: Less than a page.
            start.wrapping_add(address as usize & (PAGE_SIZE - 1))
        }
    }

    /// What one side stores the other sees, and a byte stored by the CPU takes back none beside it.
    fn both_sides_see(fake: &Fake, memory: &DeviceMemory, page: usize) -> Result<[bool; 3]> {
        let block = memory.block(page).ok_or(EINVAL)?;
        let address = block.address + (((page - block.page) << PAGE_SHIFT) as u64);
        // SAFETY: The block is of the device.
        let device = unsafe { fake.view(address) };
        let words = memory.words(page).ok_or(EINVAL)?;
        words.store(1, !0, !0);
        // SAFETY: Within the page, as all others below.
        let seen = unsafe { device.add(8).read_volatile() } == 0xff;

        // SAFETY: As above.
        unsafe { device.add(17).write_volatile(0x17) };
        words.store(2, 0x55, 0xff);
        // SAFETY: As above.
        let spared = unsafe { device.add(17).read_volatile() } == 0x17;
        memory.fetch(page);
        let both = words.load(2).to_ne_bytes();
        Ok([seen, spared, both[..3] == [0x55, 0x17, 0]])
    }

    #[test]
    fn bytes_are_seen_by_both_sides() -> Result {
        let fake = Fake::new(u64::MAX)?;
        let memory = DeviceMemory::new(fake.device.clone(), 5)?;
        let blocks = memory.blocks.len();
        let mut seen = [[false; 3]; 5];
        for (page, seen) in seen.iter_mut().enumerate() {
            *seen = both_sides_see(&fake, &memory, page)?;
        }
        assert_eq!((memory.pages(), blocks), (5, 2));
        assert_eq!(seen, [[true; 3]; 5]);
        Ok(())
    }

    /// Where every device snoops, as on x86, it does so all the same.
    #[test]
    fn bytes_are_seen_by_a_device_that_does_not_snoop() -> Result {
        let fake = Fake::new(u64::MAX)?;
        // SAFETY: Nobody else uses the device, for which nothing is mapped.
        unsafe { helpers::dev_assign_dma_coherent(fake.device.as_raw(), false) };
        let memory = DeviceMemory::new(fake.device.clone(), 2)?;
        let seen = [
            both_sides_see(&fake, &memory, 0)?,
            both_sides_see(&fake, &memory, 1)?,
        ];
        let uncached = memory.blocks[0].origin == Origin::Coherent;
        assert_eq!(uncached, !fake.device.snoops());
        assert_eq!(seen, [[true; 3]; 2]);
        Ok(())
    }

    /// As where there is no memory that the device reaches; with `swiotlb=force`, it is bounced.
    #[test]
    fn bytes_are_sent_one_by_one_through_a_bounce_buffer() -> Result {
        let fake = Fake::new(u64::MAX)?;
        let mut memory = DeviceMemory::new(fake.device.clone(), 1)?;
        let second = Block::mapped(&memory.device, 1, 2)?;
        memory.blocks.push(second, GFP_KERNEL)?;
        // INVARIANT: The block begins where the other ends.
        memory.pages = 3;
        let seen = [
            both_sides_see(&fake, &memory, 1)?,
            both_sides_see(&fake, &memory, 2)?,
        ];
        assert_eq!(seen, [[true; 3]; 2]);
        Ok(())
    }

    #[test]
    fn a_device_without_coherent_mask_gets_mapped_pages() -> Result {
        let fake = Fake::new(u64::MAX)?;
        let raw = fake.device.as_raw();
        let mut mask = u64::MAX;
        // SAFETY: Nobody else uses the device, which is not used after `mask` is gone.
        unsafe {
            (*raw).dma_mask = &raw mut mask;
            (*raw).coherent_dma_mask = 0;
        }
        let mapped = DeviceMemory::new(fake.device.clone(), 1)
            .map(|memory| matches!(memory.blocks[0].origin, Origin::Mapped(_)));
        // SAFETY: As above.
        unsafe { (*raw).dma_mask = core::ptr::null_mut() };
        assert!(mapped?);
        Ok(())
    }

    #[test]
    fn half_of_a_small_zone_is_left() -> Result {
        let fake = Fake::new(u64::from(u32::MAX))?;
        let wants = fake.device.wants_low_memory();
        let memory = DeviceMemory::new(fake.device.clone(), 1)?;
        let Origin::Pages(page) = memory.blocks[0].origin else {
            return Err(EINVAL);
        };
        let taken = memory.blocks[0].share.as_ref().ok_or(EINVAL)?.taken;
        // SAFETY: The page is valid.
        let all = unsafe { helpers::page_zone_managed_pages(page.as_ptr()) };
        let before = taken.load(Relaxed);
        let left = all / 2 - usize::try_from(before)?;
        // SAFETY: The page is valid.
        let refused = unsafe { Share::of_zone(page, left + 1) }.is_none();
        let after = taken.load(Relaxed);
        // SAFETY: The page is valid.
        let most = unsafe { Share::of_zone(page, left) }.is_some();
        let given_back = taken.load(Relaxed);
        drop(memory);
        let nobody = LOW.iter().all(|taken| taken.load(Relaxed) == 0);
        assert!(wants && refused && most && nobody);
        assert_eq!((before, after, given_back), (1, 1, 1));
        Ok(())
    }

    /// A device whose mappings have to lie lower than what is allocated for it.
    #[test]
    fn what_is_out_of_reach_of_mappings_is_not_taken() -> Result {
        let fake = Fake::new(u64::MAX)?;
        let raw = fake.device.as_raw();
        let mut mask = (1u64 << 20) - 1;
        // SAFETY: Nobody else uses the device, which is not used after `mask` is gone.
        unsafe { (*raw).dma_mask = &raw mut mask };
        let result = DeviceMemory::new(fake.device.clone(), 1).err();
        // SAFETY: As above.
        unsafe { (*raw).dma_mask = core::ptr::null_mut() };
        assert_eq!(result, Some(ENOMEM));
        Ok(())
    }

    #[test]
    fn a_share_has_its_bounds() {
        static TAKEN: Atomic<i64> = Atomic::new(0);
        let first = Share::new(&TAKEN, 3, 4);
        let second = Share::new(&TAKEN, 2, 4);
        let third = Share::new(&TAKEN, 1, 4);
        let got = (first.is_some(), second.is_some(), third.is_some());
        let during = TAKEN.load(Relaxed);
        drop((first, second, third));
        assert_eq!(got, (true, false, true));
        assert_eq!((during, TAKEN.load(Relaxed)), (4, 0));
    }
}
