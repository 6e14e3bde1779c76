// SPDX-License-Identifier: GPL-2.0

//! One site that fails. The kernel counts the allocations of a thread and its copies from and to
//! user space, and fails the one whose number was written to `fail-nth`.

use std::cell::Cell;
use std::fs;
use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;

use selftests::Errno;
use selftests::Ledger;
use selftests::Outcome;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;

/// Where the number of the thread that reads and writes it is.
const NUMBER: &str = "/proc/thread-self/fail-nth";

/// What may fail, with how: silently, and whatever an allocation is for.
const SETTINGS: &[(&str, &str)] = &[
    ("failslab/verbose", "0"),
    ("failslab/ignore-gfp-wait", "N"),
    ("fail_page_alloc/verbose", "0"),
    ("fail_page_alloc/ignore-gfp-wait", "N"),
    ("fail_page_alloc/ignore-gfp-highmem", "N"),
    ("fail_page_alloc/min-order", "0"),
    ("fail_usercopy/verbose", "0"),
];
const DEBUGFS: &str = "/sys/kernel/debug";

/// The DMA-API's own checks end for good when an allocation of theirs fails: theirs do not.
const SPARED: &[&str] = &["debug_dma_", "dma_debug_", "active_cacheline_"];
const SYMBOLS: &str = "/proc/kallsyms";

/// What a request says when memory is short, or a copy fails.
pub const SHORT: &[Errno] = &[Errno::NOMEM, Errno::FAULT];

/// More sites than any request has: one that has more does not end.
const MOST: usize = 100_000;

/// The site whose turn it is.
pub struct Site {
    number: File,
    /// How many are left until it.
    left: Cell<usize>,
    reached: Cell<bool>,
}

impl Site {
    /// Does something, in which the site may be. `None` if it failed for that, as it may: with one
    /// of `errors`.
    pub fn within<T>(
        &self,
        what: &str,
        errors: &[Errno],
        body: impl FnOnce() -> Result<T, Errno>,
    ) -> Outcome<Option<T>> {
        if self.reached.get() {
            return Ok(Some(body()?));
        }
        self.number
            .write_all_at(self.left.get().to_string().as_bytes(), 0)?;
        let result = body();
        self.look()?;
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if !self.reached.get() => {
                fail(format_args!("{what}: {error}, though nothing failed"))
            }
            Err(error) if errors.contains(&error) => Ok(None),
            Err(error) => fail(format_args!("{what}: {error}")),
        }
    }

    /// Whether it was reached, and how many are left if not. From here on nothing fails.
    fn look(&self) -> io::Result<()> {
        let mut text = [0; 16];
        // Reading is a copy, and so is writing: the last one that is left may be that.
        let left = match self.number.read_at(&mut text, 0) {
            Ok(length) => String::from_utf8_lossy(&text[..length])
                .trim()
                .parse()
                .map_err(|_| io::Error::from(ErrorKind::InvalidData))?,
            Err(error) if error.raw_os_error() == Some(Errno::FAULT.raw_os_error()) => 1,
            Err(error) => return Err(error),
        };
        if let Err(error) = self.number.write_all_at(b"0", 0)
            && error.raw_os_error() != Some(Errno::FAULT.raw_os_error())
        {
            return Err(error);
        }
        self.left.set(left);
        self.reached.set(left == 0);
        Ok(())
    }
}

/// Lets one site after the other fail, until there is none left. Of the sites behind `every`, as
/// many as there are pages, not all are tried, but each `stride`th.
pub fn sweep(every: usize, stride: usize, scenario: impl Fn(&Site) -> Outcome) -> Outcome {
    let number = prepare()?;
    let site = Site {
        number,
        left: Cell::new(0),
        reached: Cell::new(false),
    };
    // What is made once and stays, such as caches of the kernel, is there afterwards.
    site.reached.set(true);
    scenario(&site)?;
    let before = Ledger::now()?;
    let mut tried = 0;
    let mut next = 1;
    while next < MOST {
        site.left.set(next);
        site.reached.set(false);
        if let Err(stop) = scenario(&site) {
            return fail(format_args!("site {next}: {stop}"));
        }
        equal(
            format_args!("left behind after site {next}"),
            Ledger::now()?,
            before,
        )?;
        if !site.reached.get() {
            println!("# {} sites, {tried} of them tried", next - 1);
            return check("there are sites that can fail", tried > 0);
        }
        tried += 1;
        next += if next < every { 1 } else { stride };
    }
    fail(format_args!("more than {MOST} sites"))
}

/// Sets the kernel up for it.
fn prepare() -> Outcome<File> {
    let number = match File::options().read(true).write(true).open(NUMBER) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return skip("a kernel with fault injection");
        }
        number => number?,
    };
    for (file, value) in SETTINGS {
        fs::write(format!("{DEBUGFS}/{file}"), value)?;
    }
    if let Some((start, end)) = spared(&fs::read_to_string(SYMBOLS)?) {
        fs::write(
            format!("{DEBUGFS}/failslab/reject-start"),
            format!("{start:#x}"),
        )?;
        fs::write(
            format!("{DEBUGFS}/failslab/reject-end"),
            format!("{end:#x}"),
        )?;
    }
    Ok(number)
}

/// Where the code is whose allocations do not fail: from its first function to the next one after
/// its last.
fn spared(symbols: &str) -> Option<(u64, u64)> {
    let mut all: Vec<(u64, &str)> = symbols
        .lines()
        .filter_map(|line| {
            let mut words = line.split_ascii_whitespace();
            let address = u64::from_str_radix(words.next()?, 16).ok()?;
            let kind = words.next()?;
            let name = words.next()?;
            // A module's functions have its name behind them, and are elsewhere.
            (kind.eq_ignore_ascii_case("t") && words.next().is_none()).then_some((address, name))
        })
        .collect();
    all.sort_unstable();
    let spared = |(_, name): &&(u64, &str)| SPARED.iter().any(|start| name.starts_with(start));
    let start = all.iter().find(spared)?.0;
    let last = all.iter().rev().find(spared)?.0;
    let end = all.iter().find(|(address, _)| *address > last)?.0;
    Some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spared_range_ends_with_the_next_function() {
        let symbols = "\
            0000000000000100 T before\n\
            0000000000000200 t dma_debug_entry_alloc\n\
            0000000000000300 T debug_dma_map_sg\n\
            0000000000000400 T after\n\
            0000000000000050 d dma_debug_data\n\
            0000000000000900 t debug_dma_other [module]\n";
        assert_eq!(spared(symbols), Some((0x200, 0x400)));
        assert_eq!(spared("0000000000000100 T before\n"), None);
    }
}
