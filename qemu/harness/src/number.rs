// SPDX-License-Identifier: GPL-2.0

//! Numbers as a reader wants them.

/// A number with commas between thousands.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count: exact as long as it is short, else with three digits.
pub fn count(number: u64) -> String {
    let value = number as f64;
    match number {
        0..1_000_000 => grouped(number),
        1_000_000..999_500_000 => format!("{} M", three_digits(value / 1e6)),
        _ => format!("{} G", three_digits(value / 1e9)),
    }
}

/// A size in the largest unit that it has at least one of.
pub fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let Some((unit, name)) = units.into_iter().find(|(unit, _)| bytes >= *unit) else {
        return format!("{bytes} B");
    };
    if bytes.is_multiple_of(unit) {
        format!("{} {name}", bytes / unit)
    } else {
        format!("{} {name}", three_digits(bytes as f64 / unit as f64))
    }
}

/// One number as a multiple of another, or as a fraction where that is small; none of nothing.
pub fn ratio(one: u64, of: u64) -> Option<String> {
    if of == 0 {
        return None;
    }
    let ratio = one as f64 / of as f64;
    Some(match one {
        0 => "0".into(),
        _ if ratio < 0.1 => format!("1/{}", three_digits((1.0 / ratio).round())),
        _ => three_digits(ratio),
    })
}

/// Three digits that mean something; a whole number has nothing behind the point.
fn three_digits(value: f64) -> String {
    if value >= 999.5 {
        // The digits after the third would pretend to know.
        let unit = 10_f64.powf(value.log10().floor() - 2.0);
        return grouped(((value / unit).round() * unit) as u64);
    }
    match value {
        _ if value >= 10.0 && value.fract() == 0.0 => format!("{value:.0}"),
        ..9.995 => format!("{value:.2}"),
        ..99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_below_a_million() {
        assert_eq!(count(0), "0");
        assert_eq!(count(812), "812");
        assert_eq!(count(3_700), "3,700");
        assert_eq!(count(999_999), "999,999");
        assert_eq!(count(14_437_000), "14.4 M");
        assert_eq!(count(1_000_000), "1.00 M");
        assert_eq!(count(999_499_999), "999 M");
        assert_eq!(count(999_500_000), "1.00 G");
        assert_eq!(count(2_345_678_901_234), "2,350 G");
    }

    #[test]
    fn sizes_are_in_units_of_memory() {
        assert_eq!(size(4096), "4 KiB");
        assert_eq!(size(2 << 20), "2 MiB");
        assert_eq!(size(1 << 30), "1 GiB");
        assert_eq!(size(3 << 19), "1.50 MiB");
        assert_eq!(size(12), "12 B");
    }

    #[test]
    fn small_ratios_are_fractions() {
        assert_eq!(ratio(10, 520).unwrap(), "1/52");
        assert_eq!(ratio(83, 100).unwrap(), "0.83");
        assert_eq!(ratio(1, 10).unwrap(), "0.10");
        assert_eq!(ratio(112, 100).unwrap(), "1.12");
        assert_eq!(ratio(1234, 100).unwrap(), "12.3");
        assert_eq!(ratio(1, 52_345).unwrap(), "1/52,300");
        assert_eq!(ratio(52_345, 1).unwrap(), "52,300");
        assert_eq!(ratio(0, 7).unwrap(), "0");
        assert_eq!(ratio(7, 0), None);
    }
}
