// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros that Rust cannot call, one line each and without
 * logic. The names are as in rust/helpers/, where they could move to; what is
 * there already is taken from there.
 *
 * Sorted by header, then alphabetically.
 */

#include <linux/cc_platform.h>
#include <linux/cred.h>
#include <linux/device.h>
#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/hugetlb.h>
#include <linux/iommu-dma.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pagemap.h>
#include <linux/pci.h>
#include <linux/printk.h>
#include <linux/ptrace.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/sched/task_stack.h>
#include <linux/sched/user.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/swiotlb.h>
#include <linux/uaccess.h>
#include <linux/vmalloc.h>
#ifdef CONFIG_ARM64
#include <asm/cpufeature.h>
#include <asm/sysreg.h>
#endif

#ifdef CONFIG_ARM64
/* asm/cpufeature.h */

unsigned long rust_helper_dcache_line_size(void)
{
	return 4UL << SYS_FIELD_GET(CTR_EL0, DminLine, read_sanitised_ftr_reg(SYS_CTR_EL0));
}

bool rust_helper_dcache_needs_two_passes(void)
{
	return cpus_have_final_cap(ARM64_WORKAROUND_4311569);
}
#endif

/* cc_platform.h */

bool rust_helper_guest_memory_is_encrypted(void)
{
	return cc_platform_has(CC_ATTR_GUEST_MEM_ENCRYPT);
}

/* cred.h */

struct user_struct *rust_helper_get_current_user(void)
{
	return get_current_user();
}

/* device.h */

void rust_helper_dev_log_refusal(struct device *dev, const char *mode)
{
	dev_notice_ratelimited(dev, "refused, for the udmabuf is %s\n", mode);
}

#if IS_BUILTIN(CONFIG_KUNIT)
void rust_helper_dev_assign_dma_coherent(struct device *dev, bool value)
{
	dev_assign_dma_coherent(dev, value);
}
#endif

/* dma-direct.h */

u64 rust_helper_dma_coherent_limit(struct device *dev)
{
	return min_not_zero(dev->coherent_dma_mask, dev->bus_dma_limit);
}

u64 rust_helper_dma_encryption_bit(void)
{
	return dma_addr_encrypted(0) ^ dma_addr_unencrypted(0);
}

u64 rust_helper_dma_limit(struct device *dev)
{
	return min_not_zero(*dev->dma_mask, dev->bus_dma_limit);
}

struct page *rust_helper_dma_to_page(struct device *dev, dma_addr_t addr)
{
	unsigned long pfn = PHYS_PFN(dma_to_phys(dev, addr));

	return pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;
}

bool rust_helper_sg_is_direct(struct device *dev, struct scatterlist *sg)
{
	return sg_dma_address(sg) == phys_to_dma(dev, sg_phys(sg));
}

dma_addr_t rust_helper_phys_to_dma(struct device *dev, phys_addr_t addr)
{
	return phys_to_dma(dev, addr);
}

dma_addr_t rust_helper_phys_to_dma_unencrypted(struct device *dev, phys_addr_t addr)
{
	return phys_to_dma_unencrypted(dev, addr);
}

/* dma-map-ops.h */

bool rust_helper_dev_is_dma_coherent(struct device *dev)
{
	return dev_is_dma_coherent(dev);
}

bool rust_helper_has_dma_ops(struct device *dev)
{
	return get_dma_ops(dev) != NULL;
}

/* dma-mapping.h */

bool rust_helper_dma_dev_need_sync(const struct device *dev)
{
	return dma_dev_need_sync(dev);
}

unsigned int rust_helper_dma_get_max_seg_size(struct device *dev)
{
	return dma_get_max_seg_size(dev);
}

unsigned long rust_helper_dma_get_seg_boundary(struct device *dev)
{
	return dma_get_seg_boundary(dev);
}

int rust_helper_dma_mapping_error(struct device *dev, dma_addr_t addr)
{
	return dma_mapping_error(dev, addr);
}

void rust_helper_dma_sync_single_for_cpu(struct device *dev, dma_addr_t addr, size_t size,
					 enum dma_data_direction direction)
{
	dma_sync_single_for_cpu(dev, addr, size, direction);
}

void rust_helper_dma_sync_single_for_device(struct device *dev, dma_addr_t addr, size_t size,
					    enum dma_data_direction direction)
{
	dma_sync_single_for_device(dev, addr, size, direction);
}

void rust_helper_dma_sync_sgtable_for_device(struct device *dev, struct sg_table *table,
					     enum dma_data_direction direction)
{
	dma_sync_sgtable_for_device(dev, table, direction);
}

/* dma-resv.h */

void rust_helper_dma_resv_assert_held(struct dma_resv *resv)
{
	dma_resv_assert_held(resv);
}

/* fs.h */

bool rust_helper_file_is_read_write(const struct file *file)
{
	return !(~file->f_mode & (FMODE_READ | FMODE_WRITE));
}

int rust_helper_inode_lock_shared_killable(struct inode *inode)
{
	return down_read_killable(&inode->i_rwsem);
}

void rust_helper_inode_unlock_shared(struct inode *inode)
{
	inode_unlock_shared(inode);
}

/* highmem.h */

void rust_helper_folio_zero_range(struct folio *folio, size_t start, size_t length)
{
	folio_zero_range(folio, start, length);
}

/* hugetlb.h */

unsigned int rust_helper_hugetlbfs_seals(struct inode *inode)
{
	return IS_ENABLED(CONFIG_HUGETLBFS) ? HUGETLBFS_I(inode)->seals : 0;
}

bool rust_helper_is_file_hugepages(struct file *file)
{
	return is_file_hugepages(file);
}

/* iommu-dma.h */

bool rust_helper_use_dma_iommu(struct device *dev)
{
	return use_dma_iommu(dev);
}

/* mm.h */

unsigned long rust_helper_folio_nr_pages(const struct folio *folio)
{
	return folio_nr_pages(folio);
}

#if IS_BUILTIN(CONFIG_KUNIT)
/* For tests, which count pins. */
int rust_helper_folio_ref_count(const struct folio *folio)
{
	return folio_ref_count(folio);
}
#endif

unsigned long rust_helper_folio_pfn(const struct folio *folio)
{
	return folio_pfn(folio);
}

bool rust_helper_is_page_hwpoison(const struct page *page)
{
	return is_page_hwpoison(page);
}

bool rust_helper_page_is_mapped(const struct page *page)
{
	return folio_mapped(page_folio(page));
}

unsigned long rust_helper_totalram_pages(void)
{
	return totalram_pages();
}

void *rust_helper_page_address(const struct page *page)
{
	return page_address(page);
}

unsigned long rust_helper_page_to_pfn(const struct page *page)
{
	return page_to_pfn(page);
}

unsigned long rust_helper_page_zone_managed_pages(const struct page *page)
{
	return zone_managed_pages(page_zone(page));
}

unsigned int rust_helper_page_zonenum(const struct page *page)
{
	return page_zonenum(page);
}

struct folio *rust_helper_pfn_folio(unsigned long pfn)
{
	return pfn_folio(pfn);
}

struct page *rust_helper_pfn_to_page(unsigned long pfn)
{
	return pfn_to_page(pfn);
}

unsigned int rust_helper_pmd_order(void)
{
	return PMD_ORDER;
}

bool rust_helper_pte_is_none(pte_t *entry)
{
	return pte_none(ptep_get(entry));
}

/*
 * In one function, as in i915_mm.c, so that the compiler sees that the entry is
 * special. arm64 does more for others: it calls mte_sync_tags(), which modules
 * cannot.
 */
void rust_helper_set_special_pte(struct vm_area_struct *vma, unsigned long address, pte_t *entry,
				 unsigned long pfn, pgprot_t protection)
{
	set_pte_at(vma->vm_mm, address, entry, pte_mkspecial(pfn_pte(pfn, protection)));
}

void rust_helper_update_mmu_cache_range(struct vm_area_struct *vma, unsigned long address,
					pte_t *entry, unsigned int nr)
{
	update_mmu_cache_range(NULL, vma, address, entry, nr);
}

void rust_helper_vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vm_flags_set(vma, flags);
}

/* The kernel crate of Linux 7.2 takes VM_MAYEXEC for VM_MAYSHARE. */
struct vm_area_struct *rust_helper_vma_before(struct mm_struct *mm, unsigned long address)
{
	VMA_ITERATOR(vmi, mm, address);

	return vma_prev(&vmi);
}

bool rust_helper_vma_is_shared(const struct vm_area_struct *vma)
{
	return vma->vm_flags & (VM_SHARED | VM_MAYSHARE);
}

/* mutex.h */

int rust_helper_mutex_lock_interruptible(struct mutex *lock)
{
	return mutex_lock_interruptible(lock);
}

int rust_helper_mutex_lock_killable(struct mutex *lock)
{
	return mutex_lock_killable(lock);
}

/* page-flags.h */

void rust_helper_folio_mark_uptodate(struct folio *folio)
{
	folio_mark_uptodate(folio);
}

#if IS_BUILTIN(CONFIG_KUNIT) && IS_ENABLED(CONFIG_MEMORY_FAILURE)
/* For tests, in which memory fails. */
void rust_helper_assign_page_hwpoison(struct page *page, bool failed)
{
	failed ? SetPageHWPoison(page) : ClearPageHWPoison(page);
}
#endif

/* pagemap.h */

void rust_helper_folio_lock(struct folio *folio)
{
	folio_lock(folio);
}

/* pci.h */

/*
 * The CXL control register of a device that has one, else 0. As of all registers
 * below, a device that sleeps or is gone answers with ones, which count as none.
 */
u16 rust_helper_cxl_control(struct pci_dev *pdev)
{
	u16 dvsec = pci_find_dvsec_capability(pdev, PCI_VENDOR_ID_CXL, 0);
	u16 value = 0;

	if (!dvsec || pci_read_config_word(pdev, dvsec + 0xc, &value) || PCI_POSSIBLE_ERROR(value))
		return 0;
	return value;
}

bool rust_helper_dev_is_untrusted(struct device *dev)
{
	return dev_is_pci(dev) && to_pci_dev(dev)->untrusted;
}

/* The function that has the capabilities of a PCI Express device. */
struct pci_dev *rust_helper_dev_to_pcie(struct device *dev)
{
	return dev_is_pci(dev) && pci_is_pcie(to_pci_dev(dev)) ? pci_physfn(to_pci_dev(dev)) : NULL;
}

u32 rust_helper_pcie_devcap2(struct pci_dev *pdev)
{
	u32 value = 0;

	pcie_capability_read_dword(pdev, PCI_EXP_DEVCAP2, &value);
	return PCI_POSSIBLE_ERROR(value) ? 0 : value;
}

u32 rust_helper_pcie_devctl2(struct pci_dev *pdev)
{
	u32 value = 0;

	pcie_capability_read_dword(pdev, PCI_EXP_DEVCTL2, &value);
	return PCI_POSSIBLE_ERROR(value) ? 0 : value;
}

struct pci_dev *rust_helper_pcie_find_root_port(struct pci_dev *pdev)
{
	return pcie_find_root_port(pdev);
}

/* sched/signal.h */

int rust_helper_fatal_signal_pending(struct task_struct *task)
{
	return fatal_signal_pending(task);
}

unsigned long rust_helper_rlimit(unsigned int limit)
{
	return rlimit(limit);
}

/* printk.h */

void rust_helper_log_wrong(const char *line)
{
	pr_warn_ratelimited("%s\n", line);
}

/* ptrace.h */

unsigned long rust_helper_user_instruction_pointer(void)
{
	return instruction_pointer(current_pt_regs());
}

/* sched.h */

void rust_helper_get_current_name(char *name)
{
	strscpy_pad(name, current->comm, TASK_COMM_LEN);
}

/* scatterlist.h */

void rust_helper_sg_set_dma(struct scatterlist *sg, dma_addr_t addr, unsigned int len)
{
	sg_dma_address(sg) = addr;
	sg_dma_len(sg) = len;
}

void rust_helper_sg_set_page(struct scatterlist *sg, struct page *page, unsigned int len,
			     unsigned int offset)
{
	sg_set_page(sg, page, len, offset);
}

/* sched.h */

void rust_helper_cond_resched(void)
{
	cond_resched();
}

/* shmem_fs.h */

bool rust_helper_shmem_file(struct file *file)
{
	return shmem_file(file);
}

unsigned int rust_helper_shmem_seals(struct inode *inode)
{
	return SHMEM_I(inode)->seals;
}

#if IS_BUILTIN(CONFIG_KUNIT)
/* For tests, which need memory like a memfd's without a process that has one. */
void rust_helper_shmem_set_seals(struct file *file, unsigned int seals)
{
	SHMEM_I(file_inode(file))->seals = seals;
}

struct file *rust_helper_shmem_file_setup(const char *name, loff_t size)
{
	return shmem_file_setup(name, size, EMPTY_VMA_FLAGS);
}
#endif

/* slab.h */

void *rust_helper_kmalloc(size_t size, gfp_t flags)
{
	return kmalloc(size, flags);
}

void *rust_helper_kvzalloc(size_t size, gfp_t flags)
{
	return kvzalloc(size, flags);
}

/* swiotlb.h */

bool rust_helper_is_swiotlb_force_bounce(struct device *dev)
{
	return is_swiotlb_force_bounce(dev);
}

#ifdef CONFIG_SWIOTLB
#define BOUNCE_BUFFERS(dev, field) ((dev)->dma_io_tlb_mem ? (dev)->dma_io_tlb_mem->defpool.field : 0)
#else
#define BOUNCE_BUFFERS(dev, field) 0
#endif

/* First byte of the bounce buffers, and behind the last; 0 if there are none. */
phys_addr_t rust_helper_swiotlb_start(struct device *dev)
{
	return BOUNCE_BUFFERS(dev, start);
}

phys_addr_t rust_helper_swiotlb_end(struct device *dev)
{
	return BOUNCE_BUFFERS(dev, end);
}

/* uaccess.h */

int rust_helper_copy_struct_from_user(void *to, size_t size, const void __user *from,
				      size_t user_size)
{
	return copy_struct_from_user(to, size, from, user_size);
}

int rust_helper_copy_struct_to_user(void __user *to, size_t user_size, const void *from,
				    size_t size)
{
	return copy_struct_to_user(to, user_size, from, size, NULL);
}

/* vmalloc.h */

void *rust_helper_vmalloc(size_t size, gfp_t flags)
{
	return __vmalloc(size, flags);
}
