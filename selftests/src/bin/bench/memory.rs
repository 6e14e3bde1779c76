// SPDX-License-Identifier: GPL-2.0

//! What the kernel holds for a buffer.

use std::fs;
use std::ops::RangeInclusive;

use protocol::bench::Pages;
use selftests::DmaBuf;
use selftests::outcome::Stop;

use crate::contender::Maker;
use crate::step::Shape;
use crate::subject::Subject;

/// How many buffers there are for one figure. Memory is counted by the page, and comes in slabs of
/// several, so there have to be many, of which a slab more or less is a few bytes each; and several
/// of whatever size.
const BUFFERS: RangeInclusive<usize> = 8..=4096;

/// Sizes of all those buffers together, in bytes: pinning them takes long where pages are small, and
/// what is kept for each of many pages is so much that a slab is nothing beside it.
const SUM: usize = 512 << 20;
const SUM_OF_HUGE: usize = 4 << 30;

/// Kernel memory that a buffer takes beside its pages, in bytes.
pub fn of_each(maker: &Maker, subject: &Subject) -> Result<u64, Stop> {
    let count = buffers(subject.shape);
    let all = || -> Result<Vec<DmaBuf>, Stop> { (0..count).map(|_| maker.make(subject)).collect() };
    // These take what was kept for the next ones, so that the others need memory of their own.
    let first = all()?;
    let before = held()?;
    let others = all()?;
    let after = held()?;
    drop((first, others));
    Ok(after.saturating_sub(before) / count as u64)
}

/// How many buffers there are.
fn buffers(shape: Shape) -> usize {
    let sum = match shape.pages {
        Pages::Thp | Pages::Hugetlb => SUM_OF_HUGE,
        Pages::Base | Pages::Apart | Pages::Pieces => SUM,
    };
    (sum / shape.bytes).clamp(*BUFFERS.start(), *BUFFERS.end())
}

/// What the kernel holds in slabs and in vmalloc areas, in bytes.
fn held() -> Result<u64, Stop> {
    // Each CPU keeps what it has counted to itself for a while; reading this makes it hand it in.
    fs::read("/proc/sys/vm/stat_refresh")?;
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let field = |name: &str| -> Option<u64> {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next()?.parse().ok()
    };
    match (field("Slab:"), field("VmallocUsed:")) {
        (Some(slab), Some(vmalloc)) => Ok((slab + vmalloc) * 1024),
        _ => Err(Stop::Fail("/proc/meminfo lacks Slab or VmallocUsed".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_many_small_buffers_and_some_of_each_size() {
        let of = |pages, bytes| {
            buffers(Shape {
                pages,
                items: 1,
                bytes,
                pieces: 0,
            })
        };
        assert_eq!(of(Pages::Base, 4 << 10), 4096);
        assert_eq!(of(Pages::Base, 1 << 20), 512);
        assert_eq!(of(Pages::Base, 1 << 30), 8);
        assert_eq!(of(Pages::Hugetlb, 16 << 20), 256);
    }
}
