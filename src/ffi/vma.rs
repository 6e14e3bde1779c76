// SPDX-License-Identifier: GPL-2.0

//! User mappings of page frames, filled by faults.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)
//!
//! `kernel::mm::virt` has neither a setter for `VM_PFNMAP` nor fault callbacks.

use super::{
    folio::PinnedPages,
    helpers, //
};
use crate::extent::Run;
use core::{
    marker::PhantomData,
    ops::Range,
    ptr, //
};
use kernel::{
    bindings,
    mm::virt::{
        flags,
        VmaNew, //
    },
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// What a fault handler reports (`vm_fault_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FaultResult(bindings::vm_fault_t);

impl FaultResult {
    /// There is no such page.
    pub(crate) const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);
    /// Not at this size; ask for a smaller one.
    pub(crate) const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);

    /// The entry was not made (`VM_FAULT_ERROR`).
    pub(crate) fn is_error(self) -> bool {
        const ERROR: bindings::vm_fault_t = bindings::vm_fault_reason_VM_FAULT_OOM
            | bindings::vm_fault_reason_VM_FAULT_SIGBUS
            | bindings::vm_fault_reason_VM_FAULT_SIGSEGV
            | bindings::vm_fault_reason_VM_FAULT_HWPOISON
            | bindings::vm_fault_reason_VM_FAULT_HWPOISON_LARGE
            | bindings::vm_fault_reason_VM_FAULT_FALLBACK;
        self.0 & ERROR != 0
    }
}

/// How the faults of a memory mapping are handled.
pub(crate) trait FaultHandler {
    /// Makes the entry of the page at `fault`, and perhaps of some around it.
    fn fault(fault: &Fault<'_>) -> FaultResult;

    /// Makes one entry for 2^`order` pages around `fault`, or falls back.
    fn huge_fault(fault: &Fault<'_>, order: u32) -> FaultResult;
}

/// A fault being handled, in a mapping that [`map_pages`] set up.
///
/// # Invariants
///
/// The `vm_fault` and its mapping are valid, the mapping is `VM_PFNMAP` and shared, and `pages`
/// stay pinned as long as it exists.
pub(crate) struct Fault<'a> {
    raw: *mut bindings::vm_fault,
    pages: &'a PinnedPages,
    _raw: PhantomData<&'a mut bindings::vm_fault>,
}

impl Fault<'_> {
    fn vma(&self) -> *mut bindings::vm_area_struct {
        // SAFETY: The fault is valid by the type invariant.
        unsafe { (*self.raw).__bindgen_anon_1.vma }
    }

    /// The faulting page: its index in the buffer.
    pub(crate) fn page(&self) -> usize {
        // SAFETY: The fault is valid by the type invariant.
        unsafe { (*self.raw).__bindgen_anon_1.pgoff }
    }

    /// The page indices that the mapping covers.
    pub(crate) fn mapped(&self) -> Range<usize> {
        let vma = self.vma();
        // SAFETY: The mapping is valid by the type invariant.
        let first = unsafe { (*vma).vm_pgoff };
        let (start, end) = self.addresses();
        first..first + ((end - start) >> PAGE_SHIFT)
    }

    fn addresses(&self) -> (usize, usize) {
        let vma = self.vma();
        // SAFETY: The mapping is valid, and its bounds do not change during a fault.
        unsafe {
            let bounds = (*vma).__bindgen_anon_1.__bindgen_anon_1;
            (bounds.vm_start, bounds.vm_end)
        }
    }

    /// The address at which page index `page` is mapped; wraps if it is not.
    fn address_of(&self, page: usize) -> usize {
        let (start, _) = self.addresses();
        start.wrapping_add(page.wrapping_sub(self.mapped().start) << PAGE_SHIFT)
    }

    /// The page indices of the 2^`order` pages around the fault whose addresses are aligned, as
    /// far as the mapping has them.
    pub(crate) fn around(&self, order: u32) -> Range<usize> {
        let mapped = self.mapped();
        let address = self.address_of(self.page());
        let aligned = aligned_around(self.page(), address, order);
        aligned.start.max(mapped.start)..aligned.end.min(mapped.end)
    }

    /// The extent that holds page index `page` of the buffer.
    pub(crate) fn find(&self, page: usize) -> Option<Run> {
        self.pages.extents().find(page)
    }

    /// Makes the entry of page index `page`, the faulting one or a neighbour in the same page
    /// table. Another cannot be reached from here: there may be a huge entry in its place, which
    /// `vmf_insert_pfn()` would take for a table (`walk_to_pmd()` in `mm/memory.c`).
    pub(crate) fn insert(&self, page: usize) -> FaultResult {
        // SAFETY: A constant.
        let table = unsafe { helpers::pmd_order() };
        let pfn = self.find(page).and_then(|run| run.pfn_of(page));
        let Some(pfn) = pfn.filter(|_| self.around(table).contains(&page)) else {
            return FaultResult::SIGBUS;
        };
        // SAFETY: The mapping is as `vmf_insert_pfn()` wants it, by the type invariant. The core
        // found no huge entry where the fault is, nor can one be made meanwhile: it would have
        // been made for this fault. The page stays pinned.
        FaultResult(unsafe { bindings::vmf_insert_pfn(self.vma(), self.address_of(page), pfn) })
    }

    /// Makes one entry for the 2^`order` pages around the fault. Falls back unless the architecture
    /// has such entries, the mapping has all the pages, they are one piece, and address and page
    /// frame are aligned alike.
    pub(crate) fn insert_huge(&self, order: u32) -> FaultResult {
        let around = self.around(order);
        let count = 1usize << order;
        let Some(run) = self.find(around.start) else {
            return FaultResult::FALLBACK;
        };
        let Some(pfn) = run.pfn_of(around.start) else {
            return FaultResult::FALLBACK;
        };
        if around.len() != count || around.end > run.range().end || pfn & (count - 1) != 0 {
            return FaultResult::FALLBACK;
        }

        // SAFETY: The fault is valid by the type invariant.
        let write = unsafe { (*self.raw).flags } & bindings::fault_flag_FAULT_FLAG_WRITE != 0;
        #[cfg(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)]
        // SAFETY: A constant.
        if order == unsafe { helpers::pmd_order() } {
            // SAFETY: As in `insert`; all the pages lie in the mapping and in the extent.
            return FaultResult(unsafe { bindings::vmf_insert_pfn_pmd(self.raw, pfn, write) });
        }
        #[cfg(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP)]
        // SAFETY: A constant.
        if order == unsafe { helpers::pud_order() } {
            // SAFETY: As above.
            return FaultResult(unsafe { bindings::vmf_insert_pfn_pud(self.raw, pfn, write) });
        }
        let _ = write;
        FaultResult::FALLBACK
    }
}

/// The page indices at the aligned addresses around `address`, where page index `page` is mapped;
/// cut short where there are no indices so small.
fn aligned_around(page: usize, address: usize, order: u32) -> Range<usize> {
    let count = 1 << order;
    let before = (address >> PAGE_SHIFT) & (count - 1);
    page.saturating_sub(before)..page + (count - before)
}

struct VmOperations<T>(PhantomData<T>);

impl<T: FaultHandler> VmOperations<T> {
    const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        #[cfg(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP)]
        huge_fault: Some(Self::huge_fault),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `fault` is valid, and in a mapping that [`map_pages`] set up.
    unsafe extern "C" fn fault(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As this function's.
        T::fault(&unsafe { enter(fault) }).0
    }

    /// # Safety
    ///
    /// As of [`fault`](Self::fault).
    #[cfg(CONFIG_ARCH_SUPPORTS_HUGE_PFNMAP)]
    unsafe extern "C" fn huge_fault(
        fault: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // SAFETY: As this function's.
        T::huge_fault(&unsafe { enter(fault) }, order).0
    }
}

/// # Safety
///
/// For all of `'a`, `raw` is valid, and in a mapping that [`map_pages`] set up.
unsafe fn enter<'a>(raw: *mut bindings::vm_fault) -> Fault<'a> {
    // SAFETY: The fault is valid.
    let vma = unsafe { (*raw).__bindgen_anon_1.vma };
    // SAFETY: A fault's mapping is valid, and `map_pages` put a pointer to the pages there.
    let pages = unsafe { (*vma).vm_private_data.cast::<PinnedPages>() };
    // INVARIANT: `map_pages` made the mapping so; the rest is the caller's promise.
    Fault {
        raw,
        // SAFETY: The pages live as long as the mapping.
        pages: unsafe { &*pages },
        _raw: PhantomData,
    }
}

/// Sets up a new mapping of `pages`, whose faults `T` handles.
///
/// # Errors
///
/// `EINVAL` if the mapping is private: the pages could not be the same memory then.
///
/// # Safety
///
/// `pages` live as long as the mapping's file.
pub(super) unsafe fn map_pages<T: FaultHandler>(vma: &VmaNew, pages: &PinnedPages) -> Result {
    if vma.flags() & (flags::SHARED | flags::MAYSHARE) == 0 {
        return Err(EINVAL);
    }
    // SAFETY: The mapping is being set up, so that nobody else reads or changes it.
    unsafe {
        helpers::vm_flags_set(
            vma.as_ptr(),
            flags::PFNMAP | flags::DONTEXPAND | flags::DONTDUMP,
        )
    };
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_ops = &VmOperations::<T>::OPS };
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_private_data = ptr::from_ref(pages).cast_mut().cast() };
    Ok(())
}

#[kunit_tests(udmabuf_vma)]
mod tests {
    use super::*;

    const AT: usize = 0x7f00_0000_0000;

    #[test]
    fn aligned_by_address_and_not_by_index() {
        // Index 8 is where a huge page begins.
        let around = |page: usize, order| aligned_around(page, AT + (page - 8) * PAGE_SIZE, order);
        assert_eq!(around(8, 4), 8..24);
        assert_eq!(around(23, 4), 8..24);
        assert_eq!(around(24, 4), 24..40);
        assert_eq!(around(8, 9), 8..520);
        assert_eq!(around(519, 9), 8..520);
        assert_eq!(around(520, 9), 520..1032);
    }

    #[test]
    fn cut_short_in_front_of_the_buffer() {
        let around = |page: usize, order| aligned_around(page, AT - (8 - page) * PAGE_SIZE, order);
        assert_eq!(around(0, 4), 0..8);
        assert_eq!(around(7, 9), 0..8);
    }

    #[test]
    fn one_page_is_its_own_neighbourhood() {
        assert_eq!(aligned_around(5, AT, 0), 5..6);
    }
}
