// SPDX-License-Identifier: GPL-2.0

//! The one mutex that no object owns: the list of devices.
//!
//! Probing a device and opening the misc device have nothing in common but the module, so the
//! list they share is a static. A static lock has to be initialised before its first use, which
//! the type system cannot see; here a flag does.

use core::ops::DerefMut;

use kernel::{
    prelude::*,
    sync::{
        global_lock,
        Arc,
        SetOnce, //
    }, //
};

use crate::device::Device;

global_lock! {
    // SAFETY: Only `lock` uses it, and only after `init`.
    unsafe(uninit) static DEVICES: Mutex<KVec<Arc<Device>>> = KVec::new();
}

/// Who initialises the lock.
static CLAIMED: SetOnce<()> = SetOnce::new();
/// Whether that has happened.
static READY: SetOnce<()> = SetOnce::new();

/// Makes [`lock`] work. The module calls it before anything else; further calls do nothing.
pub(crate) fn init() {
    if CLAIMED.populate(()) {
        // SAFETY: Only one caller ever populates `CLAIMED`.
        unsafe { DEVICES.init() };
        READY.populate(());
    }
}

/// Locks the list of devices. Fails with [`ENODEV`] before [`init()`].
pub(crate) fn lock() -> Result<impl DerefMut<Target = KVec<Arc<Device>>>> {
    READY.as_ref().ok_or(ENODEV)?;
    Ok(DEVICES.lock())
}
