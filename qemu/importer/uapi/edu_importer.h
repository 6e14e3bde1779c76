/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ABI of /dev/edu-importer, the test importer: it attaches dma-bufs to
 * QEMU's edu PCI devices and lets a program start real DMA on them.
 *
 * Every object belongs to the open file that made it. Closing the file unmaps
 * and detaches whatever is left. Handles are small positive numbers, unique
 * within the open file. Offsets and lengths are in bytes.
 *
 * Errors, for all calls:
 *   EFAULT		bad pointer
 *   EINVAL		EDU_FORGET of what is not mapped, reserved field not zero,
 *			bad direction or one that the mapping does not have, bad side,
 *			bad number of bits or more than the device has, empty range,
 *			range outside the buffer or the device, no words or more than
 *			EDU_NOTE_LONGEST
 *   EBADF, EINVAL	not a file, not a dma-buf
 *   ENODEV		no such edu device; or it was unbound, and what was attached to
 *			it is gone
 *   ENOENT		no such handle, or a handle of the other kind
 *   EBUSY		object in use: EDU_DETACH while mapped, EDU_SET_MASK while
 *			anything is attached to the device that has been mapped
 *   EIO		the machine has no memory for so few bits; the device does not
 *			reach an address, or hangs since an earlier call; the exporter
 *			mapped less than the buffer
 *   ETIMEDOUT		the device did not finish
 *   EOPNOTSUPP		EDU_VMAP or EDU_FRAMES of a buffer that is not memory; EDU_MAP_VECS,
 *			EDU_ACCESS and EDU_DECLARE_ATOMICS without a driver that has them
 *   ENOTTY		no such call
 *   others		as the exporter returns them
 */
#ifndef _UAPI_EDU_IMPORTER_H
#define _UAPI_EDU_IMPORTER_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* Size of the memory inside one edu device. */
#define EDU_MEMORY_SIZE		4096

/* Directions of a mapping, the kernel's enum dma_data_direction. */
#define EDU_BIDIRECTIONAL	0
#define EDU_TO_DEVICE		1
#define EDU_FROM_DEVICE		2

/* What edu device @device is: its PCI name and its DMA mask, in bits. */
struct edu_query {
	__u32 device;		/* in: 0, 1, ... in the order of PCI names */
	__u32 dma_bits;		/* out */
	char  name[32];		/* out: NUL-terminated */
};

/*
 * Changes the DMA mask of an edu device, unless something is attached to it that
 * has been mapped.
 */
struct edu_mask {
	__u32 device;
	__u32 dma_bits;
};

/* Copies between the caller and the device's own memory, not through a dma-buf. */
struct edu_memory {
	__u32 device;
	__u32 offset;		/* in the device's memory */
	__u32 length;
	__u32 reserved;
	__u64 data;		/* pointer in the caller */
};

/* The importer can do with a buffer that moves (dma_buf_dynamic_attach()). */
#define EDU_DYNAMIC		1

/* dma_buf_attach(). */
struct edu_attach {
	__s32 fd;		/* of a dma-buf */
	__u32 device;
	__u32 attachment;	/* out: handle */
	__u32 flags;		/* EDU_DYNAMIC or 0 */
};

/*
 * dma_buf_map_attachment(), as often as wanted: each call is a mapping of its own.
 * EDU_MAP_VECS makes one that is no different, by udmabuf_map_vecs_unlocked().
 */
struct edu_map {
	__u32 attachment;
	__u32 direction;
	__u32 mapping;		/* out: handle */
	__u32 segments;		/* out: number of DMA segments */
};

/*
 * One range of a mapped buffer moved to (or from) the device's memory. Returns
 * when the device has finished; EDU_UNMAP waits until then.
 */
struct edu_dma {
	__u32 mapping;
	__u32 direction;	/* EDU_TO_DEVICE or EDU_FROM_DEVICE */
	__u64 offset;		/* in the buffer, any alignment */
	__u32 device_offset;	/* in the device's memory */
	__u32 length;
};

/* The sides of an access by the device. */
#define EDU_ACCESS_BEGIN	0
#define EDU_ACCESS_END		1

/*
 * udmabuf_begin_device_access() or udmabuf_end_device_access(), for the attachment
 * of a mapping.
 */
struct edu_access {
	__u32 mapping;
	__u32 direction;
	__u32 side;		/* EDU_ACCESS_* */
	__u32 reserved;
};

/* A CPU access inside the kernel: vmap, begin, copy, end, vunmap. */
struct edu_vmap {
	__s32 fd;		/* of a dma-buf */
	__u32 direction;	/* EDU_TO_DEVICE: write the buffer; EDU_FROM_DEVICE: read it */
	__u64 offset;		/* in the buffer */
	__u32 length;
	__u32 reserved;
	__u64 data;		/* pointer in the caller */
};

/* The page frames of a buffer, whose exporter may hide them from programs. */
struct edu_frames {
	__s32 fd;		/* of a dma-buf */
	__u32 count;		/* of pages */
	__u64 first;		/* page of the buffer */
	__u64 frames;		/* pointer in the caller, to 64-bit frame numbers */
};

/* The most words of one EDU_NOTE. */
#define EDU_NOTE_LONGEST	65

/*
 * Writes words to a register of the device that does nothing with them, without
 * others in between: a channel to whoever watches the machine from outside.
 */
struct edu_note {
	__u32 device;
	__u32 count;		/* of words */
	__u64 words;		/* pointer in the caller, to 32-bit words */
};

#define EDU_QUERY	_IOWR('e', 0x00, struct edu_query)
#define EDU_SET_MASK	_IOW ('e', 0x01, struct edu_mask)
#define EDU_LOAD	_IOW ('e', 0x02, struct edu_memory)	/* caller to device */
#define EDU_STORE	_IOW ('e', 0x03, struct edu_memory)	/* device to caller */
#define EDU_NOTE	_IOW ('e', 0x05, struct edu_note)
#define EDU_ATTACH	_IOWR('e', 0x10, struct edu_attach)
#define EDU_DETACH	_IOW ('e', 0x11, __u32)			/* attachment */
#define EDU_MAP		_IOWR('e', 0x12, struct edu_map)
#define EDU_UNMAP	_IOW ('e', 0x13, __u32)			/* mapping */
#define EDU_DMA		_IOW ('e', 0x14, struct edu_dma)
#define EDU_MAP_VECS	_IOWR('e', 0x15, struct edu_map)
#define EDU_ACCESS	_IOW ('e', 0x16, struct edu_access)
#define EDU_DECLARE_ATOMICS \
			_IOW ('e', 0x17, __u32)			/* attachment */
/*
 * A driver with a fault: gives its reference to the buffer back, and knows the attachment
 * no more, while the device still has mappings. These go on; the last one detaches.
 */
#define EDU_FORGET	_IOW ('e', 0x18, __u32)			/* attachment */
#define EDU_VMAP	_IOW ('e', 0x20, struct edu_vmap)
#define EDU_FRAMES	_IOW ('e', 0x21, struct edu_frames)

#endif /* _UAPI_EDU_IMPORTER_H */
