// SPDX-License-Identifier: GPL-2.0

//! How many files this program may have open: a buffer is one.

use std::fs;

use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;
use selftests::outcome::Stop;

/// The most that the kernel lets any process have.
const MOST: &str = "/proc/sys/fs/nr_open";

/// Raises the limit as far as the kernel lets root, and says how far that is.
pub fn raise() -> Result<usize, Stop> {
    let most: u64 = parse(&fs::read_to_string(MOST)?)?;
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    process::setrlimit(Resource::Nofile, limit)?;
    Ok(most as usize)
}

fn parse(text: &str) -> Result<u64, Stop> {
    let number = text.trim().parse();
    number.map_err(|error| Stop::Fail(format!("{MOST}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_a_number() {
        assert_eq!(parse("1048576\n").ok(), Some(1 << 20));
        assert!(parse("").is_err());
    }
}
