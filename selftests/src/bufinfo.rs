// SPDX-License-Identifier: GPL-2.0

//! The dma-bufs that exist, by debugfs.

use std::fs;
use std::io;

/// The kernel's table of dma-bufs.
const PATH: &str = "/sys/kernel/debug/dma_buf/bufinfo";

/// How many dma-bufs of any exporter there are in the whole system.
///
/// # Errors
///
/// When debugfs is not mounted or the table is not as expected.
pub fn count() -> io::Result<usize> {
    parse(&read()?)
        .ok_or_else(|| io::Error::other(format!("{PATH} has no line \"Total N objects\"")))
}

/// The table as text.
///
/// # Errors
///
/// When debugfs is not mounted.
pub fn read() -> io::Result<String> {
    let error = |error| {
        io::Error::other(format!(
            "{PATH}: {error}; mount debugfs on /sys/kernel/debug"
        ))
    };
    fs::read_to_string(PATH).map_err(error)
}

fn parse(table: &str) -> Option<usize> {
    let (number, _) = table
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("Total ")?.split_once(" objects,"))?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_not_mistaken_for_a_buffers_devices() {
        let table = "\nDma-buf Objects:\nsize\n00004096\t00000002\n\tAttached Devices:\n\
                     Total 3 devices attached\n\n\nTotal 1 objects, 4096 bytes\n";
        assert_eq!(parse(table), Some(1));
        assert_eq!(parse("Total 3 devices attached\n"), None);
    }
}
