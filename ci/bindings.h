/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What src/ffi/uapi.rs is made from. The request numbers are macros that bindgen
 * does not evaluate; as constants the C compiler evaluates them.
 */
#include <linux/dma-buf.h>
#include <linux/udmabuf.h>

static const unsigned int CREATE = UDMABUF_CREATE;
static const unsigned int CREATE_LIST = UDMABUF_CREATE_LIST;
#ifdef UDMABUF_QUERY
static const unsigned int QUERY = UDMABUF_QUERY;
static const unsigned int CREATE_EXT = UDMABUF_CREATE_EXT;
static const unsigned int SYNC_RANGE = UDMABUF_SYNC_RANGE;
#endif
