// SPDX-License-Identifier: GPL-2.0
/*
 * The symbols of importers.rs for other modules, as rust/exports.c has those of
 * the kernel's crates.
 */

#include <linux/export.h>
#include <linux/udmabuf-importer.h>

EXPORT_SYMBOL_GPL(udmabuf_begin_device_access);
EXPORT_SYMBOL_GPL(udmabuf_end_device_access);
EXPORT_SYMBOL_GPL(udmabuf_declare_atomics);
EXPORT_SYMBOL_GPL(udmabuf_map_vecs_unlocked);
EXPORT_SYMBOL_GPL(udmabuf_unmap_vecs_unlocked);
