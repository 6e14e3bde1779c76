// SPDX-License-Identifier: GPL-2.0

//! The kernel's structures and numbers, generated from the headers by `build.rs`.

#![allow(
    missing_docs,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case
)]
#![allow(unsafe_code, reason = "bindgen's accessors of flexible array members")]
#![allow(clippy::all, clippy::pedantic, reason = "generated code")]

include!(concat!(env!("OUT_DIR"), "/abi.rs"));
