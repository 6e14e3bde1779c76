/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The tracepoints, which trace.rs calls. In each, ino is the buffer's inode
 * number: what stat(), /proc/PID/fdinfo and /proc/PID/maps say of it, and the
 * events of dma-buf itself. Durations are in nanoseconds and include what the
 * driver waits for, all else is in bytes unless it says so.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM udmabuf

#if !defined(_UDMABUF_RS_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _UDMABUF_RS_TRACE_H

#include <linux/device.h>
#include <linux/tracepoint.h>

#ifndef _UDMABUF_RS_TRACE_NAMES
#define _UDMABUF_RS_TRACE_NAMES
/* The numbers of enum dma_data_direction, as they are meant of the CPU. */
#define udmabuf_show_access(access) \
	__print_symbolic(access, { 0, "rw" }, { 1, "w" }, { 2, "r" })
#define udmabuf_show_direction(direction) \
	__print_symbolic(direction, { 0, "BIDIRECTIONAL" }, { 1, "TO_DEVICE" }, { 2, "FROM_DEVICE" })
/* As UDMABUF_QUERY has them. */
#define udmabuf_show_mode(mode) \
	__print_symbolic(mode, { 0, "DMA_API" }, { 1, "CPU_COHERENT" }, { 2, "ATOMIC_COHERENT" })
/* As coherency.rs. */
#define udmabuf_show_class(class) \
	__print_symbolic(class, { 0, "coherent" }, { 1, "cache" }, { 2, "shadow" })
#endif

TRACE_EVENT(udmabuf_create,
	TP_PROTO(u64 ino, size_t size, size_t extents, u32 mode),
	TP_ARGS(ino, size, extents, mode),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(size_t, size)
		__field(size_t, extents)
		__field(u32, mode)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->size = size;
		__entry->extents = extents;
		__entry->mode = mode;
	),
	TP_printk("ino=%llu size=%zu extents=%zu mode=%s", __entry->ino, __entry->size,
		  __entry->extents, udmabuf_show_mode(__entry->mode))
);

TRACE_EVENT(udmabuf_release,
	TP_PROTO(u64 ino),
	TP_ARGS(ino),
	TP_STRUCT__entry(
		__field(u64, ino)
	),
	TP_fast_assign(
		__entry->ino = ino;
	),
	TP_printk("ino=%llu", __entry->ino)
);

/* A device was mapped, or not: error is 0 or an errno. */
TRACE_EVENT(udmabuf_map,
	TP_PROTO(u64 ino, struct device *dev, u32 direction, u32 class, s64 duration, int error),
	TP_ARGS(ino, dev, direction, class, duration, error),
	TP_STRUCT__entry(
		__field(u64, ino)
		__string(device, dev_name(dev))
		__field(u32, direction)
		__field(u32, class)
		__field(s64, duration)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__assign_str(device);
		__entry->direction = direction;
		__entry->class = class;
		__entry->duration = duration;
		__entry->error = error;
	),
	TP_printk("ino=%llu device=%s direction=%s class=%s duration=%lld error=%d", __entry->ino,
		  __get_str(device), udmabuf_show_direction(__entry->direction),
		  udmabuf_show_class(__entry->class), __entry->duration, __entry->error)
);

TRACE_EVENT(udmabuf_unmap,
	TP_PROTO(u64 ino, struct device *dev, u32 class, s64 duration),
	TP_ARGS(ino, dev, class, duration),
	TP_STRUCT__entry(
		__field(u64, ino)
		__string(device, dev_name(dev))
		__field(u32, class)
		__field(s64, duration)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__assign_str(device);
		__entry->class = class;
		__entry->duration = duration;
	),
	TP_printk("ino=%llu device=%s class=%s duration=%lld", __entry->ino, __get_str(device),
		  udmabuf_show_class(__entry->class), __entry->duration)
);

/* A device was refused for the mode of the buffer. */
TRACE_EVENT(udmabuf_refuse,
	TP_PROTO(u64 ino, struct device *dev, u32 mode),
	TP_ARGS(ino, dev, mode),
	TP_STRUCT__entry(
		__field(u64, ino)
		__string(device, dev_name(dev))
		__field(u32, mode)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__assign_str(device);
		__entry->mode = mode;
	),
	TP_printk("ino=%llu device=%s mode=%s", __entry->ino, __get_str(device),
		  udmabuf_show_mode(__entry->mode))
);

/*
 * The CPU begins or ends an access to a part of the buffer. Of it so many bytes
 * were written back from caches (cleaned), written back and dropped
 * (invalidated), and so many that had changed were copied from shadows to pages
 * (collected) and from pages to shadows (published). All are 0 where nothing had
 * to be done, and where another thread has done it.
 */
DECLARE_EVENT_CLASS(udmabuf_cpu_access,
	TP_PROTO(u64 ino, u32 access, size_t offset, size_t length, size_t cleaned,
		 size_t invalidated, size_t collected, size_t published, s64 duration, int error),
	TP_ARGS(ino, access, offset, length, cleaned, invalidated, collected, published, duration,
		error),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u32, access)
		__field(size_t, offset)
		__field(size_t, length)
		__field(size_t, cleaned)
		__field(size_t, invalidated)
		__field(size_t, collected)
		__field(size_t, published)
		__field(s64, duration)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->access = access;
		__entry->offset = offset;
		__entry->length = length;
		__entry->cleaned = cleaned;
		__entry->invalidated = invalidated;
		__entry->collected = collected;
		__entry->published = published;
		__entry->duration = duration;
		__entry->error = error;
	),
	TP_printk("ino=%llu access=%s offset=%zu length=%zu cleaned=%zu invalidated=%zu collected=%zu published=%zu duration=%lld error=%d",
		  __entry->ino, udmabuf_show_access(__entry->access), __entry->offset,
		  __entry->length, __entry->cleaned, __entry->invalidated, __entry->collected,
		  __entry->published, __entry->duration, __entry->error)
);

#define UDMABUF_CPU_ACCESS(name) \
DEFINE_EVENT(udmabuf_cpu_access, name, \
	TP_PROTO(u64 ino, u32 access, size_t offset, size_t length, size_t cleaned, \
		 size_t invalidated, size_t collected, size_t published, s64 duration, int error), \
	TP_ARGS(ino, access, offset, length, cleaned, invalidated, collected, published, duration, \
		error))

UDMABUF_CPU_ACCESS(udmabuf_begin);
UDMABUF_CPU_ACCESS(udmabuf_end);

/* A device that keeps its mapping begins or ends an access; the rest is as above. */
DECLARE_EVENT_CLASS(udmabuf_device_access,
	TP_PROTO(u64 ino, struct device *dev, size_t cleaned, size_t invalidated, size_t collected,
		 size_t published, s64 duration, int error),
	TP_ARGS(ino, dev, cleaned, invalidated, collected, published, duration, error),
	TP_STRUCT__entry(
		__field(u64, ino)
		__string(device, dev_name(dev))
		__field(size_t, cleaned)
		__field(size_t, invalidated)
		__field(size_t, collected)
		__field(size_t, published)
		__field(s64, duration)
		__field(int, error)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__assign_str(device);
		__entry->cleaned = cleaned;
		__entry->invalidated = invalidated;
		__entry->collected = collected;
		__entry->published = published;
		__entry->duration = duration;
		__entry->error = error;
	),
	TP_printk("ino=%llu device=%s cleaned=%zu invalidated=%zu collected=%zu published=%zu duration=%lld error=%d",
		  __entry->ino, __get_str(device), __entry->cleaned, __entry->invalidated,
		  __entry->collected, __entry->published, __entry->duration, __entry->error)
);

#define UDMABUF_DEVICE_ACCESS(name) \
DEFINE_EVENT(udmabuf_device_access, name, \
	TP_PROTO(u64 ino, struct device *dev, size_t cleaned, size_t invalidated, \
		 size_t collected, size_t published, s64 duration, int error), \
	TP_ARGS(ino, dev, cleaned, invalidated, collected, published, duration, error))

UDMABUF_DEVICE_ACCESS(udmabuf_begin_device);
UDMABUF_DEVICE_ACCESS(udmabuf_end_device);

/*
 * A user mapping was touched where it had no entry. There is one now for each of
 * so many pages, from the page index on; a single one if the order is not 0.
 */
TRACE_EVENT(udmabuf_fault,
	TP_PROTO(u64 ino, size_t page, size_t first, size_t pages, u32 order),
	TP_ARGS(ino, page, first, pages, order),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(size_t, page)
		__field(size_t, first)
		__field(size_t, pages)
		__field(u32, order)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->page = page;
		__entry->first = first;
		__entry->pages = pages;
		__entry->order = order;
	),
	TP_printk("ino=%llu page=%zu first=%zu pages=%zu order=%u", __entry->ino, __entry->page,
		  __entry->first, __entry->pages, __entry->order)
);

/* Bytes of a part of a buffer that had changed were copied from or to a device's shadow. */
DECLARE_EVENT_CLASS(udmabuf_copy,
	TP_PROTO(u64 ino, struct device *dev, size_t offset, size_t length, size_t changed,
		 s64 duration),
	TP_ARGS(ino, dev, offset, length, changed, duration),
	TP_STRUCT__entry(
		__field(u64, ino)
		__string(device, dev_name(dev))
		__field(size_t, offset)
		__field(size_t, length)
		__field(size_t, changed)
		__field(s64, duration)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__assign_str(device);
		__entry->offset = offset;
		__entry->length = length;
		__entry->changed = changed;
		__entry->duration = duration;
	),
	TP_printk("ino=%llu device=%s offset=%zu length=%zu changed=%zu duration=%lld", __entry->ino,
		  __get_str(device), __entry->offset, __entry->length, __entry->changed,
		  __entry->duration)
);

#define UDMABUF_COPY(name) \
DEFINE_EVENT(udmabuf_copy, name, \
	TP_PROTO(u64 ino, struct device *dev, size_t offset, size_t length, size_t changed, \
		 s64 duration), \
	TP_ARGS(ino, dev, offset, length, changed, duration))

UDMABUF_COPY(udmabuf_collect);
UDMABUF_COPY(udmabuf_publish);

/* A program did something wrong with a checked buffer, at that instruction of its own. */
TRACE_EVENT(udmabuf_wrong,
	TP_PROTO(u64 ino, u32 wrong, bool write, size_t offset, unsigned long instruction,
		 size_t place, int process, u32 open, size_t mapped, bool memfd),
	TP_ARGS(ino, wrong, write, offset, instruction, place, process, open, mapped, memfd),
	TP_STRUCT__entry(
		__field(u64, ino)
		__field(u32, wrong)
		__field(size_t, offset)
		__field(unsigned long, instruction)
		__field(size_t, place)
		__field(int, process)
		__field(bool, write)
		__field(u32, open)
		__field(size_t, mapped)
		__field(bool, memfd)
	),
	TP_fast_assign(
		__entry->ino = ino;
		__entry->wrong = wrong;
		__entry->offset = offset;
		__entry->instruction = instruction;
		__entry->place = place;
		__entry->write = write;
		__entry->process = process;
		__entry->open = open;
		__entry->mapped = mapped;
		__entry->memfd = memfd;
	),
	TP_printk("ino=%llu wrong=%s write=%d offset=%zu instruction=0x%lx place=0x%zx process=%d open=%s mapped=%zu memfd=%d",
		  __entry->ino,
		  __print_symbolic(__entry->wrong, { 0, "outside" }, { 1, "writes-in-read" },
				   { 2, "not-begun" }, { 3, "ends-as-other" }, { 4, "not-ended" },
				   { 5, "too-many" }),
		  __entry->write, __entry->offset, __entry->instruction, __entry->place, __entry->process,
		  __print_symbolic(__entry->open, { 0, "rw" }, { 1, "w" }, { 2, "r" },
				   { 3, "none" }),
		  __entry->mapped, __entry->memfd)
);

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
