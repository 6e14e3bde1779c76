// SPDX-License-Identifier: GPL-2.0

//! Signals, and what they do to this process.

use std::mem;
use std::ptr;

use rustix::io::Errno;
use rustix::io::Result;
use rustix::process::Signal;

extern "C" fn nothing(_: libc::c_int) {}

extern "C" fn succeed(_: libc::c_int) {
    // SAFETY: Ends the process at once, which a handler may.
    unsafe { libc::_exit(0) }
}

/// Has the signal do nothing but interrupt, from now on: without SA_RESTART, a call that could be
/// restarted fails with EINTR.
///
/// # Errors
///
/// EINVAL for a signal that cannot be handled.
pub fn interrupt_by(signal: Signal) -> Result<()> {
    handle(signal, nothing)
}

/// Has the signal end the process with the exit code 0, from now on.
///
/// # Errors
///
/// EINVAL for a signal that cannot be handled.
pub fn succeed_by(signal: Signal) -> Result<()> {
    handle(signal, succeed)
}

fn handle(signal: Signal, handler: extern "C" fn(libc::c_int)) -> Result<()> {
    // SAFETY: All zeroes is a value of the structure: no flags, an empty mask.
    let mut action: libc::sigaction = unsafe { mem::zeroed() };
    action.sa_sigaction = handler as libc::sighandler_t;
    // SAFETY: The structure is valid, and the handler does nothing that it may not.
    match unsafe { libc::sigaction(signal.as_raw(), &action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}
