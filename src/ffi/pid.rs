// SPDX-License-Identifier: GPL-2.0

//! The identity of a process, for telling later whether it still runs.
//!
//! C headers: [`include/linux/pid.h`](srctree/include/linux/pid.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use super::helpers;
use core::ptr::NonNull;
use kernel::{
    bindings,
    sync::rcu, //
};

/// Who runs: a process (a thread group, `struct pid` of type `PIDTYPE_TGID`), or the kernel.
///
/// It does not keep the process alive, nor its memory, and the number may be used again: the
/// `struct pid` is not. All kernel threads are one, since one may finish what another began.
///
/// # Invariants
///
/// Owns one reference to the `struct pid`, if there is one.
pub(crate) struct Tgid(Option<NonNull<bindings::pid>>);

// SAFETY: A `struct pid` is reference-counted and may be used and released from any task.
unsafe impl Send for Tgid {}

impl Tgid {
    /// The caller.
    pub(crate) fn current() -> Self {
        // SAFETY: There is a current task.
        if unsafe { helpers::current_kthread() } != 0 {
            return Self(None);
        }
        // SAFETY: There is a current task; the helper takes a reference on its thread group's pid.
        let pid = unsafe { helpers::get_current_tgid() };
        // INVARIANT: The reference that the helper took is ours now. A running task has a thread
        // group.
        Self(NonNull::new(pid))
    }

    /// Whether a thread of the process may still run.
    ///
    /// False from the moment that the last thread is in `do_exit()`, before anybody has waited
    /// for it.
    pub(crate) fn is_alive(&self) -> bool {
        let Some(pid) = self.0 else {
            return true;
        };
        let _guard = rcu::read_lock();
        // SAFETY: The pid is valid by the type invariant.
        let task = unsafe { bindings::pid_task(pid.as_ptr(), bindings::pid_type_PIDTYPE_TGID) };
        if task.is_null() {
            return false;
        }
        // SAFETY: A task found through a pid is valid within the RCU read section, and so is its
        // `signal`, which is released with it (`__put_task_struct()` runs after a grace period).
        (unsafe { helpers::signal_live(task) }) > 0
    }
}

impl PartialEq for Tgid {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Tgid {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            // SAFETY: The reference is owned, by the type invariant.
            unsafe { bindings::put_pid(pid.as_ptr()) };
        }
    }
}
