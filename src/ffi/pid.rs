// SPDX-License-Identifier: GPL-2.0

//! The identity of a process, for telling later whether it still runs.
//!
//! C headers: [`include/linux/pid.h`](srctree/include/linux/pid.h),
//! [`include/linux/sched.h`](srctree/include/linux/sched.h),
//! [`include/linux/sched/signal.h`](srctree/include/linux/sched/signal.h)

use super::helpers;
use kernel::{
    bindings,
    sync::rcu,
    task::Task, //
};

/// Who runs: a process (a thread group), or the kernel.
///
/// It keeps nothing alive and costs a few loads. Numbers are used again, but hardly by a process
/// that began at the same time, of which the clock's 32 low bits of nanoseconds are compared; if
/// one did, a dead writer would count as alive until that one ends. An exec keeps both, whichever thread calls it
/// (`de_thread()` in `fs/exec.c`). All kernel threads are one, since one may finish what another
/// began.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tgid {
    /// In the initial namespace; 0 is the kernel.
    number: i32,
    /// When the process began, in nanoseconds since boot, the low half.
    began: u32,
}

impl Tgid {
    const KERNEL: Self = Self {
        number: 0,
        began: 0,
    };

    /// The caller.
    pub(crate) fn current() -> Self {
        let task = Task::current_raw();
        // SAFETY: The current task is valid, and its flags are changed by itself only.
        if unsafe { (*task).flags } & bindings::PF_KTHREAD != 0 {
            return Self::KERNEL;
        }
        // SAFETY: As above. A running task is in a thread group, whose leader is valid, and when
        // that began does not change.
        unsafe { Self::of((*task).tgid, (*task).group_leader) }
    }

    /// # Safety
    ///
    /// `leader` is a valid task.
    unsafe fn of(number: i32, leader: *const bindings::task_struct) -> Self {
        Self {
            number,
            // SAFETY: The task is valid. CAST: The low half is what is wanted.
            began: unsafe { (*leader).start_boottime } as u32,
        }
    }

    /// Bits that are enough for [`to_bits`](Self::to_bits).
    pub(crate) const BITS: u32 = Self::NUMBER_BITS + u32::BITS;
    /// `PID_MAX_LIMIT` in `include/linux/threads.h`.
    const NUMBER_BITS: u32 = 22;

    /// All of it as a number.
    pub(crate) fn to_bits(self) -> u64 {
        // CAST: A process number is not negative.
        u64::from(self.number as u32) << u32::BITS | u64::from(self.began)
    }

    /// The reverse of [`to_bits`](Self::to_bits).
    pub(crate) fn from_bits(bits: u64) -> Self {
        // CAST: Each takes its half.
        Self {
            number: (bits >> u32::BITS) as i32,
            began: bits as u32,
        }
    }

    /// Whether a thread of the process may still run.
    ///
    /// False from the moment that the last thread is in `do_exit()`, before anybody has waited
    /// for it.
    pub(crate) fn is_alive(&self) -> bool {
        if *self == Self::KERNEL {
            return true;
        }
        let _guard = rcu::read_lock();
        // SAFETY: The initial namespace is always valid, and this is an RCU read section.
        let pid = unsafe { bindings::find_pid_ns(self.number, &raw mut bindings::init_pid_ns) };
        // SAFETY: The pid is valid in this section, or null, which is no task's.
        let task = unsafe { bindings::pid_task(pid, bindings::pid_type_PIDTYPE_TGID) };
        if task.is_null() {
            return false;
        }
        // SAFETY: A task found through a pid is valid within the RCU read section, and so is its
        // `signal`, which is released with it (`__put_task_struct()` runs after a grace period).
        unsafe { Self::of(self.number, task) == *self && helpers::signal_live(task) > 0 }
    }
}
