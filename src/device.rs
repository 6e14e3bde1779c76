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
        misc::Registration,
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

/// The names that the node in `/dev` may have: one of its own, beside the C driver's, and the one that
/// programs look for.
const NAMES: [&CStr; 2] = [c"udmabuf-rs", c"udmabuf"];

/// The node, while the module is loaded.
pub(crate) struct Node {
    _registration: Pin<KBox<Registration<Device>>>,
}

impl Node {
    /// Registers the node under the name that the module's parameter says.
    pub(crate) fn register() -> Result<Self> {
        let asked = params::node();
        let Some(name) = NAMES.into_iter().find(|&name| name == asked) else {
            pr_err!("node= is udmabuf-rs or udmabuf, and nothing else\n");
            return Err(EINVAL);
        };
        let registration = Registration::new(name);
        let registration = KBox::pin_init(registration, GFP_KERNEL).inspect_err(|&error| {
            if error == EEXIST {
                pr_err!(
                    "/dev/{} is another driver's: boot with initcall_blacklist=udmabuf_dev_init, or load without node=\n",
                    name
                );
            }
        })?;
        Ok(Self {
            _registration: registration,
        })
    }
}

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

/// Items that are read before somebody looks for signals again.
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
    // Very many may be allowed: room is made as they come, so that a number without items behind it
    // costs nothing.
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
