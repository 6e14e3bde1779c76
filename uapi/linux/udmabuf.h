/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ABI of /dev/udmabuf and of /dev/udmabuf-rs: numbers, names and layout are
 * those of the C driver's header. The kernel and the user-space bindings are
 * both made from this file.
 */
#ifndef _UAPI_LINUX_UDMABUF_H
#define _UAPI_LINUX_UDMABUF_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* The new descriptor is closed on exec. Unknown flag bits are ignored. */
#define UDMABUF_FLAGS_CLOEXEC	0x01

/* One range of one memfd; offset and size in bytes, multiples of the page size. */
struct udmabuf_create {
	__u32 memfd;
	__u32 flags;
	__u64 offset;
	__u64 size;
};

/* The same as an element of a list. */
struct udmabuf_create_item {
	__u32 memfd;
	__u32 __pad;
	__u64 offset;
	__u64 size;
};

/* Several ranges, one behind the other in the buffer. */
struct udmabuf_create_list {
	__u32 flags;
	__u32 count;
	struct udmabuf_create_item list[];
};

/* Both return the descriptor of the new dma-buf, or -1 and errno. */
#define UDMABUF_CREATE		_IOW('u', 0x42, struct udmabuf_create)
#define UDMABUF_CREATE_LIST	_IOW('u', 0x43, struct udmabuf_create_list)

#endif /* _UAPI_LINUX_UDMABUF_H */
