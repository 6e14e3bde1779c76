// SPDX-License-Identifier: GPL-2.0

//! User mappings of page frames, filled by faults.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)
//!
//! `kernel::mm::virt` has neither a setter for `VM_PFNMAP` nor fault callbacks.

use super::{
    folio::PinnedRun,
    helpers, //
};
use core::{
    marker::PhantomData,
    ops::Range, //
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

/// What a memory mapping needs from whoever owns the page frames.
pub(crate) trait FaultHandler: Sync {
    /// Makes the entry of the page at `fault`, and perhaps of some around it.
    fn fault(&self, fault: &Fault<'_>) -> FaultResult;

    /// Makes one entry for 2^`order` pages around `fault`, or falls back.
    fn huge_fault(&self, fault: &Fault<'_>, order: u32) -> FaultResult;
}

/// A fault being handled, in a mapping that [`map_frames`] set up.
///
/// # Invariants
///
/// The `vm_fault` and its mapping are valid, and the mapping is `VM_PFNMAP` and shared.
pub(crate) struct Fault<'a> {
    raw: *mut bindings::vm_fault,
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
    pub(crate) fn address_of(&self, page: usize) -> usize {
        let (start, _) = self.addresses();
        start.wrapping_add(page.wrapping_sub(self.mapped().start) << PAGE_SHIFT)
    }

    /// The page index at the start of the aligned range of 2^`order` pages around the fault, if
    /// the mapping begins before it.
    pub(crate) fn aligned_page(&self, order: u32) -> Option<usize> {
        let in_range = (self.address_of(self.page()) >> PAGE_SHIFT) & ((1 << order) - 1);
        self.page().checked_sub(in_range)
    }

    /// Makes the entry of one page of `run`.
    pub(crate) fn insert(&self, run: &PinnedRun<'_>, page: usize) -> FaultResult {
        let Some(pfn) = run.pfn_of(page) else {
            return FaultResult::SIGBUS;
        };
        // SAFETY: The mapping is as `vmf_insert_pfn()` wants it, by the type invariant; an address
        // outside it is refused. The page is pinned as long as the buffer lives, which the
        // mapping's file keeps alive.
        FaultResult(unsafe { bindings::vmf_insert_pfn(self.vma(), self.address_of(page), pfn) })
    }

    /// Makes one entry for the 2^`order` pages of `run` that begin with page index `page` and hold
    /// the faulting one. Falls back unless the architecture has such entries, and address and page
    /// frame are aligned alike.
    pub(crate) fn insert_huge(&self, run: &PinnedRun<'_>, page: usize, order: u32) -> FaultResult {
        let pages = 1 << order;
        let address = self.address_of(page);
        let mapped = self.mapped();
        let aligned =
            |pfn: usize| pfn & (pages - 1) == 0 && address & ((pages * PAGE_SIZE) - 1) == 0;
        let Some(pfn) = run.pfn_of(page).filter(|&pfn| aligned(pfn)) else {
            return FaultResult::FALLBACK;
        };
        if page < mapped.start
            || page + pages > mapped.end
            || page + pages > run.range().end
            || !(page..page + pages).contains(&self.page())
        {
            return FaultResult::FALLBACK;
        }

        // SAFETY: The fault is valid by the type invariant.
        let write = unsafe { (*self.raw).flags } & bindings::fault_flag_FAULT_FLAG_WRITE != 0;
        #[cfg(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)]
        // SAFETY: A constant.
        if order == unsafe { helpers::pmd_order() } {
            // SAFETY: As in `insert`; all the pages lie in the mapping and in the run.
            return FaultResult(unsafe { bindings::vmf_insert_pfn_pmd(self.raw, pfn, write) });
        }
        #[cfg(CONFIG_ARCH_SUPPORTS_PUD_PFNMAP)]
        // SAFETY: A constant.
        if order == unsafe { helpers::pud_order() } {
            // SAFETY: As above.
            return FaultResult(unsafe { bindings::vmf_insert_pfn_pud(self.raw, pfn, write) });
        }
        let _ = (pfn, write);
        FaultResult::FALLBACK
    }
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
    /// `fault` is valid, and in a mapping that [`map_frames`] set up for a `T` that still lives.
    unsafe extern "C" fn fault(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As this function's.
        let (handler, fault) = unsafe { Self::enter(fault) };
        handler.fault(&fault).0
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
        let (handler, fault) = unsafe { Self::enter(fault) };
        handler.huge_fault(&fault, order).0
    }

    /// # Safety
    ///
    /// As of [`fault`](Self::fault), for all of `'a`.
    unsafe fn enter<'a>(raw: *mut bindings::vm_fault) -> (&'a T, Fault<'a>) {
        // INVARIANT: `map_frames` made the mapping so; the rest is the caller's promise.
        let fault = Fault {
            raw,
            _raw: PhantomData,
        };
        // SAFETY: `map_frames` put a pointer to the `T` there.
        let handler = unsafe { (*fault.vma()).vm_private_data.cast::<T>() };
        // SAFETY: The `T` still lives.
        (unsafe { &*handler }, fault)
    }
}

/// Sets up a new mapping of page frames, whose faults `handler` handles.
///
/// # Errors
///
/// `EINVAL` if the mapping is private: the pages could not be the same memory then.
///
/// # Safety
///
/// `handler` lives as long as the mapping's file.
pub(super) unsafe fn map_frames<T: FaultHandler>(vma: &VmaNew, handler: *const T) -> Result {
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
    unsafe { (*vma.as_ptr()).vm_private_data = handler.cast_mut().cast() };
    Ok(())
}
