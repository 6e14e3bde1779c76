// SPDX-License-Identifier: GPL-2.0

//! The pool of 2 MiB pages behind `MFD_HUGETLB`.

use std::fs;

use anyhow::{Context, Result, bail};

const POOL: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// Reserves `count` huge pages of 2 MiB, all of them or it is an error.
pub fn reserve(count: u32) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    fs::write(POOL, count.to_string()).context(POOL)?;
    let got = fs::read_to_string(POOL).context(POOL)?;
    let got: u32 = got.trim().parse().context(POOL)?;
    if got < count {
        bail!("only {got} of {count} huge pages: give the machine more memory");
    }
    Ok(())
}
