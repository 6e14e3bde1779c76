/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What `modinfo udmabuf_rs` says of the version. Cargo.toml has the version; ci/check.d/version compares
 * the two. Kbuild puts this header in front of the module's parameters.
 */
#ifndef _UDMABUF_RS_VERSION_H
#define _UDMABUF_RS_VERSION_H

#include <linux/module.h>

MODULE_VERSION("0.2.0");

#endif /* _UDMABUF_RS_VERSION_H */
