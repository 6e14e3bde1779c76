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
    /// Of the plugin's report, lines of an address, bytes and a number, and the functions of the kernel and its
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
    let mut words = line.split(' ');
    let address = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some((address, words.nth(1)?.parse().ok()?))
}

/// A symbol, with its module if it is in one, as in the source.
fn readable(name: &str) -> String {
    let (symbol, module) = name.split_once(' ').unwrap_or((name, ""));
    format!("{:#} {module}", rustc_demangle::demangle(symbol))
        .trim_end()
        .to_owned()
}

/// Two profiles of the same, side by side: what each driver executes where.
pub struct Comparison {
    /// Of ours and of the C driver, by function; those first that differ most.
    functions: Vec<(String, [u64; 2])>,
    medians: [u64; 2],
}

impl Comparison {
    /// Of our driver and of the C driver: a profile, and the figure that was measured, over which the
    /// instructions are spread.
    pub fn new(both: [(&Profile, u64); 2]) -> Self {
        let mut sums: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        for (index, (profile, median)) in both.iter().enumerate() {
            for (name, sum) in &profile.functions {
                // CAST: Not negative, and no more than the median.
                let share = (*sum as f64 / profile.total as f64 * *median as f64).round() as u64;
                sums.entry(name).or_default()[index] = share;
            }
        }
        let mut functions: Vec<_> = sums
            .into_iter()
            .map(|(name, sums)| (readable(name), sums))
            .collect();
        functions.sort_by_key(|(_, [rust, c])| std::cmp::Reverse(rust.abs_diff(*c)));
        Comparison {
            functions,
            medians: both.map(|(_, median)| median),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>11}  {:>11}  {:>11}  function",
            "rust", "c", "difference"
        )?;
        let all = ("in all".to_owned(), self.medians);
        let shown = self.functions.iter().take(SHOWN);
        for (name, [rust, c]) in shown.chain([&all]) {
            let sign = if rust < c { "-" } else { "" };
            let difference = format!("{sign}{}", number::grouped(rust.abs_diff(*c)));
            let (rust, c) = (number::grouped(*rust), number::grouped(*c));
            writeln!(f, "{rust:>11}  {c:>11}  {difference:>11}  {name}")?;
        }
        Ok(())
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
        let report = "0xffffffff81000010 9 5\n0xffffffff810001ff 9 70\n0x401000 9 3\n\
                      0xffffffffc0000004 9 20\n0xffffffff81000020 9 2\nnonsense\n";
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
    }

    #[test]
    fn what_differs_most_comes_first() {
        let profile = |functions: &[(&str, u64)]| Profile {
            functions: functions
                .iter()
                .map(|(name, sum)| ((*name).to_owned(), *sum))
                .collect(),
            total: functions.iter().map(|(_, sum)| sum).sum(),
        };
        // Of ten repetitions and of five.
        let rust = profile(&[("same", 700), ("ours", 300)]);
        let c = profile(&[("same", 350), ("theirs", 50)]);
        let text = Comparison::new([(&rust, 100), (&c, 80)]).to_string();
        let lines: Vec<Vec<_>> = text
            .lines()
            .skip(1)
            .map(|line| line.split_whitespace().collect())
            .collect();
        assert_eq!(
            lines,
            [
                vec!["30", "0", "30", "ours"],
                vec!["0", "10", "-10", "theirs"],
                vec!["70", "70", "0", "same"],
                vec!["100", "80", "20", "in", "all"],
            ]
        );
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
