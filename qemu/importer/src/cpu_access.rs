// SPDX-License-Identifier: GPL-2.0

//! An access by the CPU inside the kernel: vmap, begin, copy, end, vunmap.

use kernel::{
    prelude::*,
    uaccess::UserSlice, //
};

use crate::{
    direction::OneWay,
    ffi::dma_buf::DmaBuf,
    range::Range, //
};

/// How much is copied at a time, in bytes.
const CHUNK: usize = 4096;

/// Copies between `user` and the bytes of `buffer` from `offset` on.
///
/// Fails with [`EINVAL`] if the buffer has no such bytes, with [`EFAULT`] if the program has none,
/// with [`EOPNOTSUPP`] if the buffer is no memory, and as the exporter does.
pub(crate) fn copy(
    buffer: &DmaBuf,
    offset: u64,
    user: UserSlice,
    length: usize,
    way: OneWay,
) -> Result {
    let size: u64 = buffer.size().try_into()?;
    let range = Range::new(offset, length.try_into()?, size)?;
    let mut bytes = KVec::from_elem(0u8, CHUNK, GFP_KERNEL)?;

    let vmap = buffer.vmap()?;
    let access = buffer.begin_cpu_access(way.into())?;

    let (mut reader, mut writer) = user.reader_writer();
    let mut done = 0u64;
    while done < range.length() {
        // CAST: A chunk's size fits into any integer.
        let count = (range.length() - done).min(CHUNK as u64);
        let chunk = Range::new(range.offset() + done, count, size)?;
        let bytes = bytes.get_mut(..count.try_into()?).ok_or(EINVAL)?;
        match way {
            OneWay::ToDevice => {
                reader.read_slice(bytes)?;
                vmap.write(chunk, bytes)?;
            }
            OneWay::FromDevice => {
                vmap.read(chunk, bytes)?;
                writer.write_slice(bytes)?;
            }
        }
        done += count;
    }

    access.end()
}
