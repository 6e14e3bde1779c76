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

/// A dma-buf in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its size in bytes.
    pub size: usize,
    /// The name of the driver that made it.
    pub exporter: String,
}

/// The dma-bufs of the whole system.
///
/// # Errors
///
/// As [`read`].
pub fn list() -> io::Result<Vec<Entry>> {
    Ok(entries(&read()?))
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

/// The lines that begin with a size: size, flags, mode, references, exporter, inode, name.
fn entries(table: &str) -> Vec<Entry> {
    let entry = |line: &str| {
        let mut fields = line.split('\t');
        let size = fields.next()?.parse().ok()?;
        let exporter = fields.nth(3)?.to_owned();
        Some(Entry { size, exporter })
    };
    table.lines().filter_map(entry).collect()
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
        assert_eq!(entries(table), []);
        assert_eq!(parse("Total 3 devices attached\n"), None);
    }

    #[test]
    fn entries_have_size_and_exporter() {
        let table = "\nDma-buf Objects:\nsize    \tflags\n\
                     01228800\t00000002\t00080007\t00000002\tudmabuf\t00000005\t<none>\n\
                     \tAttached Devices:\nTotal 0 devices attached\n\nTotal 1 objects, 1228800 bytes\n";
        let entry = Entry {
            size: 1_228_800,
            exporter: "udmabuf".to_owned(),
        };
        assert_eq!(entries(table), [entry]);
    }
}
