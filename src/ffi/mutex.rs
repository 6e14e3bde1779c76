// SPDX-License-Identifier: GPL-2.0

//! A mutex whose waiters can be interrupted.
//!
//! C header: [`include/linux/mutex.h`](srctree/include/linux/mutex.h)
//!
//! `kernel::sync::Mutex` only knows `mutex_lock()`.

use super::helpers;
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        DerefMut, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::LockClassKey,
    types::{
        NotThreadSafe,
        Opaque, //
    },
};

/// Data behind a `struct mutex`.
///
/// # Invariants
///
/// `raw` is initialised, and stays where it is.
#[pin_data]
pub(crate) struct Mutex<T> {
    #[pin]
    raw: Opaque<bindings::mutex>,
    data: UnsafeCell<T>,
}

// SAFETY: Whoever owns the mutex owns the data.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: The mutex hands the data to one thread at a time, so `T: Send` is enough.
unsafe impl<T: Send> Sync for Mutex<T> {}

/// Makes a [`Mutex`] with a lock class of its own for lockdep.
macro_rules! new_mutex {
    ($name:literal, $data:expr) => {
        $crate::ffi::mutex::Mutex::new($name, ::kernel::static_lock_class!(), $data)
    };
}
pub(crate) use new_mutex;

impl<T> Mutex<T> {
    /// Use [`new_mutex!`].
    pub(crate) fn new(
        name: &'static CStr,
        key: Pin<&'static LockClassKey>,
        data: T,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            // SAFETY: `raw` is memory for a mutex that will not move; name and key are static.
            raw <- Opaque::ffi_init(|raw| unsafe {
                bindings::__mutex_init(raw, name.as_char_ptr(), key.as_ptr())
            }),
            data: UnsafeCell::new(data),
        })
    }

    /// Waits for as long as it takes.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // SAFETY: `raw` is an initialised mutex.
        unsafe { bindings::mutex_lock(self.raw.get()) };
        Guard::new(self)
    }

    /// Waits until it is locked or any signal arrives.
    ///
    /// # Errors
    ///
    /// `ERESTARTSYS`: user space sees `EINTR`, or nothing if its handler restarts system calls.
    pub(crate) fn lock_interruptible(&self) -> Result<Guard<'_, T>> {
        // SAFETY: `raw` is an initialised mutex.
        match unsafe { helpers::mutex_lock_interruptible(self.raw.get()) } {
            0 => Ok(Guard::new(self)),
            _ => Err(ERESTARTSYS),
        }
    }

    /// Waits until it is locked or the process is to die.
    ///
    /// # Errors
    ///
    /// `EINTR`.
    pub(crate) fn lock_killable(&self) -> Result<Guard<'_, T>> {
        // SAFETY: `raw` is an initialised mutex.
        match unsafe { helpers::mutex_lock_killable(self.raw.get()) } {
            0 => Ok(Guard::new(self)),
            _ => Err(EINTR),
        }
    }
}

/// The locked [`Mutex`], unlocked on drop.
///
/// # Invariants
///
/// The current task has locked the mutex.
#[must_use = "the mutex is unlocked at once when the guard is not kept"]
pub(crate) struct Guard<'a, T> {
    mutex: &'a Mutex<T>,
    // A mutex is unlocked by the task that locked it.
    _not_send: NotThreadSafe,
}

impl<'a, T> Guard<'a, T> {
    /// Only after locking.
    fn new(mutex: &'a Mutex<T>) -> Self {
        // INVARIANT: The callers have just locked it.
        Self {
            mutex,
            _not_send: NotThreadSafe,
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The mutex is locked by the type invariant, so nobody else has the data.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: As in `deref`; `&mut self` is the only way to it through this guard.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: The mutex is locked by this task, by the type invariant.
        unsafe { bindings::mutex_unlock(self.mutex.raw.get()) };
    }
}
