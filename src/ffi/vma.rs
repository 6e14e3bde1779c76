// SPDX-License-Identifier: GPL-2.0

//! User mappings of page frames, filled by faults.
//!
//! C headers: [`include/linux/mm.h`](srctree/include/linux/mm.h),
//! [`include/linux/huge_mm.h`](srctree/include/linux/huge_mm.h)
//!
//! `kernel::mm::virt` has neither a setter for `VM_PFNMAP` nor fault callbacks. A mapping that is
//! being set up is no `VmaNew` here: whoever has one may make it `VM_MIXEDMAP`, safely, and what
//! makes that safe is that no `VmaNew` is `VM_PFNMAP`.
//!
//! There are huge entries of one size, that of a PMD, although Linux 7.3 offers
//! `vmf_insert_pfn_pud()` as well. Its entries are right only as long as nobody changes a part of
//! them, or moves or inherits them:
//!
//! - Where a mapping is cut in two, `vma_adjust_trans_huge()` (`mm/huge_memory.c`) splits PMDs only.
//!   `mm_find_pmd()` (`mm/rmap.c`) does not look whether the PUD is a leaf, and takes the mapped
//!   memory for a page table: its bytes are read as an entry, and locked as such.
//! - `get_old_pud()` (`mm/mremap.c`) asks `pud_none_or_clear_bad()`, for which a leaf is bad: it
//!   forgets the entry without a flush, and the old address leads to the pages until the TLB happens
//!   to lose it.
//! - `copy_pud_range()` (`mm/memory.c`) copies a leaf whole, also where the child has only a part of
//!   the mapping, which is all that it will ever clear.

use super::{
    folio::PinnedPages,
    helpers, //
};
use crate::{
    extent::Extents,
    span::Span, //
};
use core::{
    marker::PhantomData,
    ops::Range,
    ptr, //
};
use kernel::{
    bindings,
    ffi::c_ulong,
    mm::virt::flags,
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// What a fault handler reports (`vm_fault_t`).
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FaultResult(bindings::vm_fault_t);

impl FaultResult {
    /// Core goes on.
    pub(crate) const GO_ON: Self = Self(0);
    /// The entry was made, or was there.
    pub(crate) const NOPAGE: Self = Self(bindings::vm_fault_reason_VM_FAULT_NOPAGE);
    /// Once more, with the lock of all mappings held.
    const RETRY: Self = Self(bindings::vm_fault_reason_VM_FAULT_RETRY);
    /// There is no memory for a page table.
    pub(crate) const OOM: Self = Self(bindings::vm_fault_reason_VM_FAULT_OOM);
    /// There is no such page.
    pub(crate) const SIGBUS: Self = Self(bindings::vm_fault_reason_VM_FAULT_SIGBUS);
    /// Not at this size; ask for a smaller one.
    pub(crate) const FALLBACK: Self = Self(bindings::vm_fault_reason_VM_FAULT_FALLBACK);
}

/// How the faults of memory mappings are handled.
pub(crate) trait FaultHandler {
    /// Whether it wants to hear of the first write to each entry, and of the end of each mapping. Then
    /// entries are small.
    fn is_watchful(&self) -> bool;

    /// Makes the entry of the page at `fault`, and perhaps of some around it.
    fn fault(&self, fault: &Fault<'_>) -> FaultResult;

    /// Makes one entry for 2^`order` pages around `fault`, or falls back.
    fn huge_fault(&self, fault: &Fault<'_>, order: u32) -> FaultResult;

    /// An entry that may only be read is about to be made writable, unless there is something else to
    /// do than to go on.
    fn first_write(&self, fault: &Fault<'_>) -> FaultResult;

    /// Somebody looks at page index `page` from outside, such as a debugger: `copy` copies, and returns
    /// how many bytes.
    ///
    /// # Errors
    ///
    /// `EINTR` if the process is being killed.
    fn access(&self, page: usize, copy: impl FnOnce() -> usize) -> Result<usize>;

    /// A mapping of `pages` goes away.
    fn unmapped(&self, pages: &PinnedPages);
}

/// What a memory mapping shows.
pub(super) trait Source {
    type Handler: FaultHandler;

    /// Who handles its faults.
    fn handler(&self) -> &Self::Handler;

    /// The pages, which live as long as this does.
    fn pages(&self) -> &PinnedPages;
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

    /// The pages of the buffer.
    pub(crate) fn pages(&self) -> &PinnedPages {
        self.pages
    }

    /// The faulting page: its index in the buffer.
    pub(crate) fn page(&self) -> usize {
        // SAFETY: The fault is valid by the type invariant.
        unsafe { (*self.raw).__bindgen_anon_1.pgoff }
    }

    /// Whether it is for writing.
    pub(crate) fn is_write(&self) -> bool {
        // SAFETY: The fault is valid by the type invariant.
        let flags = unsafe { (*self.raw).flags };
        flags & bindings::fault_flag_FAULT_FLAG_WRITE != 0
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

    /// Makes the entries of a range of page indices that has the faulting page in it, where there
    /// are none yet. All are in the page table of that page: another cannot be reached from here,
    /// for there may be a huge entry in its place.
    pub(crate) fn insert(&self, pages: &Range<usize>) -> FaultResult {
        // SAFETY: The mapping is valid, and does not change during a fault.
        let protection = unsafe { (*self.vma()).vm_page_prot };
        self.insert_with(pages, protection)
    }

    /// The same, but that the entries may be written, or not, as far as the mapping may.
    pub(crate) fn insert_for(&self, pages: &Range<usize>, writing: bool) -> FaultResult {
        // SAFETY: The mapping is valid, and its flags do not change during a fault.
        let flags = unsafe { vm_flags(self.vma()) };
        // SAFETY: Any flags will do. Without that of a shared mapping, none may be written.
        let protection = unsafe {
            bindings::vm_get_page_prot(match writing {
                true => flags,
                false => flags & !flags::SHARED,
            })
        };
        self.insert_with(pages, protection)
    }

    fn insert_with(&self, pages: &Range<usize>, protection: bindings::pgprot_t) -> FaultResult {
        // SAFETY: A constant.
        let reach = self.around(unsafe { helpers::pmd_order() });
        let extents = self.pages.extents();
        let in_reach = reach.start <= pages.start && pages.end <= reach.end;
        if !in_reach || !pages.contains(&self.page()) || self.page() >= extents.pages() {
            return FaultResult::SIGBUS;
        }
        let mut entries = Entries {
            vma: self.vma(),
            protection,
            extents,
            pages,
        };
        // SAFETY: The mapping is valid by the type invariant, and stays as it is during the fault;
        // the pages lie in it, in one page table. The core found no huge entry where the fault is,
        // nor can one be made meanwhile: whether it would be depends on nothing that changes while
        // the lock of all mappings is held, see `VmOperations::huge_fault`.
        let result = unsafe {
            bindings::apply_to_page_range(
                (*entries.vma).vm_mm,
                self.address_of(pages.start),
                pages.len() << PAGE_SHIFT,
                Some(make_entries),
                (&raw mut entries).cast(),
            )
        };
        match result {
            ALL_MADE => FaultResult::NOPAGE,
            _ => FaultResult::OOM,
        }
    }

    /// The first page frame of the 2^`order` pages around the fault, if one entry can be made of them: it
    /// is a PMD's, the architecture has such entries, the mapping has all the pages, they are one piece,
    /// and address and page frame are aligned alike.
    pub(crate) fn huge_frame(&self, order: u32) -> Option<usize> {
        // SAFETY: A constant.
        if !cfg!(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP) || order != unsafe { helpers::pmd_order() } {
            return None;
        }
        let around = self.around(order);
        let count = 1usize << order;
        let pfn = self.pages.extents().contiguous(&around);
        pfn.filter(|pfn| around.len() == count && pfn & (count - 1) == 0)
    }

    /// Makes one entry for the pages around the fault whose [first frame](Self::huge_frame) is `pfn`.
    #[cfg(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP)]
    pub(crate) fn insert_huge(&self, pfn: usize) -> FaultResult {
        // SAFETY: As in `insert_with`; all the pages lie in the mapping.
        FaultResult(unsafe { bindings::vmf_insert_pfn_pmd(self.raw, pfn, self.is_write()) })
    }

    /// There are none.
    #[cfg(not(CONFIG_ARCH_SUPPORTS_PMD_PFNMAP))]
    pub(crate) fn insert_huge(&self, _pfn: usize) -> FaultResult {
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

/// What [`make_entries`] is to do.
struct Entries<'a> {
    vma: *mut bindings::vm_area_struct,
    protection: bindings::pgprot_t,
    extents: &'a Extents,
    /// Page indices.
    pages: &'a Range<usize>,
}

/// What [`make_entries`] returns: it is not to be called for the other pages.
const ALL_MADE: c_int = 1;

/// Makes entries as `vmf_insert_pfn()` does (`insert_pfn()` in `mm/memory.c`), but many in a page
/// table that was looked up and locked once; `remap_io_sg()` in `drivers/gpu/drm/i915/i915_mm.c`
/// goes the same way, one callback for each entry. What that function checks for each page is known
/// of these: they are memory of shmem or hugetlb, which may be mapped (`pfn_modify_allowed()`)
/// and whose owner never changes how it is cached (`pfnmap_setup_cachemode_pfn()`).
///
/// The entries are special, of folios that nobody looks at. Therefore one at a time is set:
/// `set_ptes()` is for pages of one folio.
///
/// # Safety
///
/// Called by `apply_to_page_range()` for the first page of [`Entries`], which `data` points to;
/// the range is theirs, and in one page table, which is locked. The mapping is `VM_PFNMAP` and
/// shared, and the pages stay pinned as long as it exists.
unsafe extern "C" fn make_entries(
    first: *mut bindings::pte_t,
    address: c_ulong,
    data: *mut c_void,
) -> c_int {
    // SAFETY: It is what `data` points to.
    let &Entries {
        vma,
        protection,
        extents,
        pages,
    } = unsafe { &*data.cast::<Entries<'_>>() };
    for extent in extents.iter_at(pages.start) {
        let Some(run) = extent.within(pages) else {
            break;
        };
        for (page, pfn) in run.range().zip(run.pfn..) {
            let index = page - pages.start;
            // SAFETY: The table has an entry for each of the pages.
            let entry = unsafe { first.add(index) };
            // SAFETY: As above, and the table is locked.
            if unsafe { helpers::pte_is_none(entry) } {
                let address = address + (index << PAGE_SHIFT);
                // SAFETY: As above; the mapping is valid, and the page is its own.
                unsafe { helpers::set_special_pte(vma, address, entry, pfn, protection) };
            }
        }
    }
    // CAST: A page table has fewer.
    let number = pages.len() as c_uint;
    // SAFETY: As above.
    unsafe { helpers::update_mmu_cache_range(vma, address, first, number) };
    ALL_MADE
}

struct VmOperations<T>(PhantomData<T>);

impl<T: Source> VmOperations<T> {
    const OPS: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        access: Some(Self::access),
        ..pin_init::zeroed()
    };

    const WATCHFUL: bindings::vm_operations_struct = bindings::vm_operations_struct {
        fault: Some(Self::fault),
        pfn_mkwrite: Some(Self::pfn_mkwrite),
        access: Some(Self::access),
        close: Some(Self::close),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `fault` is valid, and in a mapping that [`map_pages`] set up.
    unsafe extern "C" fn fault(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As this function's.
        let (source, fault) = unsafe { Self::enter(fault) };
        source.handler().fault(&fault).0
    }

    /// # Safety
    ///
    /// As of [`fault`](Self::fault).
    unsafe extern "C" fn pfn_mkwrite(fault: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: As this function's.
        let (source, fault) = unsafe { Self::enter(fault) };
        source.handler().first_write(&fault).0
    }

    /// Handled with the lock of all mappings held, as core sees to for `fault`
    /// (`vmf_can_call_fault()` in `mm/memory.c`). With the lock of just this one, a process could
    /// forbid itself huge pages at the same time (`PR_SET_THP_DISABLE`), and fault once more: one
    /// fault would make a huge entry where the other makes a page table.
    ///
    /// # Safety
    ///
    /// As of [`fault`](Self::fault).
    unsafe extern "C" fn huge_fault(
        fault: *mut bindings::vm_fault,
        order: c_uint,
    ) -> bindings::vm_fault_t {
        // SAFETY: The fault is valid.
        let (flags, vma) = unsafe { ((*fault).flags, (*fault).__bindgen_anon_1.vma) };
        if flags & bindings::fault_flag_FAULT_FLAG_VMA_LOCK != 0 {
            // SAFETY: The fault is handled under that lock, and who asks for a retry unlocks it.
            unsafe { bindings::vma_end_read(vma) };
            return FaultResult::RETRY.0;
        }
        // SAFETY: As this function's.
        let (source, fault) = unsafe { Self::enter(fault) };
        source.handler().huge_fault(&fault, order).0
    }

    /// Copies bytes for somebody who looks into the address space from outside, such as a debugger;
    /// returns how many, at most to the end of a page, or an errno. `generic_access_phys()` does this for
    /// device memory, and refuses any other.
    ///
    /// The caller may do what the process itself can do. That is what `check_vma_flags()` in `mm/gup.c`
    /// has for a shared mapping, but that `FOLL_FORCE`, of which nothing is said here, lets it read more.
    ///
    /// # Safety
    ///
    /// Called by `__access_remote_vm()` with the lock of all mappings held: `vma` is valid, set up by
    /// [`map_pages`] for a `T`, and has `address` in it; `bytes` is valid for `len` bytes.
    unsafe extern "C" fn access(
        vma: *mut bindings::vm_area_struct,
        address: c_ulong,
        bytes: *mut c_void,
        len: c_int,
        write: c_int,
    ) -> c_int {
        let needed = match write {
            0 => flags::READ,
            _ => flags::WRITE,
        };
        // SAFETY: The lock of all mappings is held.
        if unsafe { vm_flags(vma) } & needed == 0 {
            return EFAULT.to_errno();
        }
        // SAFETY: The mapping is valid, and its bounds do not change while the lock is held.
        let (start, first) = unsafe {
            (
                (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start,
                (*vma).vm_pgoff,
            )
        };
        // SAFETY: As `enter`'s.
        let source = unsafe { Self::source(vma) };
        let index = first + ((address - start) >> PAGE_SHIFT);
        let Some(pfn) = source.pages().extents().contiguous(&(index..index + 1)) else {
            return EFAULT.to_errno();
        };
        let offset = address % PAGE_SIZE;
        // CAST: A length is not negative.
        let count = (len as usize).min(PAGE_SIZE - offset);
        // SAFETY: The page is pinned.
        let page = unsafe { helpers::pfn_to_page(pfn) };
        // SAFETY: As above.
        let memory = unsafe { helpers::page_address(page) };
        // Memory that has failed is not looked at.
        // SAFETY: As above.
        if memory.is_null() || unsafe { helpers::is_page_hwpoison(page) } {
            return EFAULT.to_errno();
        }
        // SAFETY: The offset lies in the page.
        let memory = unsafe { memory.add(offset) };
        let (from, to) = match write {
            0 => (memory, bytes),
            _ => (bytes, memory),
        };
        let copied = source.handler().access(index, || {
            // SAFETY: Both are valid for that many bytes, and no reference points to the page. Others may
            // write it at the same time: then any mixture of bytes is right.
            unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), to.cast::<u8>(), count) };
            count
        });
        // CAST: At most a page.
        copied.map_or_else(|error| error.to_errno(), |count| count as c_int)
    }

    /// # Safety
    ///
    /// Called by core when `vma`, which [`map_pages`] set up for a `T`, is about to go away.
    unsafe extern "C" fn close(vma: *mut bindings::vm_area_struct) {
        // SAFETY: As this function's.
        let source = unsafe { Self::source(vma) };
        source.handler().unmapped(source.pages());
    }

    /// # Safety
    ///
    /// For all of `'a`, `vma` is valid, and set up by [`map_pages`] for a `T`.
    unsafe fn source<'a>(vma: *mut bindings::vm_area_struct) -> &'a T {
        // SAFETY: `map_pages` put a pointer there to what lives as long as the mapping.
        unsafe { &*(*vma).vm_private_data.cast::<T>() }
    }

    /// # Safety
    ///
    /// For all of `'a`, `raw` is valid, and in a mapping that [`map_pages`] set up for a `T`.
    unsafe fn enter<'a>(raw: *mut bindings::vm_fault) -> (&'a T, Fault<'a>) {
        // SAFETY: The fault is valid.
        let vma = unsafe { (*raw).__bindgen_anon_1.vma };
        // SAFETY: A fault's mapping is valid, and set up so, says the caller.
        let source = unsafe { Self::source(vma) };
        // INVARIANT: `map_pages` made the mapping so; the rest is the caller's promise.
        let fault = Fault {
            raw,
            pages: source.pages(),
            _raw: PhantomData,
        };
        (source, fault)
    }
}

/// # Safety
///
/// `vma` is valid, and its flags do not change meanwhile.
unsafe fn vm_flags(vma: *const bindings::vm_area_struct) -> bindings::vm_flags_t {
    // SAFETY: Valid and unchanging, says the caller.
    unsafe { (*vma).__bindgen_anon_2.vm_flags }
}

/// Sets up a new mapping of `source`.
///
/// # Errors
///
/// `EINVAL` if the mapping is private: the pages could not be the same memory then.
///
/// # Safety
///
/// - `vma` is valid, and being set up, so that nobody else reads or changes it.
/// - `source` lives as long as the mapping's file, and where it is.
pub(super) unsafe fn map_pages<T: Source>(
    vma: *mut bindings::vm_area_struct,
    source: &T,
) -> Result {
    // SAFETY: The mapping is valid, and nobody changes it.
    let shared = unsafe { helpers::vma_is_shared(vma) };
    if !shared {
        return Err(EINVAL);
    }
    // SAFETY: The mapping is being set up.
    unsafe { helpers::vm_flags_set(vma, flags::PFNMAP | flags::DONTEXPAND | flags::DONTDUMP) };
    // SAFETY: As above.
    unsafe {
        (*vma).vm_ops = match source.handler().is_watchful() {
            true => &VmOperations::<T>::WATCHFUL,
            false => &VmOperations::<T>::OPS,
        }
    };
    // SAFETY: As above.
    unsafe { (*vma).vm_private_data = ptr::from_ref(source).cast_mut().cast() };
    Ok(())
}

/// All user mappings of a buffer, of whatever process.
#[derive(Clone, Copy)]
pub(crate) struct UserMappings<'a> {
    mapping: *mut bindings::address_space,
    _buffer: PhantomData<&'a ()>,
}

impl UserMappings<'_> {
    /// # Safety
    ///
    /// `file` is valid for as long as this is, and that of the buffer.
    pub(super) unsafe fn of(file: *mut bindings::file) -> Self {
        Self {
            // SAFETY: The file is valid.
            mapping: unsafe { (*file).f_mapping },
            _buffer: PhantomData,
        }
    }

    /// Forgets all entries: the next touch of each page is a fault.
    pub(crate) fn forget_all(self) {
        // Nothing means everything.
        self.unmap(0, 0);
    }

    /// Forgets the entries of the pages of which `span` has a part, which is not empty.
    pub(crate) fn forget(self, span: Span) {
        let pages = span.pages();
        self.unmap(pages.start << PAGE_SHIFT, pages.len() << PAGE_SHIFT);
    }

    /// Each buffer has an inode of its own (`dma_buf_getfile()`), so no other is concerned. A mapping that
    /// is being inherited or moved meanwhile loses its entries as well, as it does where a file is cut
    /// short: a child's mapping comes behind its parent's (`dup_mmap()`), and what moves in front of
    /// itself does so with the lock held (`move_ptes()`).
    fn unmap(self, start: usize, len: usize) {
        // CAST: Offsets in a file, which has no more bytes than that.
        let (start, len) = (start as i64, len as i64);
        // SAFETY: The address space is the buffer's.
        unsafe { bindings::unmap_mapping_range(self.mapping, start, len, 1) };
    }
}

#[kunit_tests(udmabuf_vma)]
mod tests {
    use super::*;
    use kernel::page::PAGE_SIZE;

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
