// SPDX-License-Identifier: GPL-2.0

//! Setting the kernel up for failures.

use std::fs;
use std::fs::File;
use std::io::ErrorKind;

use selftests::Outcome;
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

/// The DMA-API's own checks, where a kernel has them, end for good when an allocation of theirs fails:
/// theirs do not.
const CHECKS: &str = "/sys/kernel/debug/dma-api";
const SPARED: &[&str] = &["debug_dma_", "dma_debug_", "active_cacheline_"];
const SYMBOLS: &str = "/proc/kallsyms";

/// Between which addresses no allocation fails.
const REJECT: [&str; 2] = [
    "/sys/kernel/debug/failslab/reject-start",
    "/sys/kernel/debug/failslab/reject-end",
];

/// What the kernel's code ends with. Behind it is what only ran when the kernel started.
const END_OF_CODE: &str = "_etext";

/// Sets the kernel up, and opens the number of the calling thread.
pub fn prepare() -> Outcome<File> {
    let number = match File::options().read(true).write(true).open(NUMBER) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return skip("a kernel with fault injection: x86_64-check, or arm64 of our own");
        }
        number => number?,
    };
    for (file, value) in SETTINGS {
        fs::write(format!("{DEBUGFS}/{file}"), value)?;
    }
    if fs::exists(CHECKS)? && !is_set(&fs::read_to_string(REJECT[1])?) {
        let Some(range) = spared(&fs::read_to_string(SYMBOLS)?) else {
            return fail(format_args!("{SYMBOLS} has nothing of {CHECKS}"));
        };
        for (file, address) in REJECT.iter().zip(range) {
            fs::write(file, format!("{address:#x}"))?;
        }
    }
    Ok(number)
}

/// Whether an address, as debugfs shows it, is not zero: reading all symbols takes its time, so it is
/// done once.
fn is_set(address: &str) -> bool {
    address
        .trim()
        .trim_start_matches("0x")
        .contains(|digit| digit != '0')
}

/// Where the code is whose allocations do not fail: from its first function to the next one after
/// its last.
fn spared(symbols: &str) -> Option<[u64; 2]> {
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
    // A range that took in what lies behind would have nearly everything in it.
    let code = all.iter().position(|(_, name)| *name == END_OF_CODE)?;
    let all = &all[..=code];
    let spared = |(_, name): &&(u64, &str)| SPARED.iter().any(|start| name.starts_with(start));
    let start = all.iter().find(spared)?.0;
    let last = all.iter().rev().find(spared)?.0;
    let end = all.iter().find(|(address, _)| *address > last)?.0;
    Some([start, end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_zeroes_is_none() {
        assert!(is_set("0xffffffff81197fe0\n"));
        assert!(!is_set("0x0000000000000000\n"));
    }

    #[test]
    fn the_spared_range_ends_with_the_next_function() {
        let symbols = "\
            0000000000000100 T before\n\
            0000000000000200 t dma_debug_entry_alloc\n\
            0000000000000300 T debug_dma_map_sg\n\
            0000000000000400 T after\n\
            0000000000000500 T _etext\n\
            0000000000000600 t dma_debug_fs_init\n\
            0000000000000700 T start_kernel\n\
            0000000000000050 d dma_debug_data\n\
            0000000000000900 t debug_dma_other [module]\n";
        assert_eq!(spared(symbols), Some([0x200, 0x400]));
        assert_eq!(
            spared("0000000000000100 T before\n0000000000000500 T _etext\n"),
            None
        );
    }
}
