// SPDX-License-Identifier: GPL-2.0

//! What is between the devices of this machine and its memory, as far as a program can tell.

use std::fs;
use std::io;

/// The leak detector, which only a kernel that checks itself has.
const LEAKS: &str = "/sys/kernel/debug/kmemleak";

/// The detector of races, which excludes most other checks.
const RACES: &str = "/sys/kernel/debug/kcsan";

/// The device tree's root, whose properties hold for all devices that have no other.
const DEVICE_TREE: &str = "/proc/device-tree";

/// Whether every device of this machine works on a bounce buffer, wherever its memory is.
///
/// # Errors
///
/// Those of reading the kernel's command line.
pub fn always_bounces() -> io::Result<bool> {
    Ok(forces_bounces(&fs::read_to_string("/proc/cmdline")?))
}

/// `much` of something that takes time, or `little` of it where the kernel checks each of its memory
/// accesses: there the same takes ten times as long, and is for what the checks find. Of that an eighth where
/// it delays some of them besides, to see races.
///
/// # Errors
///
/// Those of looking for what in the kernel checks.
pub fn scaled(much: usize, little: usize) -> io::Result<usize> {
    if sees_races()? {
        return Ok(little.div_ceil(8));
    }
    match fs::exists(LEAKS)? {
        true => Ok(little),
        false => Ok(much),
    }
}

/// Whether the kernel looks for accesses that race: the longer something goes on, the more it sees.
///
/// # Errors
///
/// Those of looking for the detector.
pub fn sees_races() -> io::Result<bool> {
    fs::exists(RACES)
}

/// Whether devices snoop the CPU's caches, by the device tree of the machine: without one they do.
///
/// # Errors
///
/// Those of looking for the files.
pub fn devices_snoop() -> io::Result<bool> {
    Ok(!fs::exists(DEVICE_TREE)? || fs::exists(format!("{DEVICE_TREE}/dma-coherent"))?)
}

/// Whether such a kernel command line says `swiotlb=force`, with or without sizes.
fn forces_bounces(command_line: &str) -> bool {
    command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("swiotlb="))
        .any(|value| value.split(',').any(|part| part == "force"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn force_is_found_beside_sizes() {
        assert!(forces_bounces("console=ttyS0 swiotlb=force\n"));
        assert!(forces_bounces("swiotlb=65536,force quiet"));
        assert!(!forces_bounces("swiotlb=noforce"));
        assert!(!forces_bounces("swiotlb=65536 force"));
    }
}
