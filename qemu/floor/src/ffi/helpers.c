// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions and macros that Rust cannot call. One line each, with the
 * names of rust/helpers/, where they could move to.
 */
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/pgtable.h>
#include <linux/timex.h>

/* mm.h */

unsigned long rust_helper_folio_nr_pages(const struct folio *folio)
{
	return folio_nr_pages(folio);
}

unsigned int rust_helper_pmd_order(void)
{
	return PMD_ORDER;
}

void rust_helper_vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vm_flags_set(vma, flags);
}

/* mmzone.h */

unsigned long rust_helper_pages_per_subsection(void)
{
	return PAGES_PER_SUBSECTION;
}

bool rust_helper_pfn_valid(unsigned long pfn)
{
	return pfn_valid(pfn);
}

/* pgtable.h */

/* What insert_pfn() in mm/memory.c does with one entry, for some that follow each other. */
void rust_helper_set_ptes_if_none(struct vm_area_struct *vma, unsigned long addr, pte_t *pte,
				  unsigned long pfn, unsigned long count)
{
	for (; count; count--, addr += PAGE_SIZE, pte++, pfn++)
		if (pte_none(ptep_get(pte)))
			set_pte_at(vma->vm_mm, addr, pte,
				   pte_mkspecial(pfn_pte(pfn, vma->vm_page_prot)));
}

/* timex.h */

u64 rust_helper_get_cycles(void)
{
	return get_cycles();
}
