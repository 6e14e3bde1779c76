// SPDX-License-Identifier: GPL-2.0
/*
 * What the C compiler makes of the ABI header, in the order of the KUnit suite
 * in abi.rs, which compares it with the Rust side.
 */
#include <linux/kconfig.h>
#include <linux/dmaengine.h>
#include <linux/stddef.h>
#include "../../../../include/linux/udmabuf-importer.h"
#include "../../uapi/edu_importer.h"

#if IS_BUILTIN(CONFIG_KUNIT)
extern const size_t edu_importer_abi[50];

const size_t edu_importer_abi[50] = {
	EDU_MEMORY_SIZE,
	EDU_NOTE_LONGEST,
	EDU_DYNAMIC,
	EDU_ACCESS_BEGIN,
	EDU_ACCESS_END,
	EDU_QUERY,
	EDU_SET_MASK,
	EDU_LOAD,
	EDU_STORE,
	EDU_NOTE,
	EDU_ATTACH,
	EDU_DETACH,
	EDU_MAP,
	EDU_UNMAP,
	EDU_DMA,
	EDU_MAP_VECS,
	EDU_ACCESS,
	EDU_DECLARE_ATOMICS,
	EDU_FORGET,
	EDU_VMAP,
	EDU_FRAMES,
	offsetof(struct edu_query, dma_bits),
	offsetof(struct edu_query, name),
	offsetof(struct edu_mask, dma_bits),
	offsetof(struct edu_memory, offset),
	offsetof(struct edu_memory, length),
	offsetof(struct edu_memory, reserved),
	offsetof(struct edu_memory, data),
	offsetof(struct edu_attach, device),
	offsetof(struct edu_attach, attachment),
	offsetof(struct edu_attach, flags),
	offsetof(struct edu_map, direction),
	offsetof(struct edu_map, mapping),
	offsetof(struct edu_map, segments),
	offsetof(struct edu_dma, direction),
	offsetof(struct edu_dma, offset),
	offsetof(struct edu_dma, device_offset),
	offsetof(struct edu_dma, length),
	offsetof(struct edu_access, direction),
	offsetof(struct edu_access, side),
	offsetof(struct edu_access, reserved),
	offsetof(struct edu_vmap, direction),
	offsetof(struct edu_vmap, offset),
	offsetof(struct edu_vmap, length),
	offsetof(struct edu_vmap, data),
	offsetof(struct edu_frames, count),
	offsetof(struct edu_frames, first),
	offsetof(struct edu_frames, frames),
	offsetof(struct edu_note, count),
	offsetof(struct edu_note, words),
};

/* Of the driver's header, in the order of the suite in udmabuf.rs. */
extern const size_t edu_importer_vecs_abi[5];

const size_t edu_importer_vecs_abi[5] = {
	sizeof(struct udmabuf_vecs),
	offsetof(struct udmabuf_vecs, vec),
	sizeof(struct dma_vec),
	offsetof(struct dma_vec, addr),
	offsetof(struct dma_vec, len),
};
#endif
