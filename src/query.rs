// SPDX-License-Identifier: GPL-2.0

//! What the driver tells of itself, and of a buffer.

use crate::{
    abi::{
        self,
        Query, //
    },
    checker::Check,
    exporter::Udmabuf,
    ffi::folio::PinnedPages,
    mode::Mode, //
};
use kernel::{
    page::PAGE_SHIFT,
    prelude::*, //
};

/// What does not depend on a buffer. `fd` is what the program has asked about.
pub(crate) fn driver(fd: i32) -> Query {
    let modes = Mode::OFFERED.map(|mode| 1 << mode.number());
    Query {
        fd,
        version: 1,
        modes: modes.into_iter().sum(),
        calls: abi::CALLS,
        ..Query::default()
    }
}

/// Adds what there is to be told of a buffer.
///
/// # Errors
///
/// `EINTR` if the process is being killed.
pub(crate) fn buffer(answer: &mut Query, buffer: &Udmabuf, pages: &PinnedPages) -> Result {
    let census = buffer.census()?;
    let traits = buffer.traits();
    let extents = pages.extents();
    let largest = extents.runs().map(|run| run.pages).max();
    let bytes = |pages: usize| (pages << PAGE_SHIFT) as u64;
    // As many as fit: nobody has four thousand million mappings.
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let state = |set: bool, bit: u32| if set { bit } else { 0 };
    *answer = Query {
        size: bytes(extents.pages()),
        extents: extents.run_count() as u64,
        largest: bytes(largest.unwrap_or_default()),
        mode: traits.mode.number(),
        state: state(census.syncs, abi::STATE_SYNCS)
            | state(census.may_sync, abi::STATE_MAY_SYNC)
            | state(traits.check != Check::Off, abi::STATE_CHECKED)
            | state(traits.is_automatic, abi::STATE_AUTO_SYNC),
        coherent: number(census.coherent),
        cache: number(census.cache),
        shadow: number(census.shadow),
        own_operations: number(census.own_operations),
        generation: census.generation,
        start_bytes: census.begin as u64,
        end_bytes: census.end as u64,
        ..*answer
    };
    Ok(())
}
