// SPDX-License-Identifier: GPL-2.0

//! What one open file of `/dev/edu-importer` owns.
//!
//! Locks: `handles` is held for looking up and storing only, and nothing is locked inside.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

use crate::{
    cpu_access,
    device::Device,
    direction::{
        Direction,
        OneWay, //
    },
    dma_bits::DmaBits,
    ffi::{
        abi,
        dma_buf::{
            DmaBuf,
            Importer, //
        },
        udmabuf::Side, //
    },
    mapping::Form,
    range::Range,
    registry,
    table::Table, //
};

/// An open file.
#[pin_data]
pub(crate) struct Session {
    #[pin]
    handles: Mutex<Handles>,
}

/// The objects behind the handles of a session, given back when the file is closed.
struct Handles(Table<Object>);

/// What a handle stands for: a number at a device.
#[derive(Clone)]
enum Object {
    Attachment(Arc<Device>, u32),
    Mapping(Arc<Device>, u32),
}

impl Object {
    /// Gives the object back to its device.
    fn release(&self) -> Result {
        match self {
            Self::Attachment(device, number) => device.detach(*number),
            Self::Mapping(device, number) => device.unmap(*number),
        }
    }
}

impl Drop for Handles {
    fn drop(&mut self) {
        // A mapping is younger than its attachment.
        while let Some(object) = self.0.pop() {
            // Fails only if the device was unbound, which released the object already.
            let _ = object.release();
        }
    }
}

/// Refuses what a later version of the ABI may give a meaning to.
fn reserved(field: u32) -> Result {
    if field == 0 {
        Ok(())
    } else {
        Err(EINVAL)
    }
}

/// A program's memory.
fn user(data: u64, length: u32) -> Result<(UserSlice, usize)> {
    let address = data.try_into().map_err(|_| EFAULT)?;
    let length = length.try_into()?;
    Ok((UserSlice::new(UserPtr::from_addr(address), length), length))
}

impl Session {
    /// A session without objects.
    pub(crate) fn new() -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                handles <- new_mutex!(Handles(Table::new()), "edu_handles"),
            }),
            GFP_KERNEL,
        )
    }

    /// Stores an object under a new handle; one that cannot be stored is released.
    fn store_object(&self, object: Object) -> Result<u32> {
        let stored = self.handles.lock().0.insert(object.clone());
        if stored.is_err() {
            object.release()?;
        }
        stored
    }

    /// Releases the object under `handle`, if it is one that `wanted` accepts.
    ///
    /// An object that is busy keeps its handle.
    fn release_object(&self, handle: u32, wanted: fn(&Object) -> bool) -> Result {
        let object = self.object(handle)?;
        if !wanted(&object) {
            return Err(ENOENT);
        }
        let released = object.release();
        // Without its device there is nothing left to release.
        if released.is_ok() || released == Err(ENODEV) {
            let object = self.handles.lock().0.remove(handle);
            drop(object);
        }
        released
    }

    fn object(&self, handle: u32) -> Result<Object> {
        self.handles.lock().0.get(handle).cloned()
    }

    /// `EDU_QUERY`
    pub(crate) fn query(&self, query: &mut abi::Query) -> Result {
        let device = registry::get(query.device)?;
        query.dma_bits = device.bits()?.get();
        query.name = [0; 32];
        // The last byte stays zero, whatever the name.
        let bytes = device.name().to_bytes();
        let length = bytes.len().min(query.name.len() - 1);
        query.name[..length].copy_from_slice(&bytes[..length]);
        Ok(())
    }

    /// `EDU_SET_MASK`
    pub(crate) fn set_mask(&self, mask: &abi::Mask) -> Result {
        registry::get(mask.device)?.set_bits(DmaBits::new(mask.dma_bits)?)
    }

    /// `EDU_LOAD` ([`OneWay::ToDevice`]) and `EDU_STORE` ([`OneWay::FromDevice`])
    pub(crate) fn memory(&self, memory: &abi::Memory, way: OneWay) -> Result {
        reserved(memory.reserved)?;
        let device = registry::get(memory.device)?;
        let offset = memory.offset.into();
        // CAST: A page size fits into any integer.
        Range::new(offset, memory.length.into(), abi::EDU_MEMORY_SIZE as u64)?;

        // The device is locked between these two copies, not during them: a page fault may take
        // as long as it likes.
        let (user, length) = user(memory.data, memory.length)?;
        let mut bytes = KVec::from_elem(0u8, length, GFP_KERNEL)?;
        match way {
            OneWay::ToDevice => {
                user.reader().read_slice(&mut bytes)?;
                device.load(offset, &bytes)
            }
            OneWay::FromDevice => {
                device.store(offset, &mut bytes)?;
                user.writer().write_slice(&bytes)
            }
        }
    }

    /// `EDU_NOTE`
    pub(crate) fn note(&self, note: &abi::Note) -> Result {
        let count: usize = note.count.try_into()?;
        if count == 0 || count > abi::EDU_NOTE_LONGEST {
            return Err(EINVAL);
        }
        let device = registry::get(note.device)?;
        // CAST: A word has four bytes, and there are few.
        let (user, _) = user(note.words, note.count * size_of::<u32>() as u32)?;
        let mut reader = user.reader();
        let mut words = KVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            words.push(reader.read::<u32>()?, GFP_KERNEL)?;
        }
        device.note(&words)
    }

    /// `EDU_ATTACH`
    pub(crate) fn attach(&self, attach: &mut abi::Attach) -> Result {
        let importer = match attach.flags {
            0 => Importer::Static,
            abi::EDU_DYNAMIC => Importer::Dynamic,
            _ => return Err(EINVAL),
        };
        let device = registry::get(attach.device)?;
        let number = device.attach(DmaBuf::get(attach.fd)?, importer)?;
        attach.attachment = self.store_object(Object::Attachment(device, number))?;
        Ok(())
    }

    /// `EDU_DETACH`
    pub(crate) fn detach(&self, handle: u32) -> Result {
        self.release_object(handle, |object| matches!(object, Object::Attachment(..)))
    }

    /// `EDU_MAP` ([`Form::Table`]) and `EDU_MAP_VECS` ([`Form::Vecs`])
    pub(crate) fn map(&self, map: &mut abi::Map, form: Form) -> Result {
        let direction = Direction::try_from(map.direction)?;
        let Object::Attachment(device, attachment) = self.object(map.attachment)? else {
            return Err(ENOENT);
        };
        let (number, segments) = device.map(attachment, direction, form)?;
        map.mapping = self.store_object(Object::Mapping(device, number))?;
        map.segments = segments;
        Ok(())
    }

    /// `EDU_UNMAP`
    pub(crate) fn unmap(&self, handle: u32) -> Result {
        self.release_object(handle, |object| matches!(object, Object::Mapping(..)))
    }

    /// `EDU_DMA`
    pub(crate) fn dma(&self, dma: &abi::Dma) -> Result {
        let way = OneWay::try_from(dma.direction)?;
        let Object::Mapping(device, number) = self.object(dma.mapping)? else {
            return Err(ENOENT);
        };
        device.transfer(
            number,
            dma.offset,
            dma.length.into(),
            dma.device_offset.into(),
            way,
        )
    }

    /// `EDU_ACCESS`
    pub(crate) fn access(&self, access: &abi::Access) -> Result {
        reserved(access.reserved)?;
        let direction = Direction::try_from(access.direction)?;
        let side = match access.side {
            abi::EDU_ACCESS_BEGIN => Side::Begin,
            abi::EDU_ACCESS_END => Side::End,
            _ => return Err(EINVAL),
        };
        let Object::Mapping(device, number) = self.object(access.mapping)? else {
            return Err(ENOENT);
        };
        device.access(number, direction, side)
    }

    /// `EDU_DECLARE_ATOMICS`
    pub(crate) fn declare_atomics(&self, handle: u32) -> Result {
        let Object::Attachment(device, number) = self.object(handle)? else {
            return Err(ENOENT);
        };
        device.declare_atomics(number)
    }

    /// `EDU_FORGET`
    pub(crate) fn forget(&self, handle: u32) -> Result {
        let Object::Attachment(device, number) = self.object(handle)? else {
            return Err(ENOENT);
        };
        device.forget(number)?;
        let object = self.handles.lock().0.remove(handle);
        drop(object);
        Ok(())
    }

    /// `EDU_VMAP`
    pub(crate) fn vmap(&self, vmap: &abi::Vmap) -> Result {
        reserved(vmap.reserved)?;
        let way = OneWay::try_from(vmap.direction)?;
        let buffer = DmaBuf::get(vmap.fd)?;
        let (user, length) = user(vmap.data, vmap.length)?;
        cpu_access::copy(&buffer, vmap.offset, user, length, way)
    }

    /// `EDU_FRAMES`
    pub(crate) fn frames(&self, frames: &abi::Frames) -> Result {
        let buffer = DmaBuf::get(frames.fd)?;
        // CAST: The size of an integer fits into any integer.
        let length = frames.count.checked_mul(size_of::<u64>() as u32);
        let (user, _) = user(frames.frames, length.ok_or(EINVAL)?)?;
        cpu_access::frames(&buffer, frames.first, frames.count.into(), user)
    }
}
