// SPDX-License-Identifier: GPL-2.0
/*
 * The ABI header has the number and the layout that abi.rs has.
 */
#include <linux/build_bug.h>
#include <linux/stddef.h>
#include "../../uapi/udmabuf_floor.h"

static_assert(FLOOR_PIN == 0xc0306600);
static_assert(sizeof(struct floor_pin) == 2 * 4 + 5 * 8);
static_assert(offsetof(struct floor_pin, memfd) == 0);
static_assert(offsetof(struct floor_pin, pad) == 4);
static_assert(offsetof(struct floor_pin, offset) == 8);
static_assert(offsetof(struct floor_pin, size) == 16);
static_assert(offsetof(struct floor_pin, pin) == 24);
static_assert(offsetof(struct floor_pin, unpin) == 32);
static_assert(offsetof(struct floor_pin, folios) == 40);
