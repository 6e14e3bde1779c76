// SPDX-License-Identifier: GPL-2.0

//! The ioctl of a 32-bit program, made from a 64-bit one.

#![cfg(target_arch = "x86_64")]

use std::arch::asm;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::io::Result;

/// ioctl in the 32-bit system call table.
const IOCTL: u64 = 54;

/// Calls a udmabuf device through the 32-bit system call entry, and takes the dma-buf that it
/// returns. See [`Mapping::low`](crate::Mapping::low) for memory with such an address.
///
/// # Errors
///
/// Those of the driver. A kernel without 32-bit system calls ends the process with SIGSEGV.
pub fn create(device: impl AsFd, request: u32, address: u32) -> Result<OwnedFd> {
    let fd = device.as_fd().as_raw_fd() as u64;
    let result: u64;
    // SAFETY: A udmabuf device only reads through the address, and a bad one is EFAULT. rbx, which
    // the compiler keeps for itself, is put back; the entry may clobber r8 to r11.
    unsafe {
        asm!(
            "xchg {fd}, rbx",
            "int 0x80",
            "xchg {fd}, rbx",
            fd = inout(reg) fd => _,
            inlateout("rax") IOCTL => result,
            in("rcx") u64::from(request),
            in("rdx") u64::from(address),
            lateout("r8") _,
            lateout("r9") _,
            lateout("r10") _,
            lateout("r11") _,
        );
    }
    // CAST: The 32-bit entry leaves a 32-bit signed result.
    match result as i32 {
        error @ -4095..=-1 => Err(Errno::from_raw_os_error(-error)),
        // SAFETY: Both create requests return a new descriptor that nobody else owns.
        fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
    }
}
