// SPDX-License-Identifier: GPL-2.0

//! Which lines of the driver's source tests execute.
//!
//! No kernel is built for it: a [plugin][Watcher::Coverage] for QEMU tells which code of the guest was
//! executed, and the module's own line table to which [lines](lines::Lines) that belongs. A line counts
//! as executed if anything of it was, be it in another function that it was inlined into. What the
//! compiler has removed or merged is no line at all, so the figures are of the module as it is shipped.
//!
//! What a test executes in a module that it has loaded by itself is not seen.
//!
//! [Watcher::Coverage]: crate::boot::Watcher::Coverage

mod lines;
mod summary;

use std::{
    collections::BTreeMap,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result, bail};
use protocol::{DRIVER_MODULE, TEXT_MARK};

use self::lines::Lines;
pub use self::summary::Summary;
use crate::{layout::Layout, log};

/// Lines of a file, and whether each was executed.
type Executed = BTreeMap<u32, bool>;

/// What guests have executed so far, of all modules together.
pub struct Coverage {
    root: PathBuf,
    files: Mutex<BTreeMap<PathBuf, Executed>>,
}

impl Coverage {
    /// Of the driver's sources in this tree.
    pub fn new(layout: &Layout) -> Self {
        Coverage {
            root: layout.root().to_owned(),
            files: Mutex::default(),
        }
    }

    /// Whether a module says which lines its code is of.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn can_see(&self, module: &Path) -> Result<bool> {
        Ok(!self.lines(module)?.is_empty())
    }

    /// A guest with this module is over, and left this log and this report of the plugin.
    ///
    /// # Errors
    ///
    /// When the module cannot be read, or the log does not say where it was, or no code was there.
    pub fn add(&self, module: &Path, log: &str, report: &str) -> Result<()> {
        let lines = self.lines(module)?;
        let places = places(log);
        if places.is_empty() {
            bail!("the kernel log does not say where the module's code is");
        }
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for line in lines.all() {
            let executed = files.entry(line.file.clone()).or_default();
            executed.entry(line.number).or_default();
        }
        let mut any = false;
        for block in report.lines().filter_map(block) {
            for place in &places {
                let Some(start) = block.start.checked_sub(*place) else {
                    continue;
                };
                for line in lines.of(start..start + (block.end - block.start)) {
                    let executed = files.entry(line.file.clone()).or_default();
                    executed.insert(line.number, true);
                    any = true;
                }
            }
        }
        if !any {
            bail!("nothing of the module's code was executed where the kernel log says that it is");
        }
        Ok(())
    }

    /// What came out.
    pub fn summary(&self) -> Summary {
        let files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        Summary::new(files.clone())
    }

    fn lines(&self, module: &Path) -> Result<Lines> {
        let shown = || module.display().to_string();
        let data = fs::read(module).with_context(shown)?;
        Lines::read(&data, &self.root).with_context(shown)
    }
}

/// Where the driver's code was, each time that it was loaded.
fn places(log: &str) -> Vec<u64> {
    let place = |line| {
        let (_, said) = log::message(line).split_once(TEXT_MARK)?;
        let (name, address) = said.split_once(": 0x")?;
        let address = u64::from_str_radix(address, 16).ok()?;
        (name == DRIVER_MODULE).then_some(address)
    };
    let mut places: Vec<_> = log.lines().filter_map(place).collect();
    places.sort_unstable();
    places.dedup();
    places
}

/// The addresses of a block that was executed.
fn block(line: &str) -> Option<Range<u64>> {
    let mut words = line.split(' ');
    let start = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    let bytes: u64 = words.next()?.parse().ok()?;
    Some(start..start.checked_add(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_says_where_the_driver_was() {
        let log = "[    1.0] guest: text of udmabuf_rs: 0xffffffffc0100000\r\n\
                   [    1.1] guest: text of edu_importer: 0xffffffffc0200000\r\n\
                   [    2.0] guest: text of udmabuf_rs: 0xffffffffc0300000\r\n\
                   [    3.0] guest: text of udmabuf_rs: 0xffffffffc0100000\r\n";
        assert_eq!(places(log), [0xffff_ffff_c010_0000, 0xffff_ffff_c030_0000]);
    }

    #[test]
    fn a_block_is_where_it_says() {
        assert_eq!(block("0x0000000000001000 20 13"), Some(0x1000..0x1014));
        assert_eq!(block("nonsense"), None);
        assert_eq!(block("0xffffffffffffffff 20 13"), None);
    }
}
