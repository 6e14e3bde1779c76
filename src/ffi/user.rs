// SPDX-License-Identifier: GPL-2.0

//! The memory that a user has locked, in all processes together.
//!
//! C header: [`include/linux/sched/user.h`](srctree/include/linux/sched/user.h)
//!
//! iommufd and io_uring count in the same place (`incr_user_locked_vm()` in
//! `drivers/iommu/iommufd/pages.c`, `__io_account_mem()` in `io_uring/rsrc.c`), so a user's limit is
//! one for all of them.

use super::helpers;
use crate::quota;
use core::ptr::NonNull;
use kernel::{
    bindings,
    page::PAGE_SHIFT,
    prelude::*,
    sync::atomic::Atomic, //
};

/// A user of the machine.
///
/// # Invariants
///
/// The user is valid, and one reference is ours.
struct User(NonNull<bindings::user_struct>);

// SAFETY: A user is not of any thread, and neither is a reference.
unsafe impl Send for User {}
// SAFETY: All that can be done with it is atomic.
unsafe impl Sync for User {}

impl User {
    /// Who runs the calling process.
    fn current() -> Result<Self> {
        // SAFETY: The current task has credentials, and they have a user.
        let user = unsafe { helpers::get_current_user() };
        // INVARIANT: The reference has just been taken.
        NonNull::new(user).map(Self).ok_or(EINVAL)
    }

    /// How many pages are locked.
    fn locked(&self) -> &Atomic<i64> {
        // SAFETY: The user is valid, by the type invariant.
        let counter = unsafe { &raw mut (*self.0.as_ptr()).locked_vm.counter };
        // SAFETY: It is an `atomic_long_t`, which all change by atomic operations, for as long as
        // the user is.
        unsafe { Atomic::from_ptr(counter) }
    }
}

impl Drop for User {
    fn drop(&mut self) {
        // SAFETY: The reference is ours, by the type invariant.
        unsafe { bindings::free_uid(self.0.as_ptr()) };
    }
}

/// Pages that count as locked by a user until this is dropped.
pub(crate) struct LockedPages {
    user: User,
    pages: i64,
}

impl LockedPages {
    /// Counts pages for the user who runs the calling process; none with `CAP_IPC_LOCK`, as in io_uring:
    /// there is no limit then, and what is beyond it must not count against others of that user.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if these are more, with what the user has locked already, than the process's
    /// `RLIMIT_MEMLOCK` allows.
    pub(crate) fn count(pages: usize) -> Result<Option<Self>> {
        if is_exempt() {
            return Ok(None);
        }
        let pages = i64::try_from(pages)?;
        let user = User::current()?;
        quota::take(user.locked(), pages, most())?;
        Ok(Some(Self { user, pages }))
    }

    /// Counts as many as turned out to be pinned, if these are more.
    ///
    /// # Errors
    ///
    /// As [`count`](Self::count); nothing has changed then.
    pub(crate) fn raise(&mut self, pages: usize) -> Result {
        let pages = i64::try_from(pages)?;
        if pages > self.pages {
            quota::take(self.user.locked(), pages - self.pages, most())?;
            self.pages = pages;
        }
        Ok(())
    }
}

impl Drop for LockedPages {
    fn drop(&mut self) {
        quota::give_back(self.user.locked(), self.pages);
    }
}

/// Whether the calling process may lock as much as it likes.
fn is_exempt() -> bool {
    // CAST: It is a small number.
    const MAY_LOCK: c_int = bindings::CAP_IPC_LOCK as c_int;

    // SAFETY: May be called in any task; the namespace is always there.
    unsafe { bindings::ns_capable_noaudit(&raw mut bindings::init_user_ns, MAY_LOCK) }
}

/// Most pages that the calling process may have locked.
fn most() -> i64 {
    // SAFETY: The current task has limits.
    let bytes = unsafe { helpers::rlimit(bindings::RLIMIT_MEMLOCK) };
    // CAST: A shifted number is not negative.
    (bytes >> PAGE_SHIFT) as i64
}
