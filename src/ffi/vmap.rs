// SPDX-License-Identifier: GPL-2.0

//! Pinned pages in the kernel's address space.
//!
//! C header: [`include/linux/vmalloc.h`](srctree/include/linux/vmalloc.h)

use super::{
    folio::PinnedPages,
    helpers, //
};
use core::{
    ffi::c_void,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    alloc::flags::{
        __GFP_NOWARN,
        GFP_KERNEL_ACCOUNT, //
    },
    prelude::*, //
};

/// All pages of a buffer, side by side at a kernel address; unmapped on drop.
///
/// # Invariants
///
/// `address` maps all pages; if `area` is not 0, it is a `vm_map_ram()` area of so many pages,
/// else part of the linear map.
pub(crate) struct Vmap<P> {
    address: NonNull<c_void>,
    area: u32,
    // The pages outlive their mapping.
    _pages: P,
}

// SAFETY: Kernel addresses are the same in every task, and may be unmapped by any.
unsafe impl<P: Send> Send for Vmap<P> {}

impl<P: Deref<Target = PinnedPages>> Vmap<P> {
    /// A buffer of one extent is at its place in the linear map already. Any other needs an area,
    /// and for making it, an array of page pointers that is freed again: no exported function
    /// takes the extents.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory or address space, or if there are more pages than the machine
    /// has: pages may be in a buffer more than once, and the page tables of kernel addresses are charged
    /// to nobody. `vmap()` in `mm/vmalloc.c` draws the line there, `vm_map_ram()` none.
    pub(crate) fn new(pages: P) -> Result<Self> {
        let extents = pages.extents();
        if extents.len() == 1 {
            if let Some(run) = extents.find(0) {
                // SAFETY: The page frame is of a pinned page.
                let page = unsafe { helpers::pfn_to_page(run.pfn) };
                // SAFETY: As above.
                let address = unsafe { helpers::page_address(page) };
                if let Some(address) = NonNull::new(address) {
                    // INVARIANT: The linear map is linear.
                    return Ok(Self {
                        address,
                        area: 0,
                        _pages: pages,
                    });
                }
            }
        }

        // SAFETY: It may be called at any time.
        if extents.pages() > unsafe { helpers::totalram_pages() } {
            return Err(ENOMEM);
        }
        let count = u32::try_from(extents.pages()).map_err(|_| ENOMEM)?;
        let mut array = KVVec::with_capacity(extents.pages(), GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        for run in extents.iter() {
            for pfn in run.pfn..run.pfn + run.pages {
                // SAFETY: The page frame is of a pinned page.
                array.push(unsafe { helpers::pfn_to_page(pfn) }, GFP_KERNEL_ACCOUNT)?;
            }
        }
        // SAFETY: There are `count` valid pages; -1 is no node in particular.
        let address = unsafe { helpers::vm_map_ram(array.as_mut_ptr(), count, -1) };
        // INVARIANT: Just mapped.
        Ok(Self {
            address: NonNull::new(address).ok_or(ENOMEM)?,
            area: count,
            _pages: pages,
        })
    }

    /// Where the first byte is.
    pub(crate) fn address(&self) -> NonNull<c_void> {
        self.address
    }
}

impl<P> Drop for Vmap<P> {
    fn drop(&mut self) {
        if self.area != 0 {
            // SAFETY: The area is ours by the type invariant.
            unsafe { helpers::vm_unmap_ram(self.address.as_ptr(), self.area) };
        }
    }
}

#[kunit_tests(udmabuf_vmap)]
mod tests {
    use super::*;
    use crate::{
        buffer,
        ffi::memfd, //
    };
    use kernel::{
        page::PAGE_SIZE,
        sync::Arc, //
    };

    /// Writes a number into every page through one mapping, and counts those that another
    /// mapping of the same pages shows in the same place.
    fn seen_through_another(pages: Arc<PinnedPages>) -> Result<usize> {
        let count = pages.extents().pages();
        let writer = Vmap::new(pages.clone())?;
        for page in 0..count {
            let at = writer.address().cast::<u64>();
            // SAFETY: The mapping has `count` pages.
            unsafe { at.byte_add(page * PAGE_SIZE).write_volatile(!(page as u64)) };
        }
        drop(writer);

        let reader = Vmap::new(pages)?;
        let seen = |page: &usize| {
            let at = reader.address().cast::<u64>();
            // SAFETY: The mapping has `count` pages.
            let value = unsafe { at.byte_add(page * PAGE_SIZE).read_volatile() };
            value == !(*page as u64)
        };
        Ok((0..count).filter(seen).count())
    }

    #[test]
    fn one_extent_is_in_the_linear_map() -> Result {
        let memfd = memfd::test::memfd(1)?;
        let pages = buffer::test::pinned(&memfd, &[(0, 1)])?;
        let area = Vmap::new(pages.clone())?.area;
        let seen = seen_through_another(pages)?;
        assert_eq!((area, seen), (0, 1));
        Ok(())
    }

    #[test]
    fn more_pages_than_there_are_get_none() -> Result {
        const PAGES: u64 = 16 << 10;
        let memfd = memfd::test::memfd(PAGES as usize)?;
        // SAFETY: It may be called at any time.
        let times = unsafe { helpers::totalram_pages() } / PAGES as usize + 1;
        let mut items = KVec::new();
        for _ in 0..times {
            items.push((0, PAGES), GFP_KERNEL)?;
        }
        let pages = buffer::test::pinned(&memfd, &items)?;
        assert_eq!(Vmap::new(pages).err(), Some(ENOMEM));
        Ok(())
    }

    #[test]
    fn several_extents_get_an_area() -> Result {
        let memfd = memfd::test::memfd(100)?;
        // Items are extents of their own, so there are three at least.
        let pages = buffer::test::pinned(&memfd, &[(90, 10), (50, 20), (0, 30)])?;
        let area = Vmap::new(pages.clone())?.area;
        let seen = seen_through_another(pages)?;
        assert_eq!((area, seen), (60, 60));
        Ok(())
    }
}
