// SPDX-License-Identifier: GPL-2.0

//! Times as a reader wants them.

/// Nanoseconds in a microsecond, a millisecond and a second.
pub const MICROSECOND: u64 = 1_000;
pub const MILLISECOND: u64 = 1_000_000;
pub const SECOND: u64 = 1_000_000_000;

/// A duration in microseconds, with one digit behind the point where that says something.
pub fn microseconds(nanoseconds: u64) -> String {
    let value = nanoseconds as f64 / MICROSECOND as f64;
    match nanoseconds {
        0..100_000 => format!("{value:.1}"),
        _ => crate::number::grouped(value.round() as u64),
    }
}

/// The same with its unit, or in milliseconds if it is long.
pub fn duration(nanoseconds: u64) -> String {
    match nanoseconds {
        0..MILLISECOND => format!("{} µs", microseconds(nanoseconds)),
        _ => format!("{:.1} ms", nanoseconds as f64 / MILLISECOND as f64),
    }
}

/// When something was, since `begin`, in milliseconds: as exact as the kernel writes it down.
pub fn since(begin: u64, nanoseconds: u64) -> String {
    let after = nanoseconds.saturating_sub(begin);
    format!("{:.3} ms", after as f64 / MILLISECOND as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_a_reader_needs() {
        assert_eq!(microseconds(0), "0.0");
        assert_eq!(microseconds(12_345), "12.3");
        assert_eq!(microseconds(1_234_567), "1,235");
        assert_eq!(duration(99_000), "99.0 µs");
        assert_eq!(duration(123_000), "123 µs");
        assert_eq!(duration(12_345_678), "12.3 ms");
        assert_eq!(since(1_000_000, 2_500_000), "1.500 ms");
        assert_eq!(since(2, 1), "0.000 ms");
    }
}
