// SPDX-License-Identifier: GPL-2.0

//! What may be copied from user space as it is, and the proof that it is what the header says.
//!
//! C header: `uapi/linux/udmabuf.h`, through [`super::uapi`], which bindgen makes of it.

use super::uapi;
use crate::abi;
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    prelude::*,
    transmute::FromBytes, //
};

// SAFETY: Integers without padding: every bit pattern is a value.
unsafe impl FromBytes for abi::Create {}
// SAFETY: As above.
unsafe impl FromBytes for abi::Item {}
// SAFETY: As above.
unsafe impl FromBytes for abi::ListHead {}

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
static_assert!(abi::FLAGS_CLOEXEC == uapi::UDMABUF_FLAGS_CLOEXEC);
static_assert!(abi::CREATE == uapi::CREATE);
static_assert!(abi::CREATE_LIST == uapi::CREATE_LIST);
