// SPDX-License-Identifier: GPL-2.0

//! What the importer tells whoever watches the machine from outside, such as a model of its caches.
//!
//! The messages are those of `qemu/protocol/src/channel.rs`, which says how they travel.

use crate::range::Segment;

/// What messages call a page has so many address bits, whatever the kernel's own pages have.
pub(crate) const PAGE_SHIFT: usize = 12;

/// The upper half of every header.
const MAGIC: u32 = 0xcac0_0000;
const DEVICE: u32 = 1;
const TRANSLATE: u32 = 2;

/// A message of `N` words, the header among them.
const fn header<const N: usize>(kind: u32) -> u32 {
    // CAST: A message has few words.
    MAGIC | kind << 8 | (N as u32 - 1)
}

/// The device that this is written to has number `index`, and snoops caches or not.
pub(crate) fn device(index: u32, coherent: bool) -> [u32; 3] {
    [header::<3>(DEVICE), index, coherent.into()]
}

/// Behind bus page `page` of the device that this is written to is page frame `frame`.
pub(crate) fn translate(page: u64, frame: u64) -> [u32; 5] {
    // CAST: The lower and the upper half.
    let [page, frame] = [page, frame].map(|value| [value as u32, (value >> 32) as u32]);
    [header::<5>(TRANSLATE), page[0], page[1], frame[0], frame[1]]
}

/// The bus pages that a piece of a transfer lies in.
pub(crate) fn pages(piece: Segment) -> impl Iterator<Item = u64> {
    let last = piece.length.saturating_sub(1);
    let last = piece.address.saturating_add(last) >> PAGE_SHIFT;
    piece.address >> PAGE_SHIFT..=last
}

#[kernel::macros::kunit_tests(edu_importer_channel)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_those_of_the_protocol() {
        assert_eq!(device(3, true), [0xcac0_0102, 3, 1]);
        assert_eq!(
            translate(0xf_ffff_fff0, 0x1_0000_0002),
            [0xcac0_0204, 0xffff_fff0, 0xf, 2, 1]
        );
    }

    #[test]
    fn every_page_of_a_piece_is_named() {
        for (address, length, first, last) in [
            (0x1000, 1, 1, 1),
            (0x1fff, 1, 1, 1),
            (0x1fff, 2, 1, 2),
            (0x1000, 0x1000, 1, 1),
            (0x1001, 0x1000, 1, 2),
        ] {
            assert!(pages(Segment { address, length }).eq(first..=last));
        }
    }
}
