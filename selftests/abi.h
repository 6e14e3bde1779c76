/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the bindings are made from. The request numbers are macros that bindgen
 * does not evaluate; as enumerators the C compiler evaluates them.
 */
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>
#include <edu_importer.h>

enum request {
	REQUEST_UDMABUF_CREATE = UDMABUF_CREATE,
	REQUEST_UDMABUF_CREATE_LIST = UDMABUF_CREATE_LIST,
	REQUEST_DMA_BUF_SYNC = DMA_BUF_IOCTL_SYNC,
	REQUEST_DMA_BUF_SET_NAME = DMA_BUF_SET_NAME,
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
};

enum sync {
	SYNC_READ = DMA_BUF_SYNC_READ,
	SYNC_WRITE = DMA_BUF_SYNC_WRITE,
	SYNC_START = DMA_BUF_SYNC_START,
	SYNC_END = DMA_BUF_SYNC_END,
};
