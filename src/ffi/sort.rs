// SPDX-License-Identifier: GPL-2.0

//! Sorting in place, with as little stack for a million elements as for two.
//!
//! C header: [`include/linux/sort.h`](srctree/include/linux/sort.h)
//!
//! `slice::sort_unstable()` calls itself, up to twice the binary logarithm of the length deep, with some
//! 900 bytes each time: whoever chooses the order of the elements overflows the kernel's stack (McIlroy,
//! "A killer adversary for quicksort", 1999). The kernel's own is a heapsort.

use core::mem::size_of;
use kernel::ffi::{
    c_int,
    c_void, //
};

type Compare = unsafe extern "C" fn(*const c_void, *const c_void) -> c_int;
type Swap = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int);

extern "C" {
    fn sort_nonatomic(
        base: *mut c_void,
        num: usize,
        size: usize,
        compare: Option<Compare>,
        swap: Option<Swap>,
    );
}

/// Compares two elements of a slice of `T`.
///
/// # Safety
///
/// Both point to such an element.
unsafe extern "C" fn compare<T: Ord>(one: *const c_void, other: *const c_void) -> c_int {
    // SAFETY: Says the caller.
    let (one, other) = unsafe { (&*one.cast::<T>(), &*other.cast::<T>()) };
    // CAST: -1, 0 or 1, which is what C wants.
    one.cmp(other) as c_int
}

/// Sorts a slice, not keeping the order of equal elements; may sleep.
pub(crate) fn sort<T: Ord + Copy>(slice: &mut [T]) {
    // SAFETY: The elements are valid, and `T` is `Copy`, so that they may be moved byte by byte.
    unsafe {
        sort_nonatomic(
            slice.as_mut_ptr().cast(),
            slice.len(),
            size_of::<T>(),
            Some(compare::<T>),
            None,
        )
    };
}
