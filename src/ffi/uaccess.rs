// SPDX-License-Identifier: GPL-2.0

//! What may be copied from user space, and to it, as it is, and the proof that it is what the header says.
//!
//! C header: `uapi/linux/udmabuf.h`, through [`super::uapi`], which bindgen makes of it.

use super::{
    helpers,
    uapi, //
};
use crate::abi;
use core::{
    mem::{
        offset_of,
        size_of, //
    },
    ptr,
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    bindings,
    error::to_result,
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::UserPtr,
};

// SAFETY: Integers without padding: every bit pattern is a value.
unsafe impl FromBytes for abi::Create {}
// SAFETY: As above.
unsafe impl FromBytes for abi::Item {}
// SAFETY: As above.
unsafe impl FromBytes for abi::ListHead {}

// SAFETY: As above.
unsafe impl FromBytes for abi::CreateExt {}
// SAFETY: As above.
unsafe impl FromBytes for abi::Query {}
// SAFETY: As above.
unsafe impl FromBytes for abi::SyncRange {}

// SAFETY: Without padding, whose contents could be anybody's.
unsafe impl AsBytes for abi::Query {}

/// Appends `count` values from user space (`copy_from_user()`).
///
/// # Errors
///
/// `EFAULT`, and `ENOMEM`, for which nobody is warned: too many are the caller's mistake, not the
/// kernel's. Nothing is appended then.
pub(crate) fn read_more<T: FromBytes>(
    values: &mut KVVec<T>,
    count: usize,
    from: UserPtr,
) -> Result {
    values.reserve(count, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
    let to = values.spare_capacity_mut().as_mut_ptr();
    let size = count * size_of::<T>();
    // SAFETY: There is room for `count` values, and so many bytes.
    match unsafe { bindings::copy_from_user(to.cast(), from.as_const_ptr(), size) } {
        0 => {}
        _ => return Err(EFAULT),
    }
    // SAFETY: They were just written, and may consist of any bytes.
    unsafe { values.inc_len(count) };
    Ok(())
}

/// Reads a structure that may be another version's, `size` bytes in the program
/// (`copy_struct_from_user()`).
///
/// # Errors
///
/// `EFAULT`; `E2BIG` if there is anything but zeroes behind what is known.
pub(crate) fn read_struct<T: FromBytes + Default>(from: UserPtr, size: usize) -> Result<T> {
    let mut value = T::default();
    let to = ptr::from_mut(&mut value).cast();
    // SAFETY: `value` has room for what it has the size of, and may consist of any bytes.
    to_result(unsafe {
        helpers::copy_struct_from_user(to, size_of::<T>(), from.as_const_ptr(), size)
    })?;
    Ok(value)
}

/// The reverse of [`read_struct`] (`copy_struct_to_user()`): what the program does not know of is left
/// out, what is not known here is zero.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn write_struct<T: AsBytes>(to: UserPtr, size: usize, value: &T) -> Result {
    let from = ptr::from_ref(value).cast();
    // SAFETY: All of `value` may be seen.
    to_result(unsafe { helpers::copy_struct_to_user(to.as_mut_ptr(), size, from, size_of::<T>()) })
}

/// Compares one of our structures with the header's, field by field.
macro_rules! same_layout {
    ($ours:ty, $theirs:ty, $($our_field:ident = $their_field:ident,)*) => {
        static_assert!(size_of::<$ours>() == size_of::<$theirs>());
        $(static_assert!(
            offset_of!($ours, $our_field) == offset_of!($theirs, $their_field)
        );)*
    };
}

same_layout!(
    abi::Create,
    uapi::udmabuf_create,
    memfd = memfd,
    flags = flags,
    offset = offset,
    size = size,
);
same_layout!(
    abi::Item,
    uapi::udmabuf_create_item,
    memfd = memfd,
    pad = __pad,
    offset = offset,
    size = size,
);
same_layout!(
    abi::ListHead,
    uapi::udmabuf_create_list,
    flags = flags,
    count = count,
);
same_layout!(
    abi::CreateExt,
    uapi::udmabuf_create_ext,
    flags = flags,
    mode = mode,
    count = count,
    reserved = reserved,
    items = items,
);
same_layout!(
    abi::Query,
    uapi::udmabuf_query,
    fd = fd,
    flags = flags,
    version = version,
    modes = modes,
    calls = calls,
    size = size,
    extents = extents,
    largest = largest,
    mode = mode,
    state = state,
    coherent = coherent,
    cache = cache,
    shadow = shadow,
    own_operations = own_operations,
    generation = generation,
    start_bytes = start_bytes,
    end_bytes = end_bytes,
);
same_layout!(
    abi::SyncRange,
    uapi::udmabuf_sync_range,
    fd = fd,
    flags = flags,
    offset = offset,
    length = length,
);
static_assert!(abi::MODE_DMA_API == uapi::UDMABUF_MODE_DMA_API);
static_assert!(abi::MODE_CPU_COHERENT == uapi::UDMABUF_MODE_CPU_COHERENT);
static_assert!(abi::MODE_ATOMIC_COHERENT == uapi::UDMABUF_MODE_ATOMIC_COHERENT);
static_assert!(abi::MODE_MEMORY_COHERENT == uapi::UDMABUF_MODE_MEMORY_COHERENT);
static_assert!(abi::STATE_SYNCS == uapi::UDMABUF_STATE_SYNCS);
static_assert!(abi::STATE_MAY_SYNC == uapi::UDMABUF_STATE_MAY_SYNC);
static_assert!(abi::STATE_CHECKED == uapi::UDMABUF_STATE_CHECKED);
static_assert!(abi::STATE_AUTO_SYNC == uapi::UDMABUF_STATE_AUTO_SYNC);
static_assert!(abi::SYNC_READ == uapi::DMA_BUF_SYNC_READ);
static_assert!(abi::SYNC_WRITE == uapi::DMA_BUF_SYNC_WRITE);
static_assert!(abi::SYNC_RW == uapi::DMA_BUF_SYNC_RW);
static_assert!(abi::SYNC_END == uapi::DMA_BUF_SYNC_END);
static_assert!(abi::QUERY == uapi::QUERY);
static_assert!(abi::CREATE_EXT == uapi::CREATE_EXT);
static_assert!(abi::SYNC_RANGE == uapi::SYNC_RANGE);
static_assert!(abi::FLAGS_CLOEXEC == uapi::UDMABUF_FLAGS_CLOEXEC);
static_assert!(abi::FLAGS_CHECK == uapi::UDMABUF_FLAGS_CHECK);
static_assert!(abi::FLAGS_CHECK_STRICT == uapi::UDMABUF_FLAGS_CHECK_STRICT);
static_assert!(abi::FLAGS_AUTO_SYNC == uapi::UDMABUF_FLAGS_AUTO_SYNC);
static_assert!(abi::CREATE == uapi::CREATE);
static_assert!(abi::CREATE_LIST == uapi::CREATE_LIST);
