// SPDX-License-Identifier: GPL-2.0

//! The FFI boundary: the only place with `unsafe` and `kernel::bindings`.
//!
//! One file per C header (or one concern of it), each a candidate for `rust/kernel/`. Calls go
//! upwards only through traits that are defined here.

#![expect(unsafe_code, reason = "this is where C is called")]

pub(crate) mod atomic;
pub(crate) mod builder;
mod cache;
pub(crate) mod compat;
pub(crate) mod debugfs;
pub(crate) mod device;
pub(crate) mod device_memory;
pub(crate) mod dma;
pub(crate) mod dma_buf;
pub(crate) mod dma_buf_ops;
pub(crate) mod dma_resv;
pub(crate) mod folio;
mod helpers;
pub(crate) mod importers;
pub(crate) mod kvmalloc;
pub(crate) mod memfd;
pub(crate) mod memory;
pub(crate) mod misc;
pub(crate) mod mutex;
mod page;
pub(crate) mod params;
pub(crate) mod reports;
mod scatterlist;
#[cfg(CONFIG_KUNIT = "y")]
mod second_exporter;
pub(crate) mod shared_pages;
pub(crate) mod signal;
pub(crate) mod sort;
pub(crate) mod task;
pub(crate) mod trace;
pub(crate) mod uaccess;
// Made by bindgen, for comparison.
#[allow(
    dead_code,
    non_camel_case_types,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    clippy::all,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks
)]
mod uapi;
pub(crate) mod user;
pub(crate) mod vma;
pub(crate) mod vmap;
pub(crate) mod wait;
pub(crate) mod words;
