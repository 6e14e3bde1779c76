// SPDX-License-Identifier: GPL-2.0

//! User mappings of page frames, one behind the other, filled by faults.
//!
//! Nothing has to be looked up: the frame of an address follows from where the mapping starts. And
//! nothing is kept alive: the program that maps the frames sees to it that they stay its own.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)

use core::ops::Range;
use kernel::{
    bindings,
    error::to_result,
    ffi::{
        c_int,
        c_uint,
        c_ulong,
        c_void, //
    },
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

#[allow(improper_ctypes)] // Structures are only pointed to.
extern "C" {
    #[link_name = "rust_helper_pages_per_subsection"]
    fn pages_per_subsection() -> c_ulong;
    #[link_name = "rust_helper_pfn_valid"]
    fn pfn_valid(pfn: c_ulong) -> bool;
    #[link_name = "rust_helper_pmd_order"]
    fn pmd_order() -> c_uint;
    #[link_name = "rust_helper_set_ptes_if_none"]
    fn set_ptes_if_none(
        vma: *mut bindings::vm_area_struct,
        addr: c_ulong,
        pte: *mut bindings::pte_t,
        pfn: c_ulong,
        count: c_ulong,
    );
    #[link_name = "rust_helper_vm_flags_set"]
    fn vm_flags_set(vma: *mut bindings::vm_area_struct, flags: bindings::vm_flags_t);
}

/// How many bytes, aligned, one fault fills at most: 128 pages, as the driver does. They are always in
/// one page table.
const FILL: usize = 128 * PAGE_SIZE;

/// What ends `apply_to_page_range()` behind the first entry, for that made all of them.
const ALL_MADE: c_int = 1;

/// A mapping that [`map_frames`] set up.
///
/// # Invariants
///
/// The pointer is valid, and the mapping is `VM_PFNMAP` and shared. All its frames are valid.
struct FrameVma(*mut bindings::vm_area_struct);

impl FrameVma {
    /// The mapped addresses.
    fn addresses(&self) -> Range<usize> {
        // SAFETY: The mapping is valid, and its bounds do not change during a fault.
        let bounds = unsafe { (*self.0).__bindgen_anon_1.__bindgen_anon_1 };
        bounds.vm_start..bounds.vm_end
    }

    /// The frame of the page at `address`.
    fn frame(&self, address: usize) -> usize {
        // SAFETY: The mapping is valid.
        let first = unsafe { (*self.0).vm_pgoff };
        first.wrapping_add(address.wrapping_sub(self.addresses().start) >> PAGE_SHIFT)
    }

    /// The `size` aligned bytes around `address`, as far as the mapping has them. `size` is a power
    /// of two.
    fn around(&self, address: usize, size: usize) -> Range<usize> {
        let mapped = self.addresses();
        let first = address & !(size - 1);
        // The last one, since the end could wrap.
        let last = address | (size - 1);
        first.max(mapped.start)..last.min(mapped.end - 1) + 1
    }

    /// Makes the entries at `addresses` that are empty.
    ///
    /// # Safety
    ///
    /// Called for a fault, `addresses` are those of pages of this mapping, at least one, and in the
    /// page table of the fault, in whose place is no huge entry.
    unsafe fn fill(&self, addresses: Range<usize>) -> Result {
        /// Makes all entries that are empty, once called for the first.
        ///
        /// # Safety
        ///
        /// `entries` are a [`FrameVma`] and how many pages; `pte` is its entry for `address`, the first
        /// of so many in one page table, whose lock is held.
        unsafe extern "C" fn set(
            pte: *mut bindings::pte_t,
            address: c_ulong,
            entries: *mut c_void,
        ) -> c_int {
            // SAFETY: The caller's promise.
            let (vma, pages) = unsafe { &*entries.cast::<(&FrameVma, usize)>() };
            // SAFETY: The entries are locked; the frames are valid by the type invariant.
            unsafe { set_ptes_if_none(vma.0, address, pte, vma.frame(address), *pages) };
            ALL_MADE
        }

        let mut entries = (self, addresses.len() >> PAGE_SHIFT);
        // SAFETY: The mapping is valid.
        let mm = unsafe { (*self.0).vm_mm };
        // SAFETY: The addresses are this mapping's, which a fault keeps locked; `set` gets what it
        // wants, which outlives the call.
        let result = unsafe {
            bindings::apply_to_page_range(
                mm,
                addresses.start,
                addresses.len(),
                Some(set),
                (&raw mut entries).cast(),
            )
        };
        match result {
            ALL_MADE => Ok(()),
            other => to_result(other),
        }
    }
}

const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
    fault: Some(fault),
    #[cfg(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)]
    huge_fault: Some(huge_fault),
    ..pin_init::zeroed()
};

/// Makes the entries of the pages around a fault.
///
/// # Safety
///
/// `fault` is valid, and in a mapping that [`map_frames`] set up.
unsafe extern "C" fn fault(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
    // SAFETY: The fault is valid.
    let (vma, address) = unsafe {
        (
            (*fault).__bindgen_anon_1.vma,
            (*fault).__bindgen_anon_1.address,
        )
    };
    // INVARIANT: `map_frames` made it so.
    let vma = FrameVma(vma);
    // SAFETY: Aligned 128 pages are in one page table, that of the fault. The core found no huge
    // entry there, nor can one be made meanwhile: it would have been made for this fault.
    match unsafe { vma.fill(vma.around(address, FILL)) } {
        Ok(()) => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
        Err(_) => bindings::vm_fault_reason_VM_FAULT_OOM,
    }
}

/// Makes one entry for the 2^`order` pages around a fault, if that is what an entry of a PMD holds
/// and address and frame are aligned to it. Falls back else.
///
/// # Safety
///
/// As of [`fault`].
#[cfg(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)]
unsafe extern "C" fn huge_fault(
    fault: *mut bindings::vm_fault,
    order: c_uint,
) -> bindings::vm_fault_t {
    // SAFETY: A constant.
    if order != unsafe { pmd_order() } {
        return bindings::vm_fault_reason_VM_FAULT_FALLBACK;
    }
    // SAFETY: The fault is valid.
    let (vma, address) = unsafe {
        (
            (*fault).__bindgen_anon_1.vma,
            (*fault).__bindgen_anon_1.address,
        )
    };
    // INVARIANT: `map_frames` made it so.
    let vma = FrameVma(vma);
    let size = PAGE_SIZE << order;
    let around = vma.around(address, size);
    let frame = vma.frame(around.start);
    if around.len() != size || frame & ((1 << order) - 1) != 0 {
        return bindings::vm_fault_reason_VM_FAULT_FALLBACK;
    }
    // SAFETY: The fault is valid.
    let write = unsafe { (*fault).flags } & bindings::fault_flag_FAULT_FLAG_WRITE != 0;
    // SAFETY: The mapping is `VM_PFNMAP`, shared, and has all these addresses.
    unsafe { bindings::vmf_insert_pfn_pmd(fault, frame, write) }
}

/// Sets up a new mapping of the frames from its file offset on.
///
/// # Errors
///
/// - `EINVAL` if the mapping is private;
/// - `ENXIO` if there are frames without a `struct page`.
pub(crate) fn map_frames(vma: &VmaNew) -> Result {
    if vma.flags() & (flags::SHARED | flags::MAYSHARE) == 0 {
        return Err(EINVAL);
    }
    // SAFETY: The mapping is valid.
    let first = unsafe { (*vma.as_ptr()).vm_pgoff };
    let end = first.checked_add((vma.end() - vma.start()) >> PAGE_SHIFT);
    if !end.is_some_and(|end| all_valid(first..end)) {
        return Err(ENXIO);
    }
    // SAFETY: The mapping is being set up, so that nobody else reads or changes it.
    unsafe {
        vm_flags_set(
            vma.as_ptr(),
            flags::PFNMAP | flags::DONTEXPAND | flags::DONTDUMP,
        )
    };
    // SAFETY: As above.
    unsafe { (*vma.as_ptr()).vm_ops = &OPS };
    Ok(())
}

/// Whether the kernel has a `struct page` for each of the frames; a subsection of the memory map
/// has all or none.
fn all_valid(frames: Range<usize>) -> bool {
    // SAFETY: A constant.
    let step = unsafe { pages_per_subsection() };
    let mut frame = frames.start;
    while frame < frames.end {
        // SAFETY: Takes any number.
        if !unsafe { pfn_valid(frame) } {
            return false;
        }
        // The next subsection. A valid frame is far from the end of all numbers.
        frame = (frame | (step - 1)) + 1;
    }
    true
}
