// SPDX-License-Identifier: GPL-2.0

//! What our driver says of itself in debugfs.

use std::fs;
use std::io;

/// Where it says so.
pub const FILE: &str = "/sys/kernel/debug/udmabuf_rs/stats";

/// The counters of what is alive: as they were, once nobody has a buffer.
pub const GAUGES: [&str; 6] = [
    "buffers",
    "pages",
    "extents",
    "mappings",
    "shadows",
    "shadow_pages",
];

/// The [`GAUGES`] at one time; none if the driver is another one.
///
/// # Errors
///
/// As [`counter`].
pub fn gauges() -> io::Result<Option<[usize; GAUGES.len()]>> {
    counters(GAUGES)
}

/// A counter of the driver, such as `extents`; none if the driver is another one.
///
/// # Errors
///
/// Those of reading the file, and `InvalidData` if it has no such counter.
pub fn counter(name: &str) -> io::Result<Option<usize>> {
    Ok(counters([name])?.map(|[value]| value))
}

/// Several counters as they were at one time.
///
/// # Errors
///
/// As [`counter`].
pub fn counters<const N: usize>(names: [&str; N]) -> io::Result<Option<[usize; N]>> {
    let statistics = match fs::read_to_string(FILE) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        statistics => statistics?,
    };
    let mut values = [0; N];
    for (value, name) in values.iter_mut().zip(names) {
        *value = parse(&statistics, name).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{FILE}: no counter {name}"),
            )
        })?;
    }
    Ok(Some(values))
}

fn parse(statistics: &str, name: &str) -> Option<usize> {
    let mut lines = statistics.lines().filter_map(|line| line.split_once(' '));
    lines.find(|(other, _)| *other == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn finds_the_counter_of_that_name() {
        let statistics = "buffers 2\npages 1024\nextents 3\nmappings_made 9\n";
        assert_eq!(parse(statistics, "extents"), Some(3));
        assert_eq!(parse(statistics, "mappings"), None);
        assert_eq!(parse("extents many\n", "extents"), None);
    }
}
