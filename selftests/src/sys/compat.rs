// SPDX-License-Identifier: GPL-2.0

//! The ioctl of a 32-bit program, made from a 64-bit one.

/// Calls ioctl() through the 32-bit system call entry. The address must be one that a 32-bit
/// program can have: see [`Mapping::low`](crate::Mapping::low).
///
/// # Errors
///
/// Those of the file; ENOSYS on machines without such an entry.
#[cfg(target_arch = "x86_64")]
pub fn udmabuf(
    device: impl std::os::fd::AsFd,
    request: u32,
    address: u32,
) -> rustix::io::Result<i32> {
    use std::arch::asm;
    use std::os::fd::AsRawFd;

    /// ioctl in the 32-bit system call table.
    const NR_IOCTL_32: u64 = 54;

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
            inlateout("rax") NR_IOCTL_32 => result,
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
        error @ -4095..=-1 => Err(rustix::io::Errno::from_raw_os_error(-error)),
        value => Ok(value),
    }
}
