// SPDX-License-Identifier: GPL-2.0

//! The pool of pages behind `MFD_HUGETLB`, of the size that a program gets which names none.

use std::fs;

use anyhow::{Context, Result, bail};

const POOL: &str = "/proc/sys/vm/nr_hugepages";
const MEMINFO: &str = "/proc/meminfo";

/// Reserves `size` MiB in huge pages, all of them or it is an error.
pub fn reserve(size: u32) -> Result<()> {
    if size == 0 {
        return Ok(());
    }
    let meminfo = fs::read_to_string(MEMINFO).context(MEMINFO)?;
    let page = page_size(&meminfo).context("a kernel without huge pages")?;
    let count = (size * 1024).div_ceil(page);
    fs::write(POOL, count.to_string()).context(POOL)?;
    let got = fs::read_to_string(POOL).context(POOL)?;
    let got: u32 = got.trim().parse().context(POOL)?;
    if got < count {
        bail!("only {got} of {count} huge pages of {page} KiB: give the machine more memory");
    }
    Ok(())
}

/// The size of such a page by /proc/meminfo, in KiB.
fn page_size(meminfo: &str) -> Option<u32> {
    let (_, rest) = meminfo.split_once("Hugepagesize:")?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_as_large_as_the_kernel_says() {
        let text = "HugePages_Surp:        0\nHugepagesize:      32768 kB\nHugetlb:  0 kB\n";
        assert_eq!(page_size(text), Some(32 << 10));
        assert_eq!(page_size("MemTotal:  8029196 kB\n"), None);
    }
}
