// SPDX-License-Identifier: GPL-2.0

//! User mappings of a buffer.

use crate::ffi::vma::{
    Fault,
    FaultResult, //
};

/// How many pages, aligned, one fault fills at most, as a power of two: 16, which are the
/// kernel's own default for files where pages have 4 KiB (`fault_around_pages` in `mm/memory.c`).
const FAULT_AROUND_ORDER: u32 = 4;

/// Makes the entry of the faulting page, and of its neighbours, whether they are of the same
/// extent or not.
pub(crate) fn fault(fault: &Fault<'_>) -> FaultResult {
    let page = fault.page();
    let result = fault.insert(page);
    if result.is_error() {
        return result;
    }
    for neighbour in fault.around(FAULT_AROUND_ORDER) {
        // What cannot be made now will fault when it is touched.
        if neighbour != page && fault.insert(neighbour).is_error() {
            break;
        }
    }
    result
}

/// Makes one entry for 2^`order` pages, where they are one piece.
pub(crate) fn huge_fault(fault: &Fault<'_>, order: u32) -> FaultResult {
    fault.insert_huge(order)
}
