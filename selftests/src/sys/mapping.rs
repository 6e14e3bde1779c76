// SPDX-License-Identifier: GPL-2.0

//! Shared memory of a memfd or a dma-buf in the address space of this process.

use std::ffi::c_void;
use std::os::fd::AsFd;
use std::ptr;
use std::ptr::NonNull;

use rustix::io::Errno;
use rustix::io::Result;
use rustix::mm;
use rustix::mm::Advice;
use rustix::mm::MapFlags;
use rustix::mm::MprotectFlags;
use rustix::mm::MremapFlags;
use rustix::mm::ProtFlags;

use crate::Access;

/// A mapping that is unmapped on drop.
///
/// The memory may change at any time, by a device or by another process. Therefore there are no
/// references into it: bytes are copied in and out. An access that the protection forbids ends the
/// process with SIGSEGV.
///
/// # Invariants
///
/// The `len` bytes from `start` are one mapping that belongs to this value alone.
#[derive(Debug)]
pub struct Mapping {
    start: NonNull<c_void>,
    len: usize,
}

// SAFETY: The memory belongs to the value, not to a thread, and is only copied from and to.
unsafe impl Send for Mapping {}
// SAFETY: As above; racing copies of bytes give some mixture of bytes, which any reader of memory
// shared with a device must expect.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of the file from `offset` on, shared.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn shared(fd: impl AsFd, offset: u64, len: usize, access: Access) -> Result<Mapping> {
        Mapping::with(fd, offset, len, access, MapFlags::SHARED)
    }

    /// Maps `len` bytes of the file from `offset` on, private.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn private(fd: impl AsFd, offset: u64, len: usize, access: Access) -> Result<Mapping> {
        Mapping::with(fd, offset, len, access, MapFlags::PRIVATE)
    }

    fn with(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        access: Access,
        flags: MapFlags,
    ) -> Result<Mapping> {
        // SAFETY: Without MAP_FIXED the kernel chooses a free address.
        let start =
            unsafe { mm::mmap(ptr::null_mut(), len, protection(access), flags, fd, offset) }?;
        // INVARIANT: A new mapping of `len` bytes, known to nobody else.
        Ok(Mapping {
            start: non_null(start)?,
            len,
        })
    }

    /// As [`Mapping::shared`], at an address that is a multiple of `align`, a power of two. Huge
    /// page table entries need that.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn aligned(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        access: Access,
        align: usize,
    ) -> Result<Mapping> {
        Mapping::aligned_but_for(fd, offset, len, access, align, 0)
    }

    /// As [`Mapping::aligned`], but `beyond` bytes behind such an address; less than `align`.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn aligned_but_for(
        fd: impl AsFd,
        offset: u64,
        len: usize,
        access: Access,
        align: usize,
        beyond: usize,
    ) -> Result<Mapping> {
        let hole = Mapping::reserve(len + 2 * align)?;
        let start = hole.address().next_multiple_of(align) + beyond;
        // SAFETY: MAP_FIXED replaces a part of `hole`, which nothing else uses.
        let start = unsafe {
            mm::mmap(
                start as *mut c_void,
                len,
                protection(access),
                MapFlags::SHARED | MapFlags::FIXED,
                fd,
                offset,
            )
        }?;
        drop(hole.around(start, len));
        // INVARIANT: The new mapping is all that is left of the hole.
        Ok(Mapping {
            start: non_null(start)?,
            len,
        })
    }

    /// Takes `len` bytes of address space that nothing can access.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn reserve(len: usize) -> Result<Mapping> {
        Mapping::anonymous(len, ProtFlags::empty(), MapFlags::NORESERVE)
    }

    /// Takes `len` bytes of zeroed memory below 2 GiB, where 32-bit pointers reach.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    #[cfg(target_arch = "x86_64")]
    pub fn low(len: usize) -> Result<Mapping> {
        /// MAP_32BIT, which rustix does not name.
        const BELOW_2_GIB: MapFlags = MapFlags::from_bits_retain(0x40);
        Mapping::anonymous(len, ProtFlags::READ | ProtFlags::WRITE, BELOW_2_GIB)
    }

    /// Takes `len` bytes of zeroed memory.
    ///
    /// # Errors
    ///
    /// Those of mmap().
    pub fn memory(len: usize) -> Result<Mapping> {
        Mapping::anonymous(len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::empty())
    }

    /// Sets huge pages aside without touching them: nobody else gets these.
    ///
    /// # Errors
    ///
    /// ENOMEM when there are not that many.
    pub fn huge_reservation(len: usize) -> Result<Mapping> {
        Mapping::anonymous(len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::HUGETLB)
    }

    fn anonymous(len: usize, protection: ProtFlags, flags: MapFlags) -> Result<Mapping> {
        // SAFETY: Without MAP_FIXED the kernel chooses a free address.
        let start = unsafe {
            mm::mmap_anonymous(ptr::null_mut(), len, protection, MapFlags::PRIVATE | flags)
        }?;
        // INVARIANT: A new mapping of `len` bytes, known to nobody else.
        Ok(Mapping {
            start: non_null(start)?,
            len,
        })
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is mapped.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The address of the first byte.
    pub fn address(&self) -> usize {
        self.start.as_ptr() as usize
    }

    /// Copies bytes out, from offset `at` on.
    ///
    /// # Panics
    ///
    /// When the range is not inside the mapping.
    pub fn read(&self, at: usize, bytes: &mut [u8]) {
        let from = self.byte(at, bytes.len());
        // SAFETY: `byte` checked the range, and a slice of ours never overlaps the mapping.
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
    }

    /// Copies bytes in, from offset `at` on.
    ///
    /// # Panics
    ///
    /// When the range is not inside the mapping.
    pub fn write(&self, at: usize, bytes: &[u8]) {
        let to = self.byte(at, bytes.len());
        // SAFETY: `byte` checked the range, and a slice of ours never overlaps the mapping.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
    }

    /// Reads one byte, so that its page is there.
    ///
    /// # Panics
    ///
    /// When the offset is not inside the mapping.
    pub fn touch(&self, at: usize) -> u8 {
        let from = self.byte(at, 1);
        // SAFETY: `byte` checked the range. Volatile, as the access itself is wanted.
        unsafe { from.read_volatile() }
    }

    /// Touches the byte at offset `at`; returns the address of the instruction that did.
    ///
    /// # Panics
    ///
    /// When `at` is outside.
    #[inline(never)]
    pub fn touch_from(&self, at: usize) -> usize {
        let from = self.byte(at, 1);
        let instruction: usize;
        // SAFETY: `byte` checked the range; a byte of it is loaded.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            std::arch::asm!(
                "lea {instruction}, [rip + 2f]",
                "2: mov {byte}, byte ptr [{from}]",
                instruction = out(reg) instruction,
                byte = out(reg_byte) _,
                from = in(reg) from,
                options(nostack, readonly),
            );
            #[cfg(target_arch = "aarch64")]
            std::arch::asm!(
                "adr {instruction}, 2f",
                "2: ldrb {byte:w}, [{from}]",
                instruction = out(reg) instruction,
                byte = out(reg) _,
                from = in(reg) from,
                options(nostack, readonly),
            );
        }
        instruction
    }

    /// Writes the byte at offset `at`; returns the address of the instruction that did.
    ///
    /// # Panics
    ///
    /// When `at` is outside.
    #[inline(never)]
    pub fn write_from(&self, at: usize, byte: u8) -> usize {
        let to = self.byte(at, 1);
        let instruction: usize;
        // SAFETY: As in `write`.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            std::arch::asm!(
                "lea {instruction}, [rip + 2f]",
                "2: mov byte ptr [{to}], {byte}",
                instruction = out(reg) instruction,
                byte = in(reg_byte) byte,
                to = in(reg) to,
                options(nostack),
            );
            #[cfg(target_arch = "aarch64")]
            std::arch::asm!(
                "adr {instruction}, 2f",
                "2: strb {byte:w}, [{to}]",
                instruction = out(reg) instruction,
                byte = in(reg) byte,
                to = in(reg) to,
                options(nostack),
            );
        }
        instruction
    }

    /// Reads one byte at an address where nothing is to be mapped any more. If so, it ends the
    /// process with SIGSEGV.
    pub fn touch_lost(address: usize) -> u8 {
        // SAFETY: Whatever is there, one byte of it is copied; volatile, as the access is wanted.
        unsafe { (address as *const u8).read_volatile() }
    }

    /// Reads one byte of every page, from the first to the last.
    pub fn touch_every_page(&self) {
        let start = self.start.as_ptr().cast::<u8>();
        for at in (0..self.len).step_by(crate::PAGE) {
            // SAFETY: The byte lies in the mapping. Volatile, as the access itself is wanted.
            unsafe { start.wrapping_add(at).read_volatile() };
        }
    }

    /// Changes what is allowed from offset `at` on; `None` forbids every access.
    ///
    /// # Errors
    ///
    /// Those of mprotect().
    pub fn protect(&self, at: usize, len: usize, access: Option<Access>) -> Result<()> {
        let flags = match access {
            None => MprotectFlags::empty(),
            Some(Access::Read) => MprotectFlags::READ,
            Some(Access::Write | Access::ReadWrite) => MprotectFlags::READ | MprotectFlags::WRITE,
        };
        // SAFETY: `byte` checked the range, and no reference points into it.
        unsafe { mm::mprotect(self.byte(at, len).cast(), len, flags) }
    }

    /// Drops the page table entries of the range (MADV_DONTNEED).
    ///
    /// # Errors
    ///
    /// Those of madvise().
    pub fn forget_pages(&self, at: usize, len: usize) -> Result<()> {
        self.advise(at, len, Advice::LinuxDontNeed)
    }

    /// Keeps the range out of children of this process (MADV_DONTFORK).
    ///
    /// # Errors
    ///
    /// Those of madvise().
    pub fn keep_from_children(&self, at: usize, len: usize) -> Result<()> {
        self.advise(at, len, Advice::LinuxDontFork)
    }

    /// Asks for transparent huge pages (MADV_HUGEPAGE).
    ///
    /// # Errors
    ///
    /// Those of madvise().
    pub fn want_huge_pages(&self) -> Result<()> {
        self.advise(0, self.len, Advice::LinuxHugepage)
    }

    /// Tells the kernel how the range is used, or what to do with it.
    ///
    /// # Errors
    ///
    /// Those of madvise().
    pub fn advise(&self, at: usize, len: usize, advice: Advice) -> Result<()> {
        // SAFETY: `byte` checked the range, and no reference points into it.
        unsafe { mm::madvise(self.byte(at, len).cast(), len, advice) }
    }

    /// Keeps the mapping in memory (mlock), or no longer.
    ///
    /// # Errors
    ///
    /// Those of mlock() and munlock().
    pub fn lock(&self, yes: bool) -> Result<()> {
        let (start, len) = (self.start.as_ptr(), self.len);
        // SAFETY: The mapping is ours, and what it holds stays as it is.
        match yes {
            true => unsafe { mm::mlock(start, len) },
            false => unsafe { mm::munlock(start, len) },
        }
    }

    /// Unmaps everything from offset `at` on.
    ///
    /// # Errors
    ///
    /// Those of munmap().
    pub fn truncate(&mut self, at: usize) -> Result<()> {
        let tail = self.byte(at, self.len - at);
        // SAFETY: The tail belongs to us, and no reference points into it.
        unsafe { mm::munmap(tail.cast(), self.len - at) }?;
        // INVARIANT: What is left is one mapping of `at` bytes.
        self.len = at;
        Ok(())
    }

    /// Splits the mapping in two at offset `at`; each part is unmapped on its own.
    ///
    /// # Panics
    ///
    /// When `at` is not inside the mapping or not a multiple of the page size.
    pub fn split(mut self, at: usize) -> (Mapping, Mapping) {
        assert!(
            at.is_multiple_of(crate::PAGE) && at != 0,
            "offset {at} splits no page"
        );
        let tail = self.byte(at, self.len - at);
        // INVARIANT: Two ranges side by side, of one owner each.
        let second = Mapping {
            start: NonNull::new(tail.cast()).expect("not at address zero"),
            len: self.len - at,
        };
        self.len = at;
        (self, second)
    }

    /// Moves the mapping to another address (mremap), with a new length.
    ///
    /// # Errors
    ///
    /// Those of mremap(), EFAULT for a mapping that may not grow; the mapping is then as it was.
    pub fn resize(&mut self, len: usize) -> Result<()> {
        // SAFETY: No reference points into the mapping, so it may move.
        let start =
            unsafe { mm::mremap(self.start.as_ptr(), self.len, len, MremapFlags::MAYMOVE) }?;
        // INVARIANT: The kernel moved our mapping here; nothing is left at the old place.
        self.start = non_null(start)?;
        self.len = len;
        Ok(())
    }

    /// Moves the mapping to another address that is a multiple of `align`, a power of two.
    ///
    /// # Errors
    ///
    /// Those of mmap() and mremap().
    pub fn relocate(&mut self, align: usize) -> Result<()> {
        self.relocate_beyond(align, 0)
    }

    /// As [`Mapping::relocate`], but to `beyond` bytes behind such an address; less than `align`.
    ///
    /// # Errors
    ///
    /// Those of mmap() and mremap().
    pub fn relocate_beyond(&mut self, align: usize, beyond: usize) -> Result<()> {
        let hole = Mapping::reserve(self.len + 2 * align)?;
        let to = (hole.address().next_multiple_of(align) + beyond) as *mut c_void;
        // SAFETY: The target lies in `hole`, which nothing else uses; no reference points into
        // the mapping, so it may move.
        let start = unsafe {
            mm::mremap_fixed(
                self.start.as_ptr(),
                self.len,
                self.len,
                MremapFlags::MAYMOVE,
                to,
            )
        }?;
        let rest = hole.around(start, self.len);
        // INVARIANT: The mapping replaced the middle of the hole; the rest is given back.
        self.start = non_null(start)?;
        drop(rest);
        Ok(())
    }

    /// The parts of a mapping before and after `len` bytes from `start` on. Those bytes are no
    /// longer this value's: something else has been mapped there.
    fn around(self, start: *mut c_void, len: usize) -> (Mapping, Mapping) {
        let at = start as usize - self.address();
        let after = at + len;
        // One past the end is never dereferenced, and unmapped only where there is something.
        let parts = [
            (self.start.as_ptr(), at),
            (self.byte(after, 0).cast(), self.len - after),
        ];
        std::mem::forget(self);
        // INVARIANT: Two disjoint parts of the forgotten mapping.
        let [before, after] = parts.map(|(start, len)| Mapping {
            start: NonNull::new(start).expect("not at address zero"),
            len,
        });
        (before, after)
    }

    /// A pointer to `len` bytes at offset `at`.
    fn byte(&self, at: usize, len: usize) -> *mut u8 {
        assert!(
            at.checked_add(len).is_some_and(|end| end <= self.len),
            "{len} bytes at {at} lie outside a mapping of {} bytes",
            self.len,
        );
        self.start.as_ptr().cast::<u8>().wrapping_add(at)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.len != 0 {
            // SAFETY: The mapping belongs to us, and no reference points into it.
            let _ = unsafe { mm::munmap(self.start.as_ptr(), self.len) };
        }
    }
}

fn protection(access: Access) -> ProtFlags {
    match access {
        Access::Read => ProtFlags::READ,
        // Not every machine has write-only pages, so mappings for writing are readable.
        Access::Write | Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
    }
}

fn non_null(start: *mut c_void) -> Result<NonNull<c_void>> {
    NonNull::new(start).ok_or(Errno::NOMEM)
}
