// SPDX-License-Identifier: GPL-2.0
/*
 * Inline functions of C headers that Rust calls and the kernel crate does not
 * wrap yet. One line each, named so that it can move to rust/helpers/ as it is.
 */
#include <linux/dma-mapping.h>

void rust_helper_dma_set_seg_boundary(struct device *dev, unsigned long mask)
{
	dma_set_seg_boundary(dev, mask);
}
