// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions of C headers that Rust calls and the kernel crate does not
 * wrap yet. One line each, named so that it can move to rust/helpers/ as it is.
 */
#include <linux/device.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>

void rust_helper_dma_set_seg_boundary(struct device *dev, unsigned long mask)
{
	dma_set_seg_boundary(dev, mask);
}

void rust_helper_dev_assign_dma_coherent(struct device *dev, bool coherent)
{
	dev_assign_dma_coherent(dev, coherent);
}

bool rust_helper_dev_is_dma_coherent(struct device *dev)
{
	return dev_is_dma_coherent(dev);
}

/* io.h */

phys_addr_t rust_helper_virt_to_phys(volatile void *address)
{
	return virt_to_phys(address);
}

/* iommu.h */

struct iommu_domain *rust_helper_iommu_get_domain_for_dev(struct device *dev)
{
	return iommu_get_domain_for_dev(dev);
}

phys_addr_t rust_helper_iommu_iova_to_phys(struct iommu_domain *domain, dma_addr_t iova)
{
	return iommu_iova_to_phys(domain, iova);
}
