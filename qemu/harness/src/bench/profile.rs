// SPDX-License-Identifier: GPL-2.0

//! In which functions of the kernel the instructions of a figure were executed.

use std::{collections::BTreeMap, fmt};

use crate::number;

/// Functions that are shown.
const SHOWN: usize = 40;

/// Addresses from here on are the kernel's.
const KERNEL: u64 = 1 << 63;

/// Instructions by function.
pub struct Profile {
    /// Most first.
    functions: Vec<(String, u64)>,
    total: u64,
}

impl Profile {
    /// Of the plugin's report, lines of an address and a number, and the functions of the kernel and its
    /// modules with their addresses.
    pub fn new(report: &str, functions: Vec<(u64, String)>) -> Self {
        let symbols: BTreeMap<u64, String> = functions.into_iter().collect();
        let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
        for (address, count) in report.lines().filter_map(count) {
            let name = match symbols.range(..=address).next_back() {
                _ if address < KERNEL => "(the program)",
                Some((_, name)) => name,
                None => "(unknown)",
            };
            *sums.entry(name).or_default() += count;
        }
        let mut functions: Vec<_> = sums
            .into_iter()
            .map(|(name, sum)| (name.to_owned(), sum))
            .collect();
        functions.sort_by_key(|(_, sum)| std::cmp::Reverse(*sum));
        Profile {
            total: functions.iter().map(|(_, sum)| sum).sum(),
            functions,
        }
    }
}

fn count(line: &str) -> Option<(u64, u64)> {
    let (address, count) = line.split_once(' ')?;
    let address = u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?;
    Some((address, count.parse().ok()?))
}

/// A symbol, with its module if it is in one, as in the source.
fn readable(name: &str) -> String {
    let (symbol, module) = name.split_once(' ').unwrap_or((name, ""));
    format!("{:#} {module}", rustc_demangle::demangle(symbol))
        .trim_end()
        .to_owned()
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:>16}  {:>6}  function", "instructions", "share")?;
        for (name, sum) in self.functions.iter().take(SHOWN) {
            let share = *sum as f64 / self.total as f64 * 100.0;
            let sum = number::grouped(*sum);
            writeln!(f, "{sum:>16}  {share:>5.1} %  {}", readable(name))?;
        }
        write!(f, "{:>16}  100.0 %  in all", number::grouped(self.total))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_belong_to_the_function_they_are_in() {
        let functions = [
            (0xffff_ffff_8100_0000, "one"),
            (0xffff_ffff_8100_0100, "two"),
            (0xffff_ffff_c000_0000, "three [udmabuf_rs]"),
        ];
        let functions = functions.map(|(address, name)| (address, name.to_owned()));
        let report = "0xffffffff81000010 5\n0xffffffff810001ff 70\n0x401000 3\n\
                      0xffffffffc0000004 20\n0xffffffff81000020 2\nnonsense\n";
        let profile = Profile::new(report, functions.into());
        let functions: Vec<_> = profile
            .functions
            .iter()
            .map(|(name, sum)| (name.as_str(), *sum))
            .collect();
        assert_eq!(
            functions,
            [
                ("two", 70),
                ("three [udmabuf_rs]", 20),
                ("one", 7),
                ("(the program)", 3)
            ]
        );
        assert_eq!(profile.total, 100);
        assert!(profile.to_string().contains("70.0 %  two"));
    }

    #[test]
    fn symbols_are_readable() {
        let mangled = "_RNvMs1_NtNtCshprGGaU4Y1_10udmabuf_rs3ffi5folioNtB5_11PinnedPages6append";
        assert_eq!(
            readable(&format!("{mangled} [udmabuf_rs]")),
            "<udmabuf_rs::ffi::folio::PinnedPages>::append [udmabuf_rs]"
        );
        assert_eq!(readable("memfd_pin_folios"), "memfd_pin_folios");
    }
}
