// SPDX-License-Identifier: GPL-2.0

//! `/dev/edu-importer`: which ioctl does what.

use kernel::{
    fs::File,
    miscdevice::{
        MiscDevice,
        MiscDeviceRegistration, //
    },
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

use crate::{
    direction::OneWay,
    ffi::abi,
    mapping::Form,
    session::Session, //
};

/// The name of the misc device of this module.
pub(crate) const NAME: &CStr = c"edu-importer";

/// Reads the argument of an ioctl, once.
fn read<T: FromBytes>(argument: usize) -> Result<T> {
    let user = UserSlice::new(UserPtr::from_addr(argument), size_of::<T>());
    user.reader().read()
}

/// Reads the argument, lets `action` change it, and writes it back.
fn update<T: FromBytes + AsBytes>(
    argument: usize,
    action: impl FnOnce(&mut T) -> Result,
) -> Result {
    make(argument, action, |_| Ok(()))
}

/// As [`update`]; what a program cannot be told of, `undo` takes back.
fn make<T: FromBytes + AsBytes>(
    argument: usize,
    action: impl FnOnce(&mut T) -> Result,
    undo: impl FnOnce(&T) -> Result,
) -> Result {
    let mut value = read(argument)?;
    action(&mut value)?;
    let user = UserSlice::new(UserPtr::from_addr(argument), size_of::<T>());
    user.writer().write(&value).inspect_err(|_| {
        // Fails only if another thread has guessed the handle.
        let _ = undo(&value);
    })
}

#[vtable]
impl MiscDevice for Session {
    type Ptr = Pin<KBox<Self>>;

    fn open(_file: &File, _misc: &MiscDeviceRegistration<Self>) -> Result<Self::Ptr> {
        Session::new()
    }

    fn ioctl(session: Pin<&Self>, _file: &File, command: u32, argument: usize) -> Result<isize> {
        match command {
            abi::EDU_QUERY => update(argument, |query| session.query(query)),
            abi::EDU_SET_MASK => session.set_mask(&read(argument)?),
            abi::EDU_LOAD => session.memory(&read(argument)?, OneWay::ToDevice),
            abi::EDU_STORE => session.memory(&read(argument)?, OneWay::FromDevice),
            abi::EDU_NOTE => session.note(&read(argument)?),
            abi::EDU_ATTACH => make(
                argument,
                |attach: &mut abi::Attach| session.attach(attach),
                |attach| session.detach(attach.attachment),
            ),
            abi::EDU_DETACH => session.detach(read(argument)?),
            abi::EDU_MAP => make(
                argument,
                |map: &mut abi::Map| session.map(map, Form::Table),
                |map| session.unmap(map.mapping),
            ),
            abi::EDU_MAP_VECS => make(
                argument,
                |map: &mut abi::Map| session.map(map, Form::Vecs),
                |map| session.unmap(map.mapping),
            ),
            abi::EDU_UNMAP => session.unmap(read(argument)?),
            abi::EDU_DMA => session.dma(&read(argument)?),
            abi::EDU_ACCESS => session.access(&read(argument)?),
            abi::EDU_DECLARE_ATOMICS => session.declare_atomics(read(argument)?),
            abi::EDU_FORGET => session.forget(read(argument)?),
            abi::EDU_VMAP => session.vmap(&read(argument)?),
            abi::EDU_FRAMES => session.frames(&read(argument)?),
            _ => Err(ENOTTY),
        }?;
        Ok(0)
    }
}
