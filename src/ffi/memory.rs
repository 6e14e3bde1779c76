// SPDX-License-Identifier: GPL-2.0

//! Memory that is allocated and freed without a detour.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! The allocators of `kernel::alloc` allocate by `krealloc()` and `kvrealloc()`, of nothing, and free by
//! them, to a size of 0; and do so for what was never allocated, too: an empty vector. For a buffer of
//! one page that is a tenth of what closing it takes, and some of what mapping it does.

use super::helpers;
use core::{
    alloc::Layout,
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::{
            KVmalloc,
            Kmalloc, //
        },
        flags::{
            __GFP_NOWARN,
            GFP_KERNEL_ACCOUNT, //
        },
        AllocError,
        Allocator,
        Flags,
        NumaNode, //
    },
    bindings,
    page::PAGE_SIZE,
    prelude::*, //
};

/// As a `KBox`.
pub(crate) type Boxed<T> = Box<T, Freed<Kmalloc>>;

/// As a `KVVec`.
pub(crate) type Array<T> = Vec<T, Freed<KVmalloc>>;

/// The allocator `A`, but that memory is freed by `kvfree()`, and what is small and of the usual kind
/// allocated by `kmalloc()`.
pub(crate) struct Freed<A>(PhantomData<A>);

// SAFETY: Everything is as `A` has it, but for `kmalloc()` and `kvfree()`: the allocators of the kernel
// allocate by `kmalloc()` or `vmalloc()`, and take what comes from either.
unsafe impl<A: Allocator> Allocator for Freed<A> {
    const MIN_ALIGN: usize = A::MIN_ALIGN;

    #[inline]
    unsafe fn realloc(
        ptr: Option<NonNull<u8>>,
        layout: Layout,
        old_layout: Layout,
        flags: Flags,
        nid: NumaNode,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // Memory is aligned as its size is.
        let size = layout.pad_to_align().size();
        let is_small = 0 < size && size <= PAGE_SIZE;
        let is_usual = flags | __GFP_NOWARN == GFP_KERNEL_ACCOUNT | __GFP_NOWARN;
        // A vector has an address before it has memory.
        let is_new = ptr.is_none() || old_layout.size() == 0;
        if !is_new || !is_small || !is_usual || nid != NumaNode::NO_NODE {
            // SAFETY: As this function's.
            return unsafe { A::realloc(ptr, layout, old_layout, flags, nid) };
        }
        let quiet = match flags == GFP_KERNEL_ACCOUNT {
            true => 0,
            false => bindings::__GFP_NOWARN,
        };
        // SAFETY: May sleep, say the flags.
        let start = unsafe { helpers::kmalloc(size, bindings::GFP_KERNEL_ACCOUNT | quiet) };
        let start = NonNull::new(start.cast()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(start, size))
    }

    #[inline]
    unsafe fn free(ptr: NonNull<u8>, layout: Layout) {
        // What has no size was never allocated.
        if layout.size() != 0 {
            // SAFETY: It was allocated by `A`, says the caller.
            unsafe { bindings::kvfree(ptr.as_ptr().cast()) };
        }
    }
}
