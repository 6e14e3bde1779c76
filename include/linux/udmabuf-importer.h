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
 * They do not wait for fences: whoever depends on another device's fence waits
 * for it before the begin.
 *
 * An importer calls them for every buffer. For one of another driver they return
 * -EINVAL, and nothing else is to be done; where all devices are coherent, they
 * test a flag.
 */

/**
 * udmabuf_begin_device_access - A device is about to access a buffer
 * @attach: the device's attachment, which is mapped
 * @direction: what the device will do
 *
 * The device finds what the CPU and other devices wrote before.
 *
 * Context: May sleep. Not from the fence-signalling path.
 * Return: 0; -EINVAL for another driver's buffer, or an invalid direction;
 * -EOPNOTSUPP for a dynamic importer; -EINTR if the process is being killed,
 * and then nothing was done.
 */
int udmabuf_begin_device_access(struct dma_buf_attachment *attach,
				enum dma_data_direction direction);

/**
 * udmabuf_end_device_access - A device has accessed a buffer
 * @attach: the device's attachment, which is mapped
 * @direction: what the device did; for DMA_TO_DEVICE the call does nothing
 *
 * The CPU and other devices find what the device wrote.
 *
 * Context: May sleep. Not from the fence-signalling path.
 * Return: As udmabuf_begin_device_access().
 */
int udmabuf_end_device_access(struct dma_buf_attachment *attach,
			      enum dma_data_direction direction);

/**
 * udmabuf_declare_atomics - A device takes part in the CPU's atomic operations
 * @attach: an attachment of the device
 *
 * For a device whose bus does not say so. From now on it can be mapped for this
 * buffer, if that is in mode %UDMABUF_MODE_ATOMIC_COHERENT, by whoever has attached
 * it, until the last of them detaches it. A dynamic importer may call this, too.
 *
 * Context: May sleep. Not from the fence-signalling path.
 * Return: 0; -EINVAL for another driver's buffer; -EINTR if the process is being
 * killed.
 */
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

/**
 * udmabuf_map_vecs_unlocked - Map a buffer, without an sg_table
 * @attach: the device's attachment
 * @direction: what the device will do
 *
 * As dma_buf_map_attachment_unlocked(), but for the form of the answer: struct
 * pages are nobody's business but the exporter's.
 *
 * Context: May sleep. The reservation lock is not held.
 * Return: The pieces, until udmabuf_unmap_vecs_unlocked(), or an error pointer:
 * -EINVAL for another driver's buffer, -ENOMEM, and those of
 * dma_buf_map_attachment_unlocked().
 */
struct udmabuf_vecs *udmabuf_map_vecs_unlocked(struct dma_buf_attachment *attach,
					       enum dma_data_direction direction);

/**
 * udmabuf_unmap_vecs_unlocked - Undo udmabuf_map_vecs_unlocked()
 * @attach: the attachment that was mapped
 * @vecs: what was returned for it; gone afterwards
 * @direction: as when it was mapped
 *
 * Context: May sleep. The reservation lock is not held.
 */
void udmabuf_unmap_vecs_unlocked(struct dma_buf_attachment *attach, struct udmabuf_vecs *vecs,
				 enum dma_data_direction direction);

#endif /* _LINUX_UDMABUF_IMPORTER_H */
