// SPDX-License-Identifier: GPL-2.0

//! Bringing a page and a device's copy of it to agreement, by what changed in each.
//!
//! The *shadow* is the copy that the device works on. The *twin* beside it, which nobody else
//! sees, holds what page and shadow had in common at the last hand-over: a byte that differs from
//! the twin has changed since. [`collect`] takes to the page what changed in the shadow,
//! [`publish`] takes to the shadow what changed in the page, and no other byte is touched. This is
//! the twin and diff of distributed shared memory (Carter, Bennett and Zwaenepoel, "Implementation
//! and performance of Munin", 1991).
//!
//! # Rules
//!
//! Page and shadow may be written by others meanwhile.
//!
//! 1. Words are compared, but only bytes that changed are stored: the byte beside them may be
//!    somebody else's, and be written just now.
//! 2. Each word is loaded once for each decision, and what was loaded is what goes to the other
//!    side and to the twin. A second load could see a later value, which would then be in the
//!    twin, but on one side only: a change that nobody finds any more.
//! 3. Where both sides changed a byte, [`Stands`] says whose is kept. That is decided while the
//!    twin still tells: a collect that took everything, followed by a publish, would find nothing
//!    left of what the page had.

use core::ops::Range;
use kernel::prelude::*;

/// Eight bytes; the unit of comparison.
pub(crate) type Word = u64;

/// Memory that others may write at any time, in words.
pub(crate) trait Memory {
    /// Loads the word, once.
    fn load(&self, index: usize) -> Word;

    /// Stores those bytes of `value` where `bytes` is 0xff, and touches no others, where it is 0.
    fn store(&self, index: usize, value: Word, bytes: Word);
}

/// Whose byte is kept where page and shadow both changed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// The page's: the CPU may have written on purpose.
    Page,
    /// The shadow's: the CPU is about to look at what the device wrote.
    Device,
}

/// 0xff for every byte in which the words differ, 0 for the others.
fn changed(one: Word, other: Word) -> Word {
    const LOW: Word = 0x7f7f_7f7f_7f7f_7f7f;
    let difference = one ^ other;
    if difference == 0 {
        return 0;
    }
    // The top bit of each byte that is not 0; no byte carries into the next.
    let tops = (((difference & LOW) + LOW) | difference) & !LOW;
    (tops >> 7) * 0xff
}

/// `old`, with the selected bytes of `new`.
fn replaced(old: Word, new: Word, bytes: Word) -> Word {
    (old & !bytes) | (new & bytes)
}

/// How many bytes are selected. A kernel for every x86-64 has no instruction that counts bits.
fn count(bytes: Word) -> usize {
    const ONES: Word = 0x0101_0101_0101_0101;
    // CAST: 8 at most; the sum of all bytes is in the topmost.
    ((bytes & ONES).wrapping_mul(ONES) >> 56) as usize
}

/// Gives the shadow, and the twin if there is one, what is in the page: all three hold the same
/// then, of one load each.
pub(crate) fn fill(
    page: &impl Memory,
    shadow: &impl Memory,
    words: usize,
    twin: Option<&mut [Word]>,
) {
    let mut twin = twin.into_iter().flatten();
    for index in 0..words {
        let value = page.load(index);
        shadow.store(index, value, !0);
        if let Some(twin) = twin.next() {
            *twin = value;
        }
    }
}

/// Gives the twin what is in a shadow that its device has not written yet.
pub(crate) fn remember(shadow: &impl Memory, twin: &mut [Word]) {
    for (index, twin) in twin.iter_mut().enumerate() {
        *twin = shadow.load(index);
    }
}

/// The words of a twin among `words`, with their numbers.
fn among(twin: &mut [Word], words: Range<usize>) -> impl Iterator<Item = (usize, &mut Word)> {
    let first = words.start;
    let part = twin.get_mut(words).unwrap_or_default();
    let numbers = first..first + part.len();
    numbers.zip(part)
}

/// Takes the selected bytes of a word to the other side and to the twin. Returns how many they are.
fn take(to: &impl Memory, index: usize, value: Word, bytes: Word, twin: &mut Word) -> usize {
    to.store(index, value, bytes);
    // Most that changed changed as a whole: a picture, a packet.
    if bytes == !0 {
        *twin = value;
        return size_of::<Word>();
    }
    *twin = replaced(*twin, value, bytes);
    count(bytes)
}

/// Takes to the page what the device changed in `words` of the shadow. Where the page changed as well
/// and its byte `stands`, that is left for [`publish`]. Returns how many bytes were taken.
pub(crate) fn collect(
    page: &impl Memory,
    shadow: &impl Memory,
    twin: &mut [Word],
    words: Range<usize>,
    stands: Stands,
) -> usize {
    let mut taken = 0;
    for (index, twin) in among(twin, words) {
        let theirs = shadow.load(index);
        let mut bytes = changed(theirs, *twin);
        if bytes == 0 {
            continue;
        }
        if stands == Stands::Page {
            bytes &= !changed(page.load(index), *twin);
        }
        if bytes != 0 {
            taken += take(page, index, theirs, bytes, twin);
        }
    }
    taken
}

/// Takes to the shadow what changed in `words` of the page. Returns how many bytes were taken.
pub(crate) fn publish(
    page: &impl Memory,
    shadow: &impl Memory,
    twin: &mut [Word],
    words: Range<usize>,
) -> usize {
    let mut taken = 0;
    for (index, twin) in among(twin, words) {
        let ours = page.load(index);
        let bytes = changed(ours, *twin);
        if bytes != 0 {
            taken += take(shadow, index, ours, bytes, twin);
        }
    }
    taken
}

/// Takes to a shadow that its device only reads, and that needs no twin therefore, what differs in
/// those `words` of the page. Returns how many bytes were taken.
pub(crate) fn refresh(page: &impl Memory, shadow: &impl Memory, words: Range<usize>) -> usize {
    let mut taken = 0;
    for index in words {
        let ours = page.load(index);
        let bytes = changed(ours, shadow.load(index));
        if bytes != 0 {
            shadow.store(index, ours, bytes);
            taken += count(bytes);
        }
    }
    taken
}

#[kunit_tests(udmabuf_merge)]
mod tests {
    use super::*;
    use core::cell::Cell;

    /// Memory that remembers which bytes were stored, and how often it was looked at.
    struct Fake<const N: usize> {
        words: [Cell<Word>; N],
        stored: [Cell<Word>; N],
        loads: Cell<usize>,
    }

    impl<const N: usize> Fake<N> {
        fn new(words: [Word; N]) -> Self {
            Self {
                words: words.map(Cell::new),
                stored: [0; N].map(Cell::new),
                loads: Cell::new(0),
            }
        }

        fn is(&self, words: [Word; N]) -> bool {
            (0..N).all(|index| self.words[index].get() == words[index])
        }

        fn stored(&self, bytes: [Word; N]) -> bool {
            (0..N).all(|index| self.stored[index].get() == bytes[index])
        }
    }

    impl<const N: usize> Memory for Fake<N> {
        fn load(&self, index: usize) -> Word {
            self.loads.set(self.loads.get() + 1);
            self.words[index].get()
        }

        fn store(&self, index: usize, value: Word, bytes: Word) {
            self.words[index].set(replaced(self.words[index].get(), value, bytes));
            self.stored[index].set(self.stored[index].get() | bytes);
        }
    }

    #[test]
    fn bytes_that_differ() {
        assert_eq!(changed(0, 0), 0);
        assert_eq!(changed(!0, 0), !0);
        assert_eq!(changed(0x80, 0), 0xff);
        assert_eq!(changed(0x0100, 0), 0xff00);
        assert_eq!(changed(0x7f01_0000_0000_8000, 0), 0xffff_0000_0000_ff00);
        assert_eq!(changed(0x1234, 0x1235), 0xff);
        for byte in 0..8 {
            for bit in 0..8 {
                let word = 1 << (8 * byte + bit);
                assert_eq!(changed(word, 0), 0xff << (8 * byte));
                assert_eq!(changed(!word, !0), 0xff << (8 * byte));
            }
        }
    }

    #[test]
    fn each_side_gets_what_the_other_changed_and_nothing_else() {
        let page = Fake::new([0x11_22, 5]);
        let shadow = Fake::new([0x01_02_33, 5]);
        let mut twin = [0x01_02_22, 5];
        // The page lost its third byte and changed its second; the shadow changed its first.
        assert_eq!(collect(&page, &shadow, &mut twin, 0..2, Stands::Page), 1);
        assert!(page.is([0x11_33, 5]) && page.stored([0xff, 0]));
        assert_eq!(publish(&page, &shadow, &mut twin, 0..2), 2);
        assert!(shadow.is([0x11_33, 5]) && shadow.stored([0xff_ff00, 0]));
        assert_eq!(twin, [0x11_33, 5]);
        let taken = collect(&page, &shadow, &mut twin, 0..2, Stands::Device);
        assert_eq!(taken, 0);
        assert_eq!(publish(&page, &shadow, &mut twin, 0..2), 0);
    }

    #[test]
    fn where_both_changed_one_stands() {
        for (stands, kept) in [(Stands::Page, 0xaa), (Stands::Device, 0xbb)] {
            let page = Fake::new([0xaa]);
            let shadow = Fake::new([0xbb]);
            let mut twin = [0xcc];
            collect(&page, &shadow, &mut twin, 0..1, stands);
            publish(&page, &shadow, &mut twin, 0..1);
            assert!(page.is([kept]) && shadow.is([kept]));
            assert_eq!(twin, [kept]);
        }
    }

    #[test]
    fn each_word_is_loaded_once() {
        for stands in [Stands::Page, Stands::Device] {
            let page = Fake::new([1, 2, 3]);
            let shadow = Fake::new([1, 0, 4]);
            let mut twin = [1, 0, 3];
            collect(&page, &shadow, &mut twin, 0..3, stands);
            // The page's word matters where the shadow's changed, if the page stands.
            let looked = usize::from(stands == Stands::Page);
            assert_eq!((shadow.loads.get(), page.loads.get()), (3, looked));
            publish(&page, &shadow, &mut twin, 0..3);
            assert_eq!((shadow.loads.get(), page.loads.get()), (3, looked + 3));
        }
    }

    #[test]
    fn filled_from_one_load() {
        let page = Fake::new([1, 2]);
        let shadow = Fake::new([9, 9]);
        let mut twin = [7, 7];
        fill(&page, &shadow, 2, Some(&mut twin));
        assert!(shadow.is([1, 2]) && page.loads.get() == 2 && shadow.loads.get() == 0);
        assert_eq!(twin, [1, 2]);
        fill(&page, &shadow, 2, None);
        assert!(shadow.is([1, 2]));
    }

    #[test]
    fn without_a_twin_only_differences_are_stored() {
        let page = Fake::new([0x01_02, 3]);
        let shadow = Fake::new([0x01_04, 3]);
        assert_eq!(refresh(&page, &shadow, 0..2), 1);
        assert!(shadow.is([0x01_02, 3]) && shadow.stored([0xff, 0]));
        let mut twin = [0, 0];
        remember(&shadow, &mut twin);
        assert_eq!(twin, [0x01_02, 3]);
    }

    #[test]
    fn other_words_are_left_alone() {
        let page = Fake::new([1, 2, 3, 4]);
        let shadow = Fake::new([1, 9, 8, 7]);
        let mut twin = [1, 2, 3, 4];
        let taken = collect(&page, &shadow, &mut twin, 1..2, Stands::Device);
        assert!(taken == 1 && page.is([1, 9, 3, 4]) && twin == [1, 9, 3, 4]);
        let page = Fake::new([5, 5, 5, 5]);
        let taken = publish(&page, &shadow, &mut twin, 3..4);
        assert!(taken == 1 && shadow.is([1, 9, 8, 5]) && twin == [1, 9, 3, 5]);
        assert_eq!(refresh(&page, &shadow, 0..1), 1);
        assert!(shadow.is([5, 9, 8, 5]));
        // There is nothing behind the twin.
        let taken = collect(&page, &shadow, &mut twin, 3..5, Stands::Device);
        assert_eq!(taken, 0);
    }
}
