/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What src/ffi/uapi.rs is made from. The request numbers are macros that bindgen
 * does not evaluate; as constants the C compiler evaluates them.
 */
#include <linux/udmabuf.h>

static const unsigned int CREATE = UDMABUF_CREATE;
static const unsigned int CREATE_LIST = UDMABUF_CREATE_LIST;
