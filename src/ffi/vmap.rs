// SPDX-License-Identifier: GPL-2.0

//! Pinned pages in the kernel's address space.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use super::{
    folio::{
        Memmap,
        PinnedPages, //
    },
    helpers, //
};
use core::{
    ffi::c_void,
    mem::ManuallyDrop,
    ptr::NonNull, //
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    bindings,
    prelude::*, //
};

/// All pages of a buffer, side by side at a kernel address; unmapped on drop.
///
/// # Invariants
///
/// `address` maps all pages, in the linear map or in a `vm_map_ram()` area, which is ours.
pub(crate) struct Vmap<'a> {
    address: NonNull<c_void>,
    pages: &'a PinnedPages,
}

// SAFETY: Kernel addresses are the same in every task, and may be unmapped by any.
unsafe impl Send for Vmap<'_> {}

impl<'a> Vmap<'a> {
    /// A buffer of one extent is at its place in the linear map already. Any other needs an area,
    /// and for making it, an array of page pointers that is freed again: no exported function
    /// takes the extents.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or address space, or if there are more pages than the machine
    /// has: pages may be in a buffer more than once, and the page tables of kernel addresses are charged
    /// to nobody. `vmap()` in `mm/vmalloc.c` draws the line there, `vm_map_ram()` none.
    pub(crate) fn new(pages: &'a PinnedPages) -> Result<Self> {
        let extents = pages.extents();
        if extents.len() == 1 {
            if let Some(run) = extents.find(0) {
                // SAFETY: The page frame is of a pinned page.
                let page = unsafe { helpers::pfn_to_page(run.pfn) };
                // SAFETY: As above.
                let address = unsafe { helpers::page_address(page) };
                if let Some(address) = NonNull::new(address) {
                    // INVARIANT: The linear map is linear.
                    return Ok(Self { address, pages });
                }
            }
        }

        // SAFETY: It may be called at any time.
        if extents.pages() > unsafe { helpers::totalram_pages() } {
            return Err(ENOMEM);
        }
        let count = u32::try_from(extents.pages()).map_err(|_| ENOMEM)?;
        let mut array = KVVec::with_capacity(extents.pages(), GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        let memmap = Memmap::new();
        for run in extents.iter() {
            for pfn in run.pfn..run.pfn + run.pages {
                // SAFETY: The page frame is of a pinned page.
                array.push_within_capacity(unsafe { memmap.page(pfn) })?;
            }
        }
        // SAFETY: There are `count` valid pages; -1 is no node in particular.
        let address = unsafe { helpers::vm_map_ram(array.as_mut_ptr(), count, -1) };
        // INVARIANT: Just mapped.
        Ok(Self {
            address: NonNull::new(address).ok_or(ENOMEM)?,
            pages,
        })
    }

    /// The pages.
    pub(super) fn pages(&self) -> &'a PinnedPages {
        self.pages
    }

    /// Where the first byte is. It stays mapped.
    pub(super) fn into_address(self) -> NonNull<c_void> {
        ManuallyDrop::new(self).address
    }

    /// The reverse of [`into_address`](Self::into_address).
    ///
    /// # Safety
    ///
    /// `address` came from there, of a mapping of `pages`, and comes here once.
    pub(super) unsafe fn from_address(address: NonNull<c_void>, pages: &'a PinnedPages) -> Self {
        // INVARIANT: It is what was mapped.
        Self { address, pages }
    }

    /// Whether it is an area.
    fn is_area(&self) -> bool {
        // SAFETY: Any address may be asked about.
        unsafe { bindings::is_vmalloc_addr(self.address.as_ptr()) }
    }
}

impl Drop for Vmap<'_> {
    fn drop(&mut self) {
        if self.is_area() {
            // CAST: So many were mapped.
            let count = self.pages.extents().pages() as u32;
            // SAFETY: The area is ours by the type invariant.
            unsafe { helpers::vm_unmap_ram(self.address.as_ptr(), count) };
        }
    }
}

#[kunit_tests(udmabuf_vmap)]
mod tests {
    use super::{
        super::{
            builder::test::pinned,
            memfd::test::memfd, //
        },
        *, //
    };
    use kernel::page::PAGE_SIZE;

    /// Writes a number into every page through one mapping, and counts those that another
    /// mapping of the same pages shows in the same place.
    fn seen_through_another(pages: &PinnedPages) -> Result<usize> {
        let count = pages.extents().pages();
        let writer = Vmap::new(pages)?;
        for page in 0..count {
            let at = writer.address.cast::<u64>();
            // SAFETY: The mapping has `count` pages.
            unsafe { at.byte_add(page * PAGE_SIZE).write_volatile(!(page as u64)) };
        }
        drop(writer);

        let reader = Vmap::new(pages)?;
        let seen = |page: &usize| {
            let at = reader.address.cast::<u64>();
            // SAFETY: The mapping has `count` pages.
            let value = unsafe { at.byte_add(page * PAGE_SIZE).read_volatile() };
            value == !(*page as u64)
        };
        Ok((0..count).filter(seen).count())
    }

    #[test]
    fn one_extent_is_in_the_linear_map() -> Result {
        let memfd = memfd(1)?;
        let pages = pinned(&memfd, &[(0, 1)])?;
        let is_area = Vmap::new(&pages)?.is_area();
        let seen = seen_through_another(&pages)?;
        assert_eq!((is_area, seen), (false, 1));
        Ok(())
    }

    #[test]
    fn more_pages_than_there_are_get_none() -> Result {
        const PAGES: u64 = 16 << 10;
        let memfd = memfd(PAGES as usize)?;
        // SAFETY: It may be called at any time.
        let times = unsafe { helpers::totalram_pages() } / PAGES as usize + 1;
        let mut items = KVec::new();
        for _ in 0..times {
            items.push((0, PAGES), GFP_KERNEL)?;
        }
        let pages = pinned(&memfd, &items)?;
        assert_eq!(Vmap::new(&pages).err(), Some(ENOMEM));
        Ok(())
    }

    #[test]
    fn several_extents_get_an_area() -> Result {
        let memfd = memfd(100)?;
        // Items are extents of their own, so there are three at least.
        let pages = pinned(&memfd, &[(90, 10), (50, 20), (0, 30)])?;
        let is_area = Vmap::new(&pages)?.is_area();
        let seen = seen_through_another(&pages)?;
        assert_eq!((is_area, seen), (true, 60));
        Ok(())
    }
}
