// SPDX-License-Identifier: GPL-2.0

//! Memfds: their seals, and pinning their pages.
//!
//! C headers: [`include/linux/memfd.h`](srctree/include/linux/memfd.h),
//! [`include/linux/shmem_fs.h`](srctree/include/linux/shmem_fs.h),
//! [`include/linux/hugetlb.h`](srctree/include/linux/hugetlb.h)
//!
//! `memfd_get_seals()` is not exported to modules; what it reads is in headers.
//!
//! # Locking
//!
//! Seals are added under the inode lock, taken exclusively (`memfd_add_seals()`). They are
//! checked, and pages are pinned, under the same lock, shared, so that no seal can come in
//! between: [`Memfd::lock`] gives [`Locked`], whose [`Locked::check_seals`] gives [`Sealed`],
//! which alone can [`pin`](Sealed::pin). The lock is never held together with another of ours.

use super::{
    compat::ebadfd,
    folio::FolioBatch,
    helpers, //
};
use kernel::{
    bindings,
    fs::file::LocalFile,
    prelude::*,
    sync::aref::ARef,
    types::NotThreadSafe, //
};

/// What must be sealed: pages may not vanish under the buffer.
const SEALS_WANTED: u32 = bindings::F_SEAL_SHRINK;
/// What must not be sealed: the buffer would be a way around it.
const SEALS_DENIED: u32 = bindings::F_SEAL_WRITE | bindings::F_SEAL_FUTURE_WRITE;

/// An open file that should be a memfd.
pub(crate) struct Memfd {
    file: ARef<LocalFile>,
    kind: Kind,
}

/// Where the seals of a file are.
#[derive(Clone, Copy)]
enum Kind {
    Shmem,
    Hugetlbfs,
}

impl Memfd {
    /// Of the calling process.
    ///
    /// # Errors
    ///
    /// `EBADFD` if the descriptor is not open (and not `EBADF`, as in C), or of a file that can have
    /// no seals: its lock is never asked for, which a file system of the user's may hold for long.
    pub(crate) fn get(fd: u32) -> Result<Self> {
        let file = LocalFile::fget(fd).map_err(|_| ebadfd())?;
        // SAFETY: The file is open, here and below.
        let kind = match unsafe { helpers::shmem_file(file.as_ptr()) } {
            true => Kind::Shmem,
            // SAFETY: As above.
            false if unsafe { helpers::is_file_hugepages(file.as_ptr()) } => Kind::Hugetlbfs,
            false => return Err(ebadfd()),
        };
        Ok(Self { file, kind })
    }

    fn as_raw(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    /// Whether what nobody uses may be written to swap. Huge pages stay.
    fn is_reclaimed(&self) -> bool {
        matches!(self.kind, Kind::Shmem)
    }

    /// Whether the descriptor gives all the access that a buffer gives: `mmap()` wants the same for
    /// a shared, writable mapping (`do_mmap()` in `mm/mmap.c`).
    fn is_read_write(&self) -> bool {
        // SAFETY: The file is open; its mode does not change.
        unsafe { helpers::file_is_read_write(self.as_raw()) }
    }

    /// Keeps the seals as they are until the guard is dropped.
    ///
    /// # Errors
    ///
    /// `EINTR` if the process is to die while it waits.
    pub(crate) fn lock(&self) -> Result<Locked<'_>> {
        // SAFETY: The file is open, so it has an inode.
        let inode = unsafe { (*self.as_raw()).f_inode };
        // SAFETY: The inode is valid as long as the file is open.
        if unsafe { helpers::inode_lock_shared_killable(inode) } != 0 {
            return Err(EINTR);
        }
        // INVARIANT: Just locked, by this task.
        Ok(Locked {
            memfd: self,
            inode,
            _not_send: NotThreadSafe,
        })
    }
}

/// A file whose inode is locked, shared.
///
/// # Invariants
///
/// `inode` is the file's, and locked by the current task.
#[must_use = "the inode is unlocked at once when the guard is not kept"]
pub(crate) struct Locked<'a> {
    memfd: &'a Memfd,
    inode: *mut bindings::inode,
    // An inode is unlocked by the task that locked it.
    _not_send: NotThreadSafe,
}

impl Locked<'_> {
    /// Whether a buffer may be made of the file.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if its seals are not as they must be;
    /// - `EACCES` if it was not opened for reading and writing. What the C driver refuses keeps
    ///   its error: this comes last.
    pub(crate) fn check_seals(&self) -> Result<Sealed<'_>> {
        let seals = self.seals();
        if seals & SEALS_WANTED != SEALS_WANTED || seals & SEALS_DENIED != 0 {
            return Err(EINVAL);
        }
        if !self.memfd.is_read_write() {
            return Err(EACCES);
        }
        // INVARIANT: Just checked; the lock keeps it so.
        Ok(Sealed(self))
    }

    /// The seals (`memfd_file_seals_ptr()` in `mm/memfd.c`).
    fn seals(&self) -> u32 {
        match self.memfd.kind {
            // SAFETY: The inode of a shmem file is part of a `shmem_inode_info`.
            Kind::Shmem => unsafe { helpers::shmem_seals(self.inode) },
            // SAFETY: The inode of a hugetlbfs file is part of a `hugetlbfs_inode_info`.
            Kind::Hugetlbfs => unsafe { helpers::hugetlbfs_seals(self.inode) },
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // SAFETY: The inode is locked by this task, by the type invariant.
        unsafe { helpers::inode_unlock_shared(self.inode) };
    }
}

/// A memfd whose seals are right, and stay so.
///
/// # Invariants
///
/// The seals have been checked since the inode was locked, and how the file was opened.
pub(crate) struct Sealed<'a>(&'a Locked<'a>);

impl Sealed<'_> {
    /// Most memory that is allocated and cleared before somebody can look for signals again, but
    /// for the rest of a larger folio: some milliseconds' worth. Each batch has a price: with
    /// 16 MiB, a buffer of 1 GiB in huge pages that are there takes 28 % more instructions than in
    /// one batch, with this 7 %.
    const BATCH: i64 = 64 << 20;

    /// Pins the folios that hold the bytes from `start` to `end` (exclusive, both page-aligned),
    /// as many as `batch` has room for, and no more than hold [`BATCH`](Self::BATCH) bytes;
    /// allocates those that are missing.
    ///
    /// # Errors
    ///
    /// - `EINVAL` if the range is empty or reaches beyond the file, or a folio has so many
    ///   references that there can be no more, as `memfd_pin_folios()` has it;
    /// - `ENOMEM`, and what else `memfd_pin_folios()` meets. Nothing is pinned then.
    pub(crate) fn pin(&self, start: u64, end: u64, batch: &mut FolioBatch) -> Result {
        let first = i64::try_from(start).map_err(|_| EINVAL)?;
        let last = end
            .checked_sub(1)
            .and_then(|last| i64::try_from(last).ok())
            .ok_or(EINVAL)?;
        // `memfd_pin_folios()` sees a batch, and would allocate all before the one that ends too far.
        // SAFETY: The inode is valid, and its size stays, for it is locked.
        if last >= unsafe { (*self.0.inode).i_size } {
            return Err(EINVAL);
        }
        // The last folio may reach beyond the batch; it is taken whole.
        let last = last.min(first.saturating_add(Self::BATCH - 1));
        let pin = |folios, max, offset| {
            // SAFETY: The file is open; `folios` has room for `max` pointers; the rest is checked
            // by the function.
            unsafe {
                bindings::memfd_pin_folios(self.0.memfd.as_raw(), first, last, folios, max, offset)
            }
        };
        // SAFETY: That is what `memfd_pin_folios()` does.
        unsafe { batch.fill(end.saturating_sub(start), self.0.memfd.is_reclaimed(), pin) }
    }
}

#[cfg(CONFIG_KUNIT = "y")]
pub(crate) mod test {
    use super::*;
    use core::ptr::NonNull;
    use kernel::error::from_err_ptr;

    /// Memory of `pages` pages with just the seals that are wanted, for KUnit.
    pub(crate) fn memfd(pages: usize) -> Result<Memfd> {
        let size = i64::try_from(pages * kernel::page::PAGE_SIZE)?;
        // SAFETY: The name is a C string.
        let file = from_err_ptr(unsafe {
            helpers::shmem_file_setup(c"udmabuf-kunit".as_char_ptr(), size)
        })?;
        // SAFETY: It is a shmem file that nobody else knows of.
        unsafe { helpers::shmem_set_seals(file, SEALS_WANTED) };
        let file = NonNull::new(file.cast::<LocalFile>()).ok_or(ENOMEM)?;
        // SAFETY: The file's only reference is ours, and there is no `fdget_pos()` on it.
        let file = unsafe { ARef::from_raw(file) };
        Ok(Memfd {
            file,
            kind: Kind::Shmem,
        })
    }
}
