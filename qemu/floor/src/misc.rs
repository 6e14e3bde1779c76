// SPDX-License-Identifier: GPL-2.0

//! `/dev/udmabuf-floor`: who may open it, its ioctl and its mappings.

use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceOptions,
        MiscDeviceRegistration, //
    },
    mm::virt::VmaNew,
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

use crate::{
    ffi::{
        abi,
        capability,
        vma, //
    },
    pin, //
};

/// The misc device of this module.
pub(crate) const OPTIONS: MiscDeviceOptions = MiscDeviceOptions {
    name: c"udmabuf-floor",
};

/// An open file, which has nothing of its own.
pub(crate) struct Floor;

#[vtable]
impl MiscDevice for Floor {
    type Ptr = ();

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result {
        if capability::may_map_any_memory() {
            Ok(())
        } else {
            Err(EPERM)
        }
    }

    fn ioctl(_floor: (), _file: &File, command: u32, argument: usize) -> Result<isize> {
        if command != abi::FLOOR_PIN {
            return Err(ENOTTY);
        }
        let user = UserSlice::new(UserPtr::from_addr(argument), size_of::<abi::Pin>());
        let (mut reader, mut writer) = user.reader_writer();
        let mut request: abi::Pin = reader.read()?;
        pin::pin(&mut request)?;
        writer.write(&request)?;
        Ok(0)
    }

    fn mmap(_floor: (), _file: &File, vma: &VmaNew) -> Result {
        vma::map_frames(vma)
    }
}
