// SPDX-License-Identifier: GPL-2.0

//! How many pages the kernel has pinned and unpinned.

use std::fs;
use std::io;

/// The two counters of /proc/vmstat, in pages since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pins {
    /// Pages pinned.
    pub acquired: u64,
    /// Pages unpinned.
    pub released: u64,
}

impl Pins {
    /// Reads the counters.
    ///
    /// # Errors
    ///
    /// When /proc cannot be read or does not have them.
    pub fn now() -> io::Result<Pins> {
        // Each CPU keeps what it has counted to itself for up to a second. Reading this file,
        // which only root may, makes all of them hand it in.
        fs::read("/proc/sys/vm/stat_refresh")?;
        Pins::parse(&fs::read_to_string("/proc/vmstat")?)
            .ok_or_else(|| io::Error::other("/proc/vmstat has no nr_foll_pin counters"))
    }

    /// How many pages are pinned.
    pub fn held(self) -> u64 {
        self.acquired - self.released
    }

    fn parse(vmstat: &str) -> Option<Pins> {
        let value = |name| {
            let mut lines = vmstat.lines().filter_map(|line| line.split_once(' '));
            lines.find_map(|(key, value)| (key == name).then(|| value.parse().ok()))?
        };
        Some(Pins {
            acquired: value("nr_foll_pin_acquired")?,
            released: value("nr_foll_pin_released")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_their_whole_names() {
        let text = "nr_foll 1\nnr_foll_pin_acquired 15\nnr_foll_pin_released 9\n";
        let pins = Pins::parse(text).unwrap();
        assert_eq!((pins.acquired, pins.released, pins.held()), (15, 9, 6));
        assert_eq!(Pins::parse("nr_foll_pin_acquired 15\n"), None);
    }
}
