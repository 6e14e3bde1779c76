// SPDX-License-Identifier: GPL-2.0

//! Declarations of `helpers.c`, and of exported functions that `kernel::bindings` lacks.
//!
//! Written by hand, so that building the module needs no bindgen; `ci/check.d/helpers` compares them
//! with what bindgen makes of the same functions.

// Whether C structures have empty members depends on the configuration.
#![allow(improper_ctypes)]

use kernel::{
    bindings::*,
    ffi::*, //
};

extern "C" {
    #[cfg(CONFIG_ARM64)]
    #[link_name = "rust_helper_dcache_line_size"]
    pub(super) fn dcache_line_size() -> c_ulong;
    #[cfg(CONFIG_ARM64)]
    #[link_name = "rust_helper_dcache_needs_two_passes"]
    pub(super) fn dcache_needs_two_passes() -> bool;

    #[link_name = "rust_helper_guest_memory_is_encrypted"]
    pub(super) fn guest_memory_is_encrypted() -> bool;

    #[link_name = "rust_helper_get_current_user"]
    pub(super) fn get_current_user() -> *mut user_struct;

    #[cfg(CONFIG_KUNIT = "y")]
    #[link_name = "rust_helper_dev_assign_dma_coherent"]
    pub(super) fn dev_assign_dma_coherent(dev: *mut device, value: bool);

    #[link_name = "rust_helper_dev_log_refusal"]
    pub(super) fn dev_log_refusal(dev: *mut device, mode: *const c_char);

    #[link_name = "rust_helper_dma_coherent_limit"]
    pub(super) fn dma_coherent_limit(dev: *mut device) -> u64_;
    #[link_name = "rust_helper_dma_encryption_bit"]
    pub(super) fn dma_encryption_bit() -> u64_;
    #[link_name = "rust_helper_dma_limit"]
    pub(super) fn dma_limit(dev: *mut device) -> u64_;
    #[link_name = "rust_helper_dma_to_page"]
    pub(super) fn dma_to_page(dev: *mut device, addr: dma_addr_t) -> *mut page;
    #[link_name = "rust_helper_sg_is_direct"]
    pub(super) fn sg_is_direct(dev: *mut device, sg: *mut scatterlist) -> bool;
    #[link_name = "rust_helper_phys_to_dma"]
    pub(super) fn phys_to_dma(dev: *mut device, addr: phys_addr_t) -> dma_addr_t;
    #[link_name = "rust_helper_phys_to_dma_unencrypted"]
    pub(super) fn phys_to_dma_unencrypted(dev: *mut device, addr: phys_addr_t) -> dma_addr_t;

    #[link_name = "rust_helper_dev_is_dma_coherent"]
    pub(super) fn dev_is_dma_coherent(dev: *mut device) -> bool;
    #[link_name = "rust_helper_has_dma_ops"]
    pub(super) fn has_dma_ops(dev: *mut device) -> bool;

    #[link_name = "rust_helper_dma_dev_need_sync"]
    pub(super) fn dma_dev_need_sync(dev: *const device) -> bool;
    #[link_name = "rust_helper_dma_get_max_seg_size"]
    pub(super) fn dma_get_max_seg_size(dev: *mut device) -> c_uint;
    #[link_name = "rust_helper_dma_get_seg_boundary"]
    pub(super) fn dma_get_seg_boundary(dev: *mut device) -> c_ulong;
    #[link_name = "rust_helper_dma_mapping_error"]
    pub(super) fn dma_mapping_error(dev: *mut device, addr: dma_addr_t) -> c_int;
    #[link_name = "rust_helper_dma_sync_single_for_cpu"]
    pub(super) fn dma_sync_single_for_cpu(
        dev: *mut device,
        addr: dma_addr_t,
        size: usize,
        direction: dma_data_direction,
    );
    #[link_name = "rust_helper_dma_sync_single_for_device"]
    pub(super) fn dma_sync_single_for_device(
        dev: *mut device,
        addr: dma_addr_t,
        size: usize,
        direction: dma_data_direction,
    );
    #[link_name = "rust_helper_dma_sync_sgtable_for_device"]
    pub(super) fn dma_sync_sgtable_for_device(
        dev: *mut device,
        table: *mut sg_table,
        direction: dma_data_direction,
    );

    #[link_name = "rust_helper_dma_resv_assert_held"]
    pub(super) fn dma_resv_assert_held(resv: *mut dma_resv);

    #[link_name = "rust_helper_file_is_read_write"]
    pub(super) fn file_is_read_write(file: *const file) -> bool;
    #[link_name = "rust_helper_inode_lock_shared_killable"]
    pub(super) fn inode_lock_shared_killable(inode: *mut inode) -> c_int;
    #[link_name = "rust_helper_inode_unlock_shared"]
    pub(super) fn inode_unlock_shared(inode: *mut inode);

    #[link_name = "rust_helper_folio_zero_range"]
    pub(super) fn folio_zero_range(folio: *mut folio, start: usize, length: usize);

    #[link_name = "rust_helper_hugetlbfs_seals"]
    pub(super) fn hugetlbfs_seals(inode: *mut inode) -> c_uint;
    #[link_name = "rust_helper_is_file_hugepages"]
    pub(super) fn is_file_hugepages(file: *mut file) -> bool;

    #[link_name = "rust_helper_use_dma_iommu"]
    pub(super) fn use_dma_iommu(dev: *mut device) -> bool;

    #[link_name = "rust_helper_folio_nr_pages"]
    pub(super) fn folio_nr_pages(folio: *const folio) -> c_ulong;
    #[link_name = "rust_helper_folio_pfn"]
    pub(super) fn folio_pfn(folio: *const folio) -> c_ulong;
    #[cfg(CONFIG_KUNIT = "y")]
    #[link_name = "rust_helper_folio_ref_count"]
    pub(super) fn folio_ref_count(folio: *const folio) -> c_int;
    #[link_name = "rust_helper_is_page_hwpoison"]
    pub(super) fn is_page_hwpoison(page: *const page) -> bool;
    #[link_name = "rust_helper_page_is_mapped"]
    pub(super) fn page_is_mapped(page: *const page) -> bool;
    #[link_name = "rust_helper_page_address"]
    pub(super) fn page_address(page: *const page) -> *mut c_void;
    #[link_name = "rust_helper_totalram_pages"]
    pub(super) fn totalram_pages() -> c_ulong;
    #[link_name = "rust_helper_page_to_pfn"]
    pub(super) fn page_to_pfn(page: *const page) -> c_ulong;
    #[link_name = "rust_helper_page_zone_managed_pages"]
    pub(super) fn page_zone_managed_pages(page: *const page) -> c_ulong;
    #[link_name = "rust_helper_page_zonenum"]
    pub(super) fn page_zonenum(page: *const page) -> c_uint;
    #[link_name = "rust_helper_pfn_folio"]
    pub(super) fn pfn_folio(pfn: c_ulong) -> *mut folio;
    #[link_name = "rust_helper_pfn_to_page"]
    pub(super) fn pfn_to_page(pfn: c_ulong) -> *mut page;
    #[link_name = "rust_helper_pmd_order"]
    pub(super) fn pmd_order() -> c_uint;
    #[link_name = "rust_helper_pte_is_none"]
    pub(super) fn pte_is_none(entry: *mut pte_t) -> bool;
    #[link_name = "rust_helper_set_special_pte"]
    pub(super) fn set_special_pte(
        vma: *mut vm_area_struct,
        address: c_ulong,
        entry: *mut pte_t,
        pfn: c_ulong,
        protection: pgprot_t,
    );
    #[link_name = "rust_helper_update_mmu_cache_range"]
    pub(super) fn update_mmu_cache_range(
        vma: *mut vm_area_struct,
        address: c_ulong,
        entry: *mut pte_t,
        nr: c_uint,
    );
    #[link_name = "rust_helper_vm_flags_set"]
    pub(super) fn vm_flags_set(vma: *mut vm_area_struct, flags: vm_flags_t);
    #[link_name = "rust_helper_vma_before"]
    pub(super) fn vma_before(mm: *mut mm_struct, address: c_ulong) -> *mut vm_area_struct;
    #[link_name = "rust_helper_vma_is_shared"]
    pub(super) fn vma_is_shared(vma: *const vm_area_struct) -> bool;

    #[link_name = "rust_helper_mutex_lock_interruptible"]
    pub(super) fn mutex_lock_interruptible(lock: *mut mutex) -> c_int;
    #[link_name = "rust_helper_mutex_lock_killable"]
    pub(super) fn mutex_lock_killable(lock: *mut mutex) -> c_int;

    #[link_name = "rust_helper_folio_mark_uptodate"]
    pub(super) fn folio_mark_uptodate(folio: *mut folio);

    #[link_name = "rust_helper_folio_lock"]
    pub(super) fn folio_lock(folio: *mut folio);

    #[link_name = "rust_helper_log_wrong"]
    pub(super) fn log_wrong(line: *const c_char);
    #[link_name = "rust_helper_user_instruction_pointer"]
    pub(super) fn user_instruction_pointer() -> c_ulong;
    #[link_name = "rust_helper_get_current_name"]
    pub(super) fn get_current_name(name: *mut c_char);

    #[cfg(all(CONFIG_KUNIT, CONFIG_MEMORY_FAILURE))]
    #[link_name = "rust_helper_assign_page_hwpoison"]
    pub(super) fn assign_page_hwpoison(page: *mut page, failed: bool);

    #[link_name = "rust_helper_cxl_control"]
    pub(super) fn cxl_control(pdev: *mut pci_dev) -> u16_;
    #[link_name = "rust_helper_dev_is_untrusted"]
    pub(super) fn dev_is_untrusted(dev: *mut device) -> bool;
    #[link_name = "rust_helper_dev_to_pcie"]
    pub(super) fn dev_to_pcie(dev: *mut device) -> *mut pci_dev;
    #[link_name = "rust_helper_pcie_devcap2"]
    pub(super) fn pcie_devcap2(pdev: *mut pci_dev) -> u32_;
    #[link_name = "rust_helper_pcie_devctl2"]
    pub(super) fn pcie_devctl2(pdev: *mut pci_dev) -> u32_;
    #[link_name = "rust_helper_pcie_find_root_port"]
    pub(super) fn pcie_find_root_port(pdev: *mut pci_dev) -> *mut pci_dev;

    #[link_name = "rust_helper_fatal_signal_pending"]
    pub(super) fn fatal_signal_pending(task: *mut task_struct) -> c_int;
    #[link_name = "rust_helper_rlimit"]
    pub(super) fn rlimit(limit: c_uint) -> c_ulong;

    #[link_name = "rust_helper_sg_set_dma"]
    pub(super) fn sg_set_dma(sg: *mut scatterlist, addr: dma_addr_t, len: c_uint);
    #[link_name = "rust_helper_sg_set_page"]
    pub(super) fn sg_set_page(sg: *mut scatterlist, page: *mut page, len: c_uint, offset: c_uint);

    #[link_name = "rust_helper_cond_resched"]
    pub(super) fn cond_resched();

    #[link_name = "rust_helper_shmem_file"]
    pub(super) fn shmem_file(file: *mut file) -> bool;
    #[link_name = "rust_helper_shmem_seals"]
    pub(super) fn shmem_seals(inode: *mut inode) -> c_uint;
    #[cfg(CONFIG_KUNIT = "y")]
    #[link_name = "rust_helper_shmem_set_seals"]
    pub(super) fn shmem_set_seals(file: *mut file, seals: c_uint);
    #[cfg(CONFIG_KUNIT = "y")]
    #[link_name = "rust_helper_shmem_file_setup"]
    pub(super) fn shmem_file_setup(name: *const c_char, size: loff_t) -> *mut file;

    #[link_name = "rust_helper_kmalloc"]
    pub(super) fn kmalloc(size: usize, flags: gfp_t) -> *mut c_void;
    #[link_name = "rust_helper_kvzalloc"]
    pub(super) fn kvzalloc(size: usize, flags: gfp_t) -> *mut c_void;

    #[link_name = "rust_helper_is_swiotlb_force_bounce"]
    pub(super) fn is_swiotlb_force_bounce(dev: *mut device) -> bool;
    #[link_name = "rust_helper_swiotlb_start"]
    pub(super) fn swiotlb_start(dev: *mut device) -> phys_addr_t;
    #[link_name = "rust_helper_swiotlb_end"]
    pub(super) fn swiotlb_end(dev: *mut device) -> phys_addr_t;

    #[link_name = "rust_helper_vmalloc"]
    pub(super) fn vmalloc(size: usize, flags: gfp_t) -> *mut c_void;

    #[link_name = "rust_helper_copy_struct_from_user"]
    pub(super) fn copy_struct_from_user(
        to: *mut c_void,
        size: usize,
        from: *const c_void,
        user_size: usize,
    ) -> c_int;
    #[link_name = "rust_helper_copy_struct_to_user"]
    pub(super) fn copy_struct_to_user(
        to: *mut c_void,
        user_size: usize,
        from: *const c_void,
        size: usize,
    ) -> c_int;

    // mm/vmalloc.c
    pub(super) fn vm_map_ram(pages: *mut *mut page, count: c_uint, node: c_int) -> *mut c_void;
    pub(super) fn vm_unmap_ram(mem: *const c_void, count: c_uint);
}
