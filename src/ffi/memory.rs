// SPDX-License-Identifier: GPL-2.0

//! Memory that is freed without a detour.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)
//!
//! The allocators of `kernel::alloc` free by `krealloc()` and `kvrealloc()`, to a size of 0, and do so for
//! what was never allocated, too: an empty vector. For a buffer of one page that is a tenth of what
//! closing it takes.

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
        AllocError,
        Allocator,
        Flags,
        NumaNode, //
    },
    bindings,
    prelude::*, //
};

/// As a `KBox`.
pub(crate) type Boxed<T> = Box<T, Freed<Kmalloc>>;

/// As a `KVVec`.
pub(crate) type Array<T> = Vec<T, Freed<KVmalloc>>;

/// The allocator `A`, but that memory is freed by `kvfree()`.
pub(crate) struct Freed<A>(PhantomData<A>);

// SAFETY: Everything is as `A` has it, but for `free()`: the allocators of the kernel allocate by
// `kmalloc()` or `vmalloc()`, and `kvfree()` frees both.
unsafe impl<A: Allocator> Allocator for Freed<A> {
    const MIN_ALIGN: usize = A::MIN_ALIGN;

    unsafe fn realloc(
        ptr: Option<NonNull<u8>>,
        layout: Layout,
        old_layout: Layout,
        flags: Flags,
        nid: NumaNode,
    ) -> Result<NonNull<[u8]>, AllocError> {
        // SAFETY: As this function's.
        unsafe { A::realloc(ptr, layout, old_layout, flags, nid) }
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
