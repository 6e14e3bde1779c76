// SPDX-License-Identifier: GPL-2.0

//! User mappings of a buffer.

use core::ops::Range;

use crate::ffi::{
    trace,
    vma::{
        Fault,
        FaultResult, //
    }, //
};

/// How many pages, aligned, one fault fills, as a power of two.
///
/// A fault takes about as many instructions as making 100 entries of pages that lie side by side,
/// or 70 of others (`make bench`). Filling about that many, a pass over everything and a single
/// touch both take about two and a half times what would be best for them alone.
const FAULT_AROUND_ORDER: u32 = 7;

/// The pages that get an entry together with the faulting one.
pub(crate) fn around(fault: &Fault<'_>) -> Range<usize> {
    fault.around(FAULT_AROUND_ORDER)
}

/// Makes the entry of the faulting page, and those of its neighbours, whether they are of the same
/// extent or not.
pub(crate) fn fault(fault: &Fault<'_>, pages: &Range<usize>) -> FaultResult {
    told(fault, pages, fault.insert(pages))
}

/// The same; they may be written, or not, as far as the mapping may.
pub(crate) fn fault_for(fault: &Fault<'_>, pages: &Range<usize>, writing: bool) -> FaultResult {
    told(fault, pages, fault.insert_for(pages, writing))
}

fn told(fault: &Fault<'_>, pages: &Range<usize>, result: FaultResult) -> FaultResult {
    if result == FaultResult::NOPAGE {
        trace::fault(fault.pages(), fault.page(), || pages.clone(), 0);
    }
    result
}

/// Makes one entry for 2^`order` pages, the first of which has the frame `pfn`.
pub(crate) fn huge_fault(fault: &Fault<'_>, order: u32, pfn: usize) -> FaultResult {
    let result = fault.insert_huge(pfn);
    if result == FaultResult::NOPAGE {
        trace::fault(fault.pages(), fault.page(), || fault.around(order), order);
    }
    result
}
