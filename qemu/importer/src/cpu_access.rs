// SPDX-License-Identifier: GPL-2.0

//! An access by the CPU inside the kernel: vmap, begin, copy, end, vunmap.

use kernel::{
    page::{
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
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

/// Tells the program in which page frames `count` pages of `buffer` are, from page `first` on.
/// Nothing is accessed.
///
/// Fails with [`EINVAL`] if the buffer has no such pages, and otherwise as [`copy`].
pub(crate) fn frames(buffer: &DmaBuf, first: u64, count: u64, user: UserSlice) -> Result {
    let pages = (buffer.size() >> PAGE_SHIFT).try_into()?;
    let range = Range::new(first, count, pages)?;
    let vmap = buffer.vmap()?;
    let mut writer = user.writer();
    for page in range.offset()..range.offset() + range.length() {
        // CAST: A page's size fits into any integer.
        let size = PAGE_SIZE as u64;
        let bytes = Range::new(page * size, size, buffer.size().try_into()?)?;
        writer.write(&vmap.frame(bytes)?)?;
    }
    Ok(())
}
