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

use crate::Mapping;
use crate::sys::ioctl::Request;
use crate::sys::ioctl::returns_descriptor;

/// ioctl in the 32-bit system call table.
const IOCTL: u64 = 54;

/// Calls a udmabuf device through the 32-bit system call entry, and takes the dma-buf that it
/// returns. See [`Mapping::low`] for memory with such an address.
///
/// # Errors
///
/// Those of the driver. A kernel without 32-bit system calls ends the process with SIGSEGV.
///
/// # Panics
///
/// On a request that returns none.
pub fn create(device: impl AsFd, request: u32, address: u32) -> Result<OwnedFd> {
    assert!(returns_descriptor(request), "it returns no descriptor");
    // SAFETY: A udmabuf device only reads through the address of others, and a bad one is EFAULT.
    let fd = unsafe { ioctl(device, request, address) }?;
    // SAFETY: The create requests return a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same for a structure that has one request, somewhere in low memory.
///
/// # Errors
///
/// As [`create`].
///
/// # Panics
///
/// When the structure is not within the memory, or that not low.
pub fn call<T: Request>(device: impl AsFd, low: &Mapping, at: usize) -> Result<i32> {
    assert!(at + size_of::<T>() <= low.len(), "outside the mapping");
    let address = u32::try_from(low.address() + at).expect("low memory");
    // SAFETY: The kernel writes no more than the structure, all of which is the mapping's.
    unsafe { ioctl(device, T::NUMBER, address) }
}

/// ioctl() by the 32-bit entry.
///
/// # Safety
///
/// The memory at the address is good for what the request does with it.
unsafe fn ioctl(file: impl AsFd, request: u32, address: u32) -> Result<i32> {
    let fd = file.as_fd().as_raw_fd() as u64;
    let result: u64;
    // SAFETY: The request is the caller's matter. rbx, which the compiler keeps for itself, is put
    // back; the entry may clobber r8 to r11.
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
        value => Ok(value),
    }
}
