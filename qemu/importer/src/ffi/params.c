// SPDX-License-Identifier: GPL-2.0
/*
 * The module parameters, one value per edu device in the order of PCI names,
 * which `module!` has no way to say.
 */

#include <linux/moduleparam.h>

unsigned int edu_importer_dma_bits[8] = { 28 };
unsigned int edu_importer_dma_bits_count = 1;
module_param_array_named(dma_bits, edu_importer_dma_bits, uint, &edu_importer_dma_bits_count, 0444);
MODULE_PARM_DESC(dma_bits,
		 "DMA address bits of each edu device, 12 to 64, as its dma_mask has; the last value is that of all further ones. Default is 28.");

bool edu_importer_coherent[8];
unsigned int edu_importer_coherent_count;
module_param_array_named(coherent, edu_importer_coherent, bool, &edu_importer_coherent_count, 0444);
MODULE_PARM_DESC(coherent,
		 "Whether each edu device snoops the CPU's caches, whatever the firmware says; further ones are as the firmware says.");
