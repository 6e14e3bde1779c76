/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What importers in the kernel can ask of udmabuf-rs besides dma-buf's own calls.
 */
#ifndef _LINUX_UDMABUF_IMPORTER_H
#define _LINUX_UDMABUF_IMPORTER_H

#include <linux/dma-buf.h>
#include <linux/dmaengine.h>

/**
 * DOC: device access
 *
 * A device that keeps a buffer mapped calls udmabuf_begin_device_access() before
 * it starts, and udmabuf_end_device_access() when it has finished. What another
 * device wrote before its end is then what this one reads, and what the CPU
 * wrote: no program has to bracket anything in between. Mapping implies a
 * begin, and unmapping an end.
 *
 * Both may sleep, and take the mutex of the buffer's attachments, which is held
 * elsewhere while memory is allocated with GFP_KERNEL: they must not be called
 * from the fence-signalling path (see dma_fence_begin_signalling()), but when a
 * job is prepared, before its fence is published, and after it has finished,
 * from a worker of its own. The reservation lock may be held, and need not be.
 * They do not wait for fences.
 */

int udmabuf_begin_device_access(struct dma_buf_attachment *attach,
				enum dma_data_direction direction);
int udmabuf_end_device_access(struct dma_buf_attachment *attach,
			      enum dma_data_direction direction);

int udmabuf_declare_atomics(struct dma_buf_attachment *attach);

/**
 * struct udmabuf_vecs - where a device finds a buffer
 * @count: number of pieces
 * @vec: their DMA addresses and lengths in bytes, one behind the other in the buffer
 */
struct udmabuf_vecs {
	size_t count;
	const struct dma_vec *vec;
};

struct udmabuf_vecs *udmabuf_map_vecs_unlocked(struct dma_buf_attachment *attach,
					       enum dma_data_direction direction);
void udmabuf_unmap_vecs_unlocked(struct dma_buf_attachment *attach, struct udmabuf_vecs *vecs,
				 enum dma_data_direction direction);

#endif /* _LINUX_UDMABUF_IMPORTER_H */
