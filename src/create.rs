// SPDX-License-Identifier: GPL-2.0

//! From a request to a descriptor.
//!
//! The order of the steps is the security argument:
//!
//! 1. What can be judged by arithmetic alone is, before anything is touched; with it what the user
//!    may have locked, where that counts.
//! 2. The descriptor is reserved, so that publishing it, in step 5, cannot fail.
//! 3. For each item, and those behind it that name the same descriptor, the file is looked up and its
//!    inode locked; with the lock held, the seals and how it was opened are checked and the pages
//!    pinned. A seal that would forbid the buffer cannot come in between: seals are added under the
//!    lock taken exclusively (`memfd_add_seals()`), and `F_SEAL_WRITE` fails from then on, for it
//!    waits in vain for the pins to go (`memfd_wait_for_pins()`).
//! 4. What is pinned beyond what was asked for, the rest of huge pages, counts as locked, too. The
//!    dma-buf is made. It owns the pages from here on.
//! 5. The descriptor is published. From here on user space can use the buffer, and close it.
//!
//! Whatever fails undoes the steps before it by dropping what they made.

use crate::{
    abi::{
        Item,
        FLAGS_CLOEXEC, //
    },
    exporter::{
        Traits,
        Udmabuf, //
    },
    ffi::{
        builder::Builder,
        memfd::Memfd,
        user::LockedPages, //
    },
    limits::Limits,
    stats::STATS, //
};
use kernel::{
    bindings::O_CLOEXEC,
    fs::file::FileDescriptorReservation,
    prelude::*, //
};

/// Bytes of one memfd after which its lock is let go of, once the item is done. Locking for each item
/// costs a tenth of a list of single pages.
const TOGETHER: u64 = 1 << 20;

/// Makes a buffer of `items`, one behind the other, with these traits, and returns its descriptor. Of
/// `flags`, [`FLAGS_CLOEXEC`] alone is looked at; `traits` has the rest.
///
/// C counterpart: `udmabuf_create()` in `drivers/dma-buf/udmabuf.c`.
///
/// # Errors
///
/// - `EINVAL` for sizes, offsets, limits, seals, and ranges beyond the end of a file;
/// - `EBADFD` for a descriptor that is not open, or not of a file that could be a memfd;
/// - `EACCES` for a memfd that was not opened for reading and writing;
/// - `EINTR` if the process is being killed;
/// - `EMFILE`, `ENFILE`, `ENOMEM`, the last one also for more than the user may lock.
///
/// The first of these is returned: sizes and limits; what the user may lock; a free descriptor; then, item
/// by item, what the descriptor is of, seals, how it was opened, the end of the file.
pub(crate) fn create(items: &[Item], flags: u32, traits: Traits, limits: Limits) -> Result<u32> {
    let pages = limits.check_items(items)?;
    let mut locked = match limits.memlock {
        true => LockedPages::count(pages)?,
        false => None,
    };

    let cloexec = match flags & FLAGS_CLOEXEC {
        0 => 0,
        _ => O_CLOEXEC,
    };
    let fd = FileDescriptorReservation::get_unused_fd_flags(cloexec)?;

    let mut builder = Builder::new();
    // One after the other they are mostly of one memfd. It is let go of after some of them: whoever
    // writes to the file waits, and cannot be killed.
    let mut size = 0;
    for items in items.chunk_by(|item, next| {
        if size >= TOGETHER {
            size = 0;
        }
        size += item.size;
        item.memfd == next.memfd && size < TOGETHER
    }) {
        let memfd = Memfd::get(items[0].memfd)?;
        let file = memfd.lock()?;
        let sealed = file.check_seals()?;
        for item in items {
            builder.append(&sealed, item.offset, item.size)?;
        }
    }

    let pages = builder.finish();
    if let Some(locked) = &mut locked {
        locked.raise(pages.pinned())?;
    }

    let dma_buf = Udmabuf::export(pages, traits, locked)?;

    STATS.created.add(1);
    Ok(dma_buf.install(fd))
}
