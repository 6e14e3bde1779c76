// SPDX-License-Identifier: GPL-2.0

//! A buffer that devices and the CPU share.

use std::ffi::CStr;
use std::fs;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use rustix::event;
use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::fs::SeekFrom;
use rustix::io::Errno;
use rustix::io::Result;

use crate::Access;
use crate::Mapping;
use crate::abi;
use crate::sys;

/// An open dma-buf.
#[derive(Debug)]
pub struct DmaBuf {
    fd: OwnedFd,
}

impl DmaBuf {
    /// Size in bytes, asked of the kernel.
    ///
    /// # Errors
    ///
    /// Those of lseek().
    pub fn size(&self) -> Result<usize> {
        let end = rustix::fs::seek(&self.fd, SeekFrom::End(0))?;
        rustix::fs::seek(&self.fd, SeekFrom::Start(0))?;
        usize::try_from(end).map_err(|_| Errno::OVERFLOW)
    }

    /// Maps the whole buffer.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn map(&self, access: Access) -> Result<Mapping> {
        Mapping::shared(self, 0, self.size()?, access)
    }

    /// Maps the whole buffer at an address where huge page table entries are possible.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn map_aligned(&self, access: Access) -> Result<Mapping> {
        Mapping::aligned(self, 0, self.size()?, access, crate::HUGE_PAGE)
    }

    /// Opens an access bracket: until its end the CPU may access the buffer, and what devices wrote
    /// before is seen. Interrupted calls are repeated.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn begin(&self, access: Access) -> Result<Bracket<'_>> {
        self.start(access)?;
        Ok(Bracket {
            buffer: self,
            access,
        })
    }

    /// Begins an access that nothing ends unless [`DmaBuf::finish`] does, here or elsewhere.
    /// Interrupted calls are repeated.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn start(&self, access: Access) -> Result<()> {
        self.sync_until_done(u64::from(abi::SYNC_START) | access.sync_flags())
    }

    /// Waits as [`DmaBuf::start`] does for devices that have not finished, and that is all: what a
    /// program does that needs no bracket.
    ///
    /// # Errors
    ///
    /// Those of poll().
    pub fn wait_for_fences(&self, access: Access) -> Result<()> {
        let events = match access {
            Access::Read => PollFlags::IN,
            Access::Write | Access::ReadWrite => PollFlags::OUT,
        };
        loop {
            match event::poll(&mut [PollFd::new(&self.fd, events)], None) {
                Err(Errno::INTR) => {}
                result => return result.map(drop),
            }
        }
    }

    /// Ends an access, whoever has begun one, and if nobody has. Interrupted calls are repeated.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn finish(&self, access: Access) -> Result<()> {
        self.sync_until_done(u64::from(abi::SYNC_END) | access.sync_flags())
    }

    /// Calls DMA_BUF_IOCTL_SYNC once, with any flags.
    ///
    /// # Errors
    ///
    /// EINVAL for bad flags, EINTR or EAGAIN when interrupted, and those of the exporter.
    pub fn sync(&self, flags: u64) -> Result<()> {
        sys::ioctl::call(self, &mut abi::dma_buf_sync { flags }).map(drop)
    }

    fn sync_until_done(&self, flags: u64) -> Result<()> {
        loop {
            match self.sync(flags) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                result => return result,
            }
        }
    }

    /// Names the buffer, for people who read /proc or debugfs.
    ///
    /// # Errors
    ///
    /// EINVAL for more than 31 bytes.
    pub fn set_name(&self, name: &CStr) -> Result<()> {
        sys::ioctl::dma_buf(self, abi::REQUEST_DMA_BUF_SET_NAME, name.as_ptr() as usize).map(drop)
    }

    /// The name given by [`DmaBuf::set_name`].
    ///
    /// # Errors
    ///
    /// EIO when /proc cannot be read, ENODATA when there is none.
    pub fn name(&self) -> Result<String> {
        self.fdinfo("name")
    }

    /// The name of the driver that made the buffer.
    ///
    /// # Errors
    ///
    /// EIO when /proc cannot be read.
    pub fn exporter(&self) -> Result<String> {
        self.fdinfo("exp_name")
    }

    /// One line of /proc/self/fdinfo.
    fn fdinfo(&self, field: &str) -> Result<String> {
        let path = format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd());
        let text = fs::read_to_string(path).map_err(|_| Errno::IO)?;
        text.lines()
            .filter_map(|line| line.split_once(':'))
            .find_map(|(name, value)| (name == field).then(|| value.trim().to_owned()))
            .ok_or(Errno::NODATA)
    }

    /// Another descriptor of the same buffer.
    ///
    /// # Errors
    ///
    /// Those of dup().
    pub fn duplicate(&self) -> Result<DmaBuf> {
        Ok(DmaBuf {
            fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)?,
        })
    }
}

impl From<OwnedFd> for DmaBuf {
    fn from(fd: OwnedFd) -> DmaBuf {
        DmaBuf { fd }
    }
}

impl From<DmaBuf> for OwnedFd {
    fn from(buffer: DmaBuf) -> OwnedFd {
        buffer.fd
    }
}

impl AsFd for DmaBuf {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Open access of the CPU to a buffer. What the CPU wrote is seen by devices after [`Bracket::end`].
#[must_use = "the bracket ends when it is dropped"]
#[derive(Debug)]
pub struct Bracket<'a> {
    buffer: &'a DmaBuf,
    access: Access,
}

impl Bracket<'_> {
    /// Ends the access. Interrupted calls are repeated.
    ///
    /// # Errors
    ///
    /// Those of the exporter.
    pub fn end(self) -> Result<()> {
        let result = self.sync_end();
        std::mem::forget(self);
        result
    }

    fn sync_end(&self) -> Result<()> {
        self.buffer.finish(self.access)
    }
}

impl Drop for Bracket<'_> {
    fn drop(&mut self) {
        // Callers who care about the error call `end`.
        let _ = self.sync_end();
    }
}
