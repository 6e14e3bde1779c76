// SPDX-License-Identifier: GPL-2.0

//! User mappings of a buffer.

use crate::ffi::{
    folio::PinnedPages,
    vma::{
        Fault,
        FaultResult, //
    },
};
use core::ops::Range;
use kernel::prelude::*;

/// How many pages, aligned, one fault fills at most: the kernel's own default for files
/// (`fault_around_pages` in `mm/memory.c`).
const FAULT_AROUND: usize = 16;

/// Makes the entry of the faulting page, and of its neighbours in the same extent.
pub(crate) fn fault(pages: &PinnedPages, fault: &Fault<'_>) -> FaultResult {
    let page = fault.page();
    let Some(run) = pages.find(page) else {
        return FaultResult::SIGBUS;
    };
    let result = fault.insert(&run, page);
    if result.is_error() {
        return result;
    }
    for neighbour in around(page, run.range(), fault.mapped()) {
        // What cannot be made now will fault when it is touched.
        if neighbour != page && fault.insert(&run, neighbour).is_error() {
            break;
        }
    }
    result
}

/// Makes one entry for 2^`order` pages, where they are one piece.
pub(crate) fn huge_fault(pages: &PinnedPages, fault: &Fault<'_>, order: u32) -> FaultResult {
    let Some(run) = pages.find(fault.page()) else {
        return FaultResult::SIGBUS;
    };
    let Some(first) = fault.aligned_page(order) else {
        return FaultResult::FALLBACK;
    };
    fault.insert_huge(&run, first, order)
}

/// The pages to fill when `page` faults: aligned around it, within its extent and the mapping.
fn around(page: usize, extent: Range<usize>, mapped: Range<usize>) -> Range<usize> {
    let first = page & !(FAULT_AROUND - 1);
    let start = first.max(extent.start).max(mapped.start);
    let end = (first + FAULT_AROUND).min(extent.end).min(mapped.end);
    start..end
}

#[kunit_tests(udmabuf_mmap)]
mod tests {
    use super::*;

    #[test]
    fn around_a_page_in_the_middle() {
        assert_eq!(around(100, 0..1000, 0..1000), 96..112);
        assert_eq!(around(96, 0..1000, 0..1000), 96..112);
        assert_eq!(around(111, 0..1000, 0..1000), 96..112);
    }

    #[test]
    fn around_stays_in_the_extent() {
        assert_eq!(around(100, 100..101, 0..1000), 100..101);
        assert_eq!(around(100, 98..105, 0..1000), 98..105);
    }

    #[test]
    fn around_stays_in_the_mapping() {
        assert_eq!(around(100, 0..1000, 100..101), 100..101);
        assert_eq!(around(100, 0..1000, 99..200), 99..112);
        assert_eq!(around(100, 98..1000, 0..103), 98..103);
    }
}
