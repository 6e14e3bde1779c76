// SPDX-License-Identifier: GPL-2.0

//! Descriptors whose file is another one from one moment to the next.

use std::os::fd::AsFd;
use std::os::fd::AsRawFd;

use rustix::io::Errno;
use rustix::io::Result;

/// Lets an open descriptor stand for another open file, and closes the one that it stood for. Threads
/// that are in a call on it meanwhile end that call with the file that they began it with.
///
/// # Errors
///
/// Those of dup3(), EINVAL when both are the same descriptor.
pub fn replace(descriptor: impl AsFd, file: impl AsFd) -> Result<()> {
    let (from, to) = (file.as_fd().as_raw_fd(), descriptor.as_fd().as_raw_fd());
    // SAFETY: Both are open, and `to` is so at every moment: whoever owns it goes on doing so.
    match unsafe { libc::dup3(from, to, libc::O_CLOEXEC) } {
        -1 => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::BADF)),
        _ => Ok(()),
    }
}
