// SPDX-License-Identifier: GPL-2.0

//! Reports of the kernel's race detector (KCSAN), of which only those matter here that are about the
//! driver: the kernel has races of its own, which it lives with.

use crate::DRIVER_MODULE;

/// What the kernel crate calls in C stands between a function of the driver and the access.
const HELPER: &str = "rust_helper_";

const FIRST_LINE: &str = "BUG: KCSAN: ";
const LAST_LINE: &str = "==================================================================";

/// Which lines of a kernel log, without times, belong to a report of a race between others than the
/// driver: neither access was made by a function of it. Other lines may stand in between.
pub fn of_others<'a>(lines: impl IntoIterator<Item = &'a str>) -> Vec<bool> {
    let mut result = Vec::new();
    let mut report: Option<Report> = None;
    for line in lines {
        if line.starts_with(FIRST_LINE) {
            report = Some(Report::new(result.len()));
        }
        result.push(report.is_some());
        let Some(current) = &mut report else { continue };
        current.line(line);
        if line.starts_with(LAST_LINE) {
            current.judge(&mut result);
            report = None;
        }
    }
    if let Some(unfinished) = report {
        unfinished.judge(&mut result);
    }
    result
}

/// A report that is being read.
struct Report {
    first: usize,
    ours: bool,
    /// The next frame of a stack is the one that made the access.
    at_top: bool,
}

impl Report {
    fn new(first: usize) -> Self {
        Report {
            first,
            ours: false,
            at_top: false,
        }
    }

    fn line(&mut self, line: &str) {
        if line.contains(" bytes by ") && line.ends_with(':') {
            self.at_top = true;
        } else if self.at_top && is_frame(line) && !line.trim_start().starts_with(HELPER) {
            self.ours |= line.trim_end().ends_with(&format!("[{DRIVER_MODULE}]"));
            self.at_top = false;
        }
    }

    /// Takes back what was said of the lines of a report that is about the driver.
    fn judge(&self, lines: &mut [bool]) {
        if self.ours {
            lines[self.first..].fill(false);
        }
    }
}

/// Whether a line is like ` function+0x12/0x34 [module]`.
fn is_frame(line: &str) -> bool {
    let function = line.split_whitespace().next().unwrap_or("");
    line.starts_with(' ') && function.contains("+0x") && function.contains("/0x")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(first: &str, second: &str) -> Vec<String> {
        let text = format!(
            "fine
==================================================================
BUG: KCSAN: data-race in one / other

write to 0xffff8880 of 8 bytes by task 77 on cpu 1:
 {first}
 kernel_function+0x1/0x2
 ioctl+0x3/0x4 [udmabuf_rs]

read (marked) to 0xffff8880 of 8 bytes by task 78 on cpu 0:
 {second}
 entry+0x3/0x4

value changed: 0x1 -> 0x2
==================================================================
fine"
        );
        text.lines().map(str::to_owned).collect()
    }

    fn others(lines: &[String]) -> usize {
        let found = of_others(lines.iter().map(String::as_str));
        assert_eq!(found.len(), lines.len());
        found.into_iter().filter(|line| *line).count()
    }

    #[test]
    fn races_of_the_kernel_are_others() {
        let lines = report("folio_add+0x1/0x2", "folio_get+0x1/0x2");
        // From the title to the last line.
        assert_eq!(others(&lines), lines.len() - 3);
        // A report that is cut is not forgotten either.
        assert_eq!(others(&lines[..9]), 7);
    }

    #[test]
    fn races_of_the_driver_are_not() {
        for ours in [
            ["_RNvMs_shadow+0x1/0x2 [udmabuf_rs]", "folio_get+0x1/0x2"],
            ["folio_get+0x1/0x2", "_RNvMs_shadow+0x1/0x2 [udmabuf_rs]"],
        ] {
            assert_eq!(others(&report(ours[0], ours[1])), 0);
        }
        let helper = "rust_helper_atomic_read+0x1/0x2\n _RNv_stats+0x1/0x2 [udmabuf_rs]";
        assert_eq!(others(&report("folio_get+0x1/0x2", helper)), 0);
    }
}
