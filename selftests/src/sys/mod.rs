// SPDX-License-Identifier: GPL-2.0

//! The fence: system calls that the compiler cannot check, each behind a safe function.

#![allow(unsafe_code)]

pub mod clock;
pub mod compat;
pub mod descriptor;
pub mod fork;
pub mod ioctl;
pub mod mapping;
pub mod signal;
pub mod v4l2;
