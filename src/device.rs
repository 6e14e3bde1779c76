// SPDX-License-Identifier: GPL-2.0

//! The device node.

use crate::{
    abi::{
        self,
        Create,
        Item,
        ListHead, //
    },
    create::create,
    ffi::{
        params,
        signal, //
    }, //
};
use core::mem::size_of;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};

/// Of the node in `/dev`.
pub(crate) const NAME: &CStr = c"udmabuf-rs";

/// An open file of the device; it has no state, and how it was opened does not matter.
pub(crate) struct Device;

#[vtable]
impl MiscDevice for Device {
    type Ptr = ();

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<()> {
        Ok(())
    }

    /// Structures are the same for 32-bit programs, so this serves them too.
    fn ioctl(_device: (), _file: &File, cmd: u32, arg: usize) -> Result<isize> {
        let arg = UserPtr::from_addr(arg);
        let fd = match cmd {
            abi::CREATE => create_one(arg)?,
            abi::CREATE_LIST => create_list(arg)?,
            _ => return Err(ENOTTY),
        };
        // CAST: A descriptor is not negative.
        Ok(fd as isize)
    }
}

fn create_one(arg: UserPtr) -> Result<u32> {
    let request: Create = UserSlice::new(arg, size_of::<Create>()).reader().read()?;
    create(&[request.into()], request.flags, params::limits())
}

/// Items that are read before somebody looks for signals again: unless the limit is raised, all.
const ITEMS_AT_ONCE: usize = 1024;

/// Header and items are each read once, so what is checked is what is used.
fn create_list(arg: UserPtr) -> Result<u32> {
    const HEAD: usize = size_of::<ListHead>();

    let limits = params::limits();
    let head: ListHead = UserSlice::new(arg, HEAD).reader().read()?;
    limits.check_count(head.count)?;

    let count = head.count as usize;
    let bytes = count.checked_mul(size_of::<Item>()).ok_or(EINVAL)?;
    let mut reader = UserSlice::new(arg.wrapping_byte_add(HEAD), bytes).reader();
    let mut items = KVVec::new();
    // An administrator may allow very many: room is made as they come, so that a number without
    // items behind it costs nothing.
    while items.len() < count {
        signal::check_killed()?;
        let more = (count - items.len()).min(ITEMS_AT_ONCE);
        // Too many are the caller's mistake, not the kernel's.
        items.reserve(more, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        for _ in 0..more {
            items.push_within_capacity(reader.read::<Item>()?)?;
        }
    }
    create(&items, head.flags, limits)
}
