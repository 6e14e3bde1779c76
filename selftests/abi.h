/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bindings are made from. The request numbers are macros that bindgen
 * does not evaluate; as enumerators the C compiler evaluates them.
 */
#include <stddef.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <linux/videodev2.h>
#include <edu_importer.h>
#include <udmabuf_floor.h>

/* The request of /sys/kernel/debug/sync/sw_sync, which no header for programs has. */
struct sw_sync_fence {
	__u32 value;
	char  name[32];
	__s32 fence;		/* out: a sync file */
};

/*
 * The requests of vgem, a graphics driver without a device whose fences programs signal. Its headers
 * are not among those that every machine has.
 */
struct drm_version_of {
	__s32 major, minor, patch;
	size_t name_length;	/* in: room, out: what there is */
	char *name;
	size_t date_length;
	char *date;
	size_t description_length;
	char *description;
};

struct drm_dumb_buffer {
	__u32 height, width, bits;
	__u32 flags;
	__u32 handle;		/* out */
	__u32 pitch;		/* out */
	__u64 size;		/* out */
};

struct drm_prime {
	__u32 handle;
	__u32 flags;
	__s32 fd;		/* out: a dma-buf */
};

struct vgem_attach {
	__u32 handle;
	__u32 flags;		/* 1: the buffer is written */
	__u32 fence;		/* out */
	__u32 pad;
};

struct vgem_signal {
	__u32 fence;
	__u32 flags;
};

enum request {
	REQUEST_UDMABUF_CREATE = UDMABUF_CREATE,
	REQUEST_UDMABUF_CREATE_LIST = UDMABUF_CREATE_LIST,
	REQUEST_UDMABUF_QUERY = UDMABUF_QUERY,
	REQUEST_UDMABUF_CREATE_EXT = UDMABUF_CREATE_EXT,
	REQUEST_UDMABUF_SYNC_RANGE = UDMABUF_SYNC_RANGE,
	REQUEST_DMA_BUF_SYNC = DMA_BUF_IOCTL_SYNC,
	REQUEST_DMA_BUF_SET_NAME = DMA_BUF_SET_NAME,
	REQUEST_DMA_HEAP_ALLOC = DMA_HEAP_IOCTL_ALLOC,
	REQUEST_EDU_QUERY = EDU_QUERY,
	REQUEST_EDU_SET_MASK = EDU_SET_MASK,
	REQUEST_EDU_LOAD = EDU_LOAD,
	REQUEST_EDU_STORE = EDU_STORE,
	REQUEST_EDU_ATTACH = EDU_ATTACH,
	REQUEST_EDU_DETACH = EDU_DETACH,
	REQUEST_EDU_MAP = EDU_MAP,
	REQUEST_EDU_UNMAP = EDU_UNMAP,
	REQUEST_EDU_DMA = EDU_DMA,
	REQUEST_EDU_VMAP = EDU_VMAP,
	REQUEST_EDU_FRAMES = EDU_FRAMES,
	REQUEST_EDU_NOTE = EDU_NOTE,
	REQUEST_FLOOR_PIN = FLOOR_PIN,
	REQUEST_DMA_BUF_IMPORT_SYNC_FILE = DMA_BUF_IOCTL_IMPORT_SYNC_FILE,
	REQUEST_DMA_BUF_EXPORT_SYNC_FILE = DMA_BUF_IOCTL_EXPORT_SYNC_FILE,
	REQUEST_DRM_VERSION = _IOWR('d', 0x00, struct drm_version_of),
	REQUEST_DRM_PRIME_HANDLE_TO_FD = _IOWR('d', 0x2d, struct drm_prime),
	REQUEST_DRM_MODE_CREATE_DUMB = _IOWR('d', 0xb2, struct drm_dumb_buffer),
	REQUEST_VGEM_FENCE_ATTACH = _IOWR('d', 0x41, struct vgem_attach),
	REQUEST_VGEM_FENCE_SIGNAL = _IOW('d', 0x42, struct vgem_signal),
	REQUEST_SW_SYNC_CREATE_FENCE = _IOWR('W', 0, struct sw_sync_fence),
	REQUEST_SW_SYNC_INCREMENT = _IOW('W', 1, __u32),
	REQUEST_V4L2_SET_FORMAT = VIDIOC_S_FMT,
	REQUEST_V4L2_REQUEST_BUFFERS = VIDIOC_REQBUFS,
	REQUEST_V4L2_QUEUE = VIDIOC_QBUF,
	REQUEST_V4L2_DEQUEUE = VIDIOC_DQBUF,
	REQUEST_V4L2_STREAM_ON = VIDIOC_STREAMON,
	REQUEST_V4L2_STREAM_OFF = VIDIOC_STREAMOFF,
	REQUEST_EDU_MAP_VECS = EDU_MAP_VECS,
	REQUEST_EDU_ACCESS = EDU_ACCESS,
	REQUEST_EDU_DECLARE_ATOMICS = EDU_DECLARE_ATOMICS,
	REQUEST_EDU_FORGET = EDU_FORGET,
};

enum sync {
	SYNC_READ = DMA_BUF_SYNC_READ,
	SYNC_WRITE = DMA_BUF_SYNC_WRITE,
	SYNC_START = DMA_BUF_SYNC_START,
	SYNC_END = DMA_BUF_SYNC_END,
};

enum pixel_format {
	PIXEL_FORMAT_YUYV = V4L2_PIX_FMT_YUYV,
	PIXEL_FORMAT_XBGR32 = V4L2_PIX_FMT_XBGR32,
};
