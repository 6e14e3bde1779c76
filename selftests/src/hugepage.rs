// SPDX-License-Identifier: GPL-2.0

//! What the kernel has and gives of huge pages.

use std::fs;

use rustix::io::Errno;
use rustix::io::Result;

use crate::Mapping;

/// The switch for transparent huge pages in shared memory.
const SHARED_MEMORY_SWITCH: &str = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

/// Lets shared memory have transparent huge pages where a mapping asks for them.
///
/// # Errors
///
/// ENOSYS when the kernel has none, or the switch cannot be set.
pub fn enable_for_shared_memory() -> Result<()> {
    fs::write(SHARED_MEMORY_SWITCH, "advise").map_err(|_| Errno::NOSYS)
}

/// Forbids transparent huge pages to this process, or allows them again: huge page table entries of
/// a dma-buf count as such.
///
/// # Errors
///
/// Those of prctl().
pub fn forbid(yes: bool) -> Result<()> {
    rustix::thread::disable_transparent_huge_pages(yes)
}

/// How many huge pages are neither used nor reserved.
///
/// # Errors
///
/// EIO when /proc cannot be read.
pub fn free() -> Result<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo").map_err(|_| Errno::IO)?;
    let value = |name| field(&meminfo, name).unwrap_or(0);
    Ok(value("HugePages_Free:") - value("HugePages_Rsvd:"))
}

/// How many bytes of a shared-memory mapping are mapped by huge page table entries.
///
/// # Errors
///
/// EIO when /proc cannot be read.
pub fn mapped_by_huge_entries(mapping: &Mapping) -> Result<usize> {
    let maps = fs::read_to_string("/proc/self/smaps").map_err(|_| Errno::IO)?;
    let start = format!("{:08x}-", mapping.address());
    let entry = maps
        .find(&start)
        .map(|position| &maps[position..])
        .ok_or(Errno::IO)?;
    Ok(field(entry, "ShmemPmdMapped:").unwrap_or(0) * 1024)
}

/// The number behind the first occurrence of `name`.
fn field(text: &str, name: &str) -> Option<usize> {
    let (_, rest) = text.split_once(name)?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_is_the_number_behind_the_name() {
        let text = "HugePages_Total:    1040\nHugePages_Free:     1036\nHugePages_Rsvd:        4\n";
        assert_eq!(field(text, "HugePages_Free:"), Some(1036));
        assert_eq!(field(text, "HugePages_Rsvd:"), Some(4));
        assert_eq!(field(text, "HugePages_Surp:"), None);
    }
}
