/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ABI of /dev/udmabuf-floor, a module for measurements: what the kernel's
 * own functions cost that a udmabuf driver cannot do without.
 *
 * The device is for root (CAP_SYS_RAWIO), else open() is EPERM: like /dev/mem,
 * it maps any memory.
 *
 * ioctl(), errors for all calls:
 *   EFAULT		bad pointer
 *   ENOTTY		no such call
 *
 * mmap() maps page frames one behind the other. The file's offset, in pages,
 * is the number of the first one. The module keeps nothing alive: the caller
 * holds the memory for as long as the mapping exists, or maps what has become
 * somebody else's. A fault makes one huge entry where address and frame allow
 * it, and else the entries of up to 64 pages. Errors:
 *   EINVAL		not MAP_SHARED
 *   ENXIO		frames that the kernel has no struct page for
 */
#ifndef _UAPI_UDMABUF_FLOOR_H
#define _UAPI_UDMABUF_FLOOR_H

#include <linux/ioctl.h>
#include <linux/types.h>

/*
 * Pins the pages of a range of a memfd and unpins them again, in batches of at
 * most 512 folios, and tells how long just that took, in ticks of the clock
 * that get_cycles() reads (TSC, CNTVCT). Nothing is pinned when it returns. A
 * page that is missing is allocated, which is counted too.
 *
 *   EBADF		no such descriptor
 *   EINVAL		@pad not zero; a range that is empty, has parts of pages, or
 *			ends beyond the file; not a memfd; no seal is asked for
 *   ENOMEM		no memory
 *   others		as memfd_pin_folios() returns them
 */
struct floor_pin {
	__u32 memfd;
	__u32 pad;		/* zero */
	__u64 offset;		/* in the file, in bytes */
	__u64 size;		/* in bytes */
	__u64 pin;		/* out: ticks in memfd_pin_folios() */
	__u64 unpin;		/* out: ticks in unpin_folios() */
	__u64 folios;		/* out: how many were pinned */
};

#define FLOOR_PIN	_IOWR('f', 0x00, struct floor_pin)

#endif /* _UAPI_UDMABUF_FLOOR_H */
