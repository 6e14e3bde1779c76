// SPDX-License-Identifier: GPL-2.0

//! Which page frames are behind a mapping.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::Mapping;
use crate::PAGE;

const PATH: &str = "/proc/self/pagemap";

/// Bits of an entry: the page frame number, and whether there is one.
const FRAME: u64 = (1 << 55) - 1;
const PRESENT: u64 = 1 << 63;

/// The page frame numbers of a mapping, page by page, which are all touched for that.
///
/// # Errors
///
/// Those of reading the page map; `PermissionDenied` where the kernel hides the numbers.
pub fn frames(mapping: &Mapping) -> io::Result<Vec<u64>> {
    let pages = mapping.len() / PAGE;
    for page in 0..pages {
        mapping.touch(page * PAGE);
    }
    let mut bytes = vec![0; pages * size_of::<u64>()];
    let at = mapping.address() / PAGE * size_of::<u64>();
    File::open(PATH)?.read_exact_at(&mut bytes, at as u64)?;
    let (entries, _) = bytes.as_chunks();
    entries
        .iter()
        .map(|entry| frame(u64::from_ne_bytes(*entry)))
        .collect()
}

/// The page frame numbers of the pages at every `step` bytes of a mapping, which are touched for
/// that.
///
/// # Errors
///
/// As [`frames`].
pub fn frames_every(mapping: &Mapping, step: usize) -> io::Result<Vec<u64>> {
    let file = File::open(PATH)?;
    (0..mapping.len())
        .step_by(step)
        .map(|at| {
            mapping.touch(at);
            let entry = (mapping.address() + at) / PAGE * size_of::<u64>();
            let mut bytes = [0; size_of::<u64>()];
            file.read_exact_at(&mut bytes, entry as u64)?;
            frame(u64::from_ne_bytes(bytes))
        })
        .collect()
}

/// The first page whose frame follows that of the page before it.
pub fn beside_the_one_before(frames: &[u64]) -> Option<usize> {
    let beside = |pair: &[u64]| pair[1] == pair[0] + 1;
    frames.windows(2).position(beside).map(|before| before + 1)
}

/// The page frame number in an entry.
fn frame(entry: u64) -> io::Result<u64> {
    match (entry & PRESENT != 0, entry & FRAME) {
        (false, _) => Err(io::Error::other(format!(
            "{PATH}: a page that was touched is not present"
        ))),
        (true, 0) => Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{PATH}: run this as root, the page frame numbers are hidden"),
        )),
        (true, frame) => Ok(frame),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ascending_frames_lie_beside_each_other() {
        assert_eq!(beside_the_one_before(&[]), None);
        assert_eq!(beside_the_one_before(&[4, 6, 5, 4, 8]), None);
        assert_eq!(beside_the_one_before(&[4, 6, 7, 8]), Some(2));
    }

    #[test]
    fn frame_is_in_the_low_55_bits() {
        let flags = PRESENT | 1 << 61 | 1 << 55;
        assert_eq!(frame(flags | 0x12_3456).unwrap(), 0x12_3456);
        assert!(frame(0x12_3456).is_err());
        assert_eq!(
            frame(flags).unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );
    }
}
