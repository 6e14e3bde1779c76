// SPDX-License-Identifier: GPL-2.0

//! `FLOOR_PIN`: pins a range, batch by batch, and lets each batch go at once.

use kernel::prelude::*;

use crate::{
    ffi::{
        abi,
        memfd::{
            Batch,
            Memfd, //
        }, //
    },
    range::FileRange, //
};

/// Does what `request` says, and writes into it how long that took.
pub(crate) fn pin(request: &mut abi::Pin) -> Result {
    if request.pad != 0 {
        return Err(EINVAL);
    }
    let mut left = Some(FileRange::new(request.offset, request.size)?);
    let memfd = Memfd::get(request.memfd)?;
    let mut batch = Batch::new()?;

    request.pin = 0;
    request.unpin = 0;
    request.folios = 0;
    while let Some(range) = left {
        request.pin += batch.pin(&memfd, range)?;
        request.folios += batch.folios();
        left = range.behind(batch.bytes());
        request.unpin += batch.unpin();
    }
    Ok(())
}
