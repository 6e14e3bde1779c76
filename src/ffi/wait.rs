// SPDX-License-Identifier: GPL-2.0

//! Waiting until something is so, in the kernel's shared queues.
//!
//! C header: [`include/linux/wait_bit.h`](srctree/include/linux/wait_bit.h). These are
//! `wait_var_event_interruptible()`, `wait_var_event_killable()` and `wake_up_var()`, which are macros as
//! far as they wait. What is waited for has no queue of its own, and costs nothing; a queue's spinlock,
//! which others may have to do with by chance, is held while its waiters are woken, as with futexes.

use core::{
    ffi::c_void,
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Which signals end a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signals {
    /// All: the error is `ERESTARTSYS`.
    All,
    /// Those that kill the process: the error is `EINTR`.
    Fatal,
}

impl Signals {
    fn state(self) -> c_int {
        // CAST: Small numbers.
        match self {
            Self::All => bindings::TASK_INTERRUPTIBLE as c_int,
            Self::Fatal => bindings::TASK_KILLABLE as c_int,
        }
    }

    fn error(self) -> Error {
        match self {
            Self::All => ERESTARTSYS,
            Self::Fatal => EINTR,
        }
    }
}

fn key<T>(var: &T) -> *mut c_void {
    ptr::from_ref(var).cast_mut().cast()
}

/// Waits until `is_so`, which is asked now, and whenever somebody calls [`wake`] for `var`. It must not
/// sleep.
///
/// # Errors
///
/// That of `signals` if one of them arrives first.
pub(crate) fn wait_until<T>(var: &T, signals: Signals, mut is_so: impl FnMut() -> bool) -> Result {
    if is_so() {
        return Ok(());
    }
    let var = key(var);
    // SAFETY: Any address will do.
    let queue = unsafe { bindings::__var_waitqueue(var) };
    let mut entry = MaybeUninit::<bindings::wait_bit_queue_entry>::uninit();
    // SAFETY: `entry` is memory for one, which stays here until it is off the queue, below.
    unsafe { bindings::init_wait_var_entry(entry.as_mut_ptr(), var, 0) };
    // SAFETY: Just initialised.
    let entry = unsafe { &raw mut (*entry.as_mut_ptr()).wq_entry };
    let result = loop {
        // SAFETY: Both are valid.
        let stop = unsafe { bindings::prepare_to_wait_event(queue, entry, signals.state()) } != 0;
        if is_so() {
            break Ok(());
        }
        if stop {
            break Err(signals.error());
        }
        // SAFETY: Nothing is held that forbids sleeping; whoever makes it so wakes this task, which is
        // on the queue.
        unsafe { bindings::schedule() };
    };
    // SAFETY: Both are valid.
    unsafe { bindings::finish_wait(queue, entry) };
    result
}

/// Something that others may wait for with `var` has become so.
pub(crate) fn wake<T>(var: &T) {
    // What was stored before is seen by who is not on the queue yet.
    super::compat::smp_mb();
    // SAFETY: Any address will do.
    unsafe { bindings::wake_up_var(key(var)) };
}
