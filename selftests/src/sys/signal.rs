// SPDX-License-Identifier: GPL-2.0

//! Signals that interrupt system calls.

use std::mem;
use std::ptr;

use rustix::io::Errno;
use rustix::io::Result;
use rustix::process::Signal;

extern "C" fn nothing(_: libc::c_int) {}

/// Has the signal do nothing but interrupt, from now on: without SA_RESTART, a call that could be
/// restarted fails with EINTR.
///
/// # Errors
///
/// EINVAL for a signal that cannot be handled.
pub fn interrupt_by(signal: Signal) -> Result<()> {
    // SAFETY: All zeroes is a value of the structure: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    let handler: extern "C" fn(libc::c_int) = nothing;
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: The structure is valid, and the handler does nothing that it may not.
    match unsafe { libc::sigaction(signal.as_raw(), &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}
