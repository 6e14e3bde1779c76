// SPDX-License-Identifier: GPL-2.0

//! How many sites each scenario has at least. Kernels differ, and so do their checks, which have
//! allocations of their own: these are three quarters of what was counted in Linux 7.3, and of copies
//! all. A scenario that has fewer does not come to where memory is short any more.

use selftests::Outcome;
use selftests::machine;
use selftests::outcome::fail;

/// What the number of sites depends on.
enum Class {
    /// x86-64 with the checking kernel; a device that reaches the memory works on it.
    Direct,
    /// The same, but every device works on a copy.
    Bounced,
    /// arm64 with the plain kernel.
    Arm64,
}

impl Class {
    fn here() -> Outcome<Class> {
        Ok(match machine::always_bounces()? {
            _ if cfg!(target_arch = "aarch64") => Class::Arm64,
            true => Class::Bounced,
            false => Class::Direct,
        })
    }
}

/// Name, and the least for each class, in the order of [`Class`].
const LEAST: &[(&str, [usize; 3])] = &[
    ("create_one_page", [9, 9, 4]),
    ("create_200_pieces", [24, 24, 12]),
    ("create_in_a_mode", [10, 12, 6]),
    ("create_200_pieces_in_a_mode", [24, 25, 12]),
    ("create_checked", [13, 14, 7]),
    ("create_automatic", [18, 17, 9]),
    ("touch_checked", [32, 31, 17]),
    ("touch_automatic", [6, 6, 3]),
    ("touch_automatic_bounced", [6, 6, 3]),
    ("create_1300_fresh_pages", [1024, 1023, 1003]),
    ("create_1300_filled_pages", [18, 16, 8]),
    ("create_fresh_huge_page", [13, 13, 7]),
    ("create_of_all_kinds", [16, 15, 8]),
    ("map_and_touch", [17, 17, 7]),
    ("map_and_fork", [100, 97, 45]),
    ("split_and_close", [6, 6, 3]),
    ("attach_and_detach", [8, 9, 5]),
    ("map_both_ways", [14, 24, 6]),
    ("map_to_device", [13, 15, 6]),
    ("map_from_device", [14, 24, 6]),
    ("map_both_ways_bounced", [24, 24, 13]),
    ("map_to_device_bounced", [15, 15, 9]),
    ("map_from_device_bounced", [24, 25, 13]),
    ("map_one_page_bounced", [18, 17, 4]),
    ("import_and_destroy", [22, 33, 11]),
    ("import_and_destroy_bounced", [32, 32, 18]),
    ("shadow_that_gets_a_writer", [22, 22, 9]),
    ("two_buffers_over_the_same_pages", [66, 88, 39]),
    ("bracket_without_device", [6, 6, 6]),
    ("bracket_with_1_device", [6, 6, 6]),
    ("bracket_with_2_devices", [6, 6, 6]),
    ("bracket_with_3_devices", [6, 6, 6]),
    ("bracket_with_1_bounced", [6, 6, 6]),
    ("bracket_with_2_bounced", [6, 6, 6]),
    ("bracket_with_3_bounced", [6, 6, 6]),
    ("bracket_with_both", [6, 6, 6]),
    ("range_with_both", [4, 4, 4]),
    ("query_a_buffer", [4, 4, 4]),
    ("kernel_writes_and_reads", [15, 16, 9]),
    ("load_and_unload", [651, 647, 158]),
];

/// The least for a scenario on this machine.
pub fn least(name: &str) -> Outcome<usize> {
    let mut scenarios = LEAST.iter();
    match scenarios.find(|(other, _)| *other == name) {
        Some((_, least)) => Ok(least[Class::here()? as usize]),
        None => fail(format_args!("{name}: no such line in sites.rs")),
    }
}
