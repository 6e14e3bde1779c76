// SPDX-License-Identifier: GPL-2.0
/*
 * Defines the tracepoints, and for each the function by which Rust calls it
 * (rust_do_trace_*).
 */

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace.h"
