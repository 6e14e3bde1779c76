/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ABI of /dev/udmabuf and of /dev/udmabuf-rs. Down to UDMABUF_CREATE_LIST,
 * numbers, names and layout are those of the C driver's header; what follows
 * exists in /dev/udmabuf-rs alone, and the C driver answers ENOTTY. The kernel and
 * the user-space bindings are both made from this file.
 */
#ifndef _UAPI_LINUX_UDMABUF_H
#define _UAPI_LINUX_UDMABUF_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The new descriptor is closed on exec. CREATE and CREATE_LIST ignore unknown flag bits. */
#define UDMABUF_FLAGS_CLOEXEC	0x01

/**
 * struct udmabuf_create - one range of one memfd
 * @memfd: descriptor of the memfd
 * @flags: %UDMABUF_FLAGS_CLOEXEC or 0
 * @offset: in bytes, a multiple of the page size
 * @size: in bytes, a multiple of the page size
 */
struct udmabuf_create {
	__u32 memfd;
	__u32 flags;
	__u64 offset;
	__u64 size;
};

/**
 * struct udmabuf_create_item - the same as an element of a list
 * @memfd: descriptor of the memfd
 * @__pad: nobody looks at it in %UDMABUF_CREATE_LIST; 0 in %UDMABUF_CREATE_EXT
 * @offset: in bytes, a multiple of the page size
 * @size: in bytes, a multiple of the page size
 */
struct udmabuf_create_item {
	__u32 memfd;
	__u32 __pad;
	__u64 offset;
	__u64 size;
};

/**
 * struct udmabuf_create_list - several ranges, one behind the other in the buffer
 * @flags: %UDMABUF_FLAGS_CLOEXEC or 0
 * @count: number of items
 * @list: the items
 */
struct udmabuf_create_list {
	__u32 flags;
	__u32 count;
	struct udmabuf_create_item list[];
};

/* Both return the descriptor of the new dma-buf, or -1 and errno. */
#define UDMABUF_CREATE		_IOW('u', 0x42, struct udmabuf_create)
#define UDMABUF_CREATE_LIST	_IOW('u', 0x43, struct udmabuf_create_list)

/**
 * DOC: structures that may grow
 *
 * The structures below may grow at the end. The call's number has the size that
 * the program was compiled with, as of copy_struct_from_user(): what it lacks
 * counts as 0, and what the kernel does not know has to be 0, else E2BIG. Less
 * than the first version has, which is the one below, is EINVAL. So are flags and
 * modes that are not known, and reserved fields that are not 0.
 */

/**
 * DOC: modes
 *
 * What it takes to keep a buffer coherent, said when it is made.
 *
 * %UDMABUF_MODE_DMA_API: any device; CPU accesses are bracketed, by
 * DMA_BUF_IOCTL_SYNC or %UDMABUF_SYNC_RANGE. The mode of %UDMABUF_CREATE.
 *
 * %UDMABUF_MODE_CPU_COHERENT: only devices that snoop the CPU's caches and reach
 * every page. Others are refused with EOPNOTSUPP at attach, or at map if it cannot
 * be known at attach. Brackets move no data and may be left out. START waits for
 * the buffer's fences in every mode; poll() can do that instead.
 *
 * %UDMABUF_MODE_ATOMIC_COHERENT: of these, only devices that take part in the CPU's
 * atomic operations.
 *
 * %UDMABUF_MODE_MEMORY_COHERENT: not offered (EOPNOTSUPP). It would take memory
 * that no cache holds, and a memfd has cached mappings of its own.
 */
#define UDMABUF_MODE_DMA_API		0
#define UDMABUF_MODE_CPU_COHERENT	1
#define UDMABUF_MODE_ATOMIC_COHERENT	2
#define UDMABUF_MODE_MEMORY_COHERENT	3

/**
 * DOC: flags of a buffer
 *
 * The flags below are for %UDMABUF_CREATE_EXT alone. %UDMABUF_CREATE and
 * %UDMABUF_CREATE_LIST ignore them, as they do all that they have not known from the
 * start: %UDMABUF_STATE_CHECKED and %UDMABUF_STATE_AUTO_SYNC tell.
 */
/**
 * define UDMABUF_FLAGS_CHECK - what programs do wrong with the buffer is told: who touches
 *	it outside of any bracket, or writes in one for reading, or whose START and END do
 *	not fit. The module's parameter check does so for all new buffers
 */
#define UDMABUF_FLAGS_CHECK		0x02
/**
 * define UDMABUF_FLAGS_CHECK_STRICT - the same, and a touch that is wrong gets SIGBUS
 */
#define UDMABUF_FLAGS_CHECK_STRICT	0x04
/**
 * define UDMABUF_FLAGS_AUTO_SYNC - the buffer hands itself over: a touch of a mapping of
 *	the dma-buf brings home what devices wrote, and a device is given what was written
 *	when it is mapped, or says that it begins an access. Brackets may be left out where
 *	devices do one or the other; a device that keeps its mapping and says nothing
 *	needs END. What is written by way of the memfd needs END, or a map. A touch does
 *	not wait for fences: poll() does. In the coherent modes there is nothing to hand
 *	over, and the flag does nothing
 */
#define UDMABUF_FLAGS_AUTO_SYNC		0x08

/**
 * struct udmabuf_create_ext - a buffer in a mode
 * @flags: ``UDMABUF_FLAGS_*`` bits
 * @mode: one of ``UDMABUF_MODE_*``
 * @count: number of items, 1 or more
 * @reserved: 0
 * @items: pointer to as many struct udmabuf_create_item, whose __pad is 0
 */
struct udmabuf_create_ext {
	__u32 flags;
	__u32 mode;
	__u32 count;
	__u32 reserved;
	__u64 items;
};

/**
 * define UDMABUF_STATE_SYNCS - a bracket would do something now, for a device that
 *	is mapped
 */
#define UDMABUF_STATE_SYNCS	(1 << 0)
/**
 * define UDMABUF_STATE_MAY_SYNC - a bracket does something now, or will once a
 *	device is mapped that is already attached
 */
#define UDMABUF_STATE_MAY_SYNC	(1 << 1)

/**
 * define UDMABUF_STATE_CHECKED - what programs do wrong with it is told
 */
#define UDMABUF_STATE_CHECKED	(1 << 2)
/**
 * define UDMABUF_STATE_AUTO_SYNC - it hands itself over
 */
#define UDMABUF_STATE_AUTO_SYNC	(1 << 3)

/**
 * struct udmabuf_query - what a buffer is, and what its brackets cost
 * @fd: in: a dma-buf of this driver, or -1 for what does not depend on a buffer:
 *	then only @version, @modes and @calls are filled in
 * @flags: in: 0
 * @version: of this interface: 1
 * @modes: those that UDMABUF_CREATE_EXT offers, a bit ``1 << UDMABUF_MODE_*`` for each
 * @calls: ioctls of this driver, a bit ``1 << (_IOC_NR(call) - 0x40)`` for each
 * @size: of the buffer, in bytes
 * @extents: number of physically contiguous pieces
 * @largest: size of the largest of them, in bytes
 * @mode: one of ``UDMABUF_MODE_*``
 * @state: ``UDMABUF_STATE_*`` bits. While %UDMABUF_STATE_MAY_SYNC is not set, brackets
 *	move no data, until the next device is attached
 * @coherent: mappings for devices that see the same memory as the CPU
 * @cache: mappings for devices that need the CPU's caches to be maintained
 * @shadow: mappings for devices that work on a copy because they do not reach the pages
 * @own_operations: the same, because their DMA operations are not known
 * @generation: changes whenever %UDMABUF_STATE_SYNCS or %UDMABUF_STATE_MAY_SYNC may have,
 *	except when a driver narrows the DMA mask of its device after it has attached it:
 *	the same number before and after an access means that the first answer held
 * @start_bytes: bytes of memory that START on all of the buffer goes through now,
 *	for all devices together; where a copy has changed, once more perhaps
 * @end_bytes: the same for END
 */
struct udmabuf_query {
	__s32 fd;
	__u32 flags;
	__u32 version;
	__u32 modes;
	__u64 calls;
	__u64 size;
	__u64 extents;
	__u64 largest;
	__u32 mode;
	__u32 state;
	__u32 coherent;
	__u32 cache;
	__u32 shadow;
	__u32 own_operations;
	__u64 generation;
	__u64 start_bytes;
	__u64 end_bytes;
};

/**
 * struct udmabuf_sync_range - DMA_BUF_IOCTL_SYNC for a part of a buffer
 * @fd: a dma-buf of this driver
 * @flags: ``DMA_BUF_SYNC_*`` of linux/dma-buf.h, as DMA_BUF_IOCTL_SYNC takes them
 * @offset: in bytes
 * @length: in bytes; with 0 nothing is done, not even waiting for fences. Together with
 *	@offset not beyond the end of the buffer, else EINVAL, and nothing is done
 *
 * Any offset and length within the buffer will do. Cache lines and 8-byte words of which
 * the range has a part are synced as a whole.
 */
struct udmabuf_sync_range {
	__s32 fd;
	__u32 flags;
	__u64 offset;
	__u64 length;
};

/*
 * UDMABUF_QUERY and UDMABUF_SYNC_RANGE return 0, or -1 and errno: EBADF if fd is not
 * open, EINVAL if it is no dma-buf, or another driver's. UDMABUF_SYNC_RANGE may be
 * interrupted, as DMA_BUF_IOCTL_SYNC: after EINTR or EAGAIN, call it again.
 */
#define UDMABUF_QUERY		_IOWR('u', 0x48, struct udmabuf_query)
/* Returns the descriptor of the new dma-buf, or -1 and errno. */
#define UDMABUF_CREATE_EXT	_IOW('u', 0x49, struct udmabuf_create_ext)
#define UDMABUF_SYNC_RANGE	_IOW('u', 0x4a, struct udmabuf_sync_range)

#endif /* _UAPI_LINUX_UDMABUF_H */
