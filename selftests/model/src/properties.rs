// SPDX-License-Identifier: GPL-2.0

//! The merge against its definition, byte by byte, for any content.

use std::cell::Cell;

use proptest::prelude::*;

use crate::merge::{self, Memory, Stands, Word};

const WORDS: usize = 3;

type Content = [Word; WORDS];

/// Memory that nobody else writes.
struct Plain(Cell<Content>);

impl Memory for Plain {
    fn load(&self, index: usize) -> Word {
        self.0.get()[index]
    }

    fn store(&self, index: usize, value: Word, bytes: Word) {
        let mut content = self.0.get();
        content[index] = (content[index] & !bytes) | (value & bytes);
        self.0.set(content);
    }
}

fn bytes(content: Content) -> Vec<u8> {
    content.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// Page, shadow and twin, of which many bytes are the same.
fn contents() -> impl Strategy<Value = [Content; 3]> {
    let byte = prop_oneof![Just(0u8), Just(0x80), Just(0xff), any::<u8>()];
    proptest::collection::vec(byte, 3 * WORDS * size_of::<Word>()).prop_map(|bytes| {
        let mut words = bytes
            .chunks_exact(size_of::<Word>())
            .map(|word| Word::from_ne_bytes(word.try_into().expect("eight bytes")));
        std::array::from_fn(|_| std::array::from_fn(|_| words.next().expect("nine words")))
    })
}

proptest! {
    #[test]
    fn collect_and_publish_are_what_they_are_said_to_be(
        [page, shadow, twin] in contents(),
        device_stands in any::<bool>(),
    ) {
        let stands = if device_stands { Stands::Device } else { Stands::Page };
        let (p, s) = (Plain(Cell::new(page)), Plain(Cell::new(shadow)));
        let mut t = twin;
        let taken = merge::collect(&p, &s, &mut t, stands);
        let before: Vec<_> = [page, shadow, twin].map(bytes).into();
        let after: Vec<_> = [p.0.get(), s.0.get(), t].map(bytes).into();
        let mut changed = 0;
        for at in 0..8 * WORDS {
            let (page, shadow, twin) = (before[0][at], before[1][at], before[2][at]);
            let taken = shadow != twin && (device_stands || page == twin);
            changed += usize::from(taken);
            let wanted = if taken { (shadow, shadow) } else { (page, twin) };
            prop_assert_eq!((after[0][at], after[2][at]), wanted);
            prop_assert_eq!(after[1][at], shadow);
        }
        prop_assert_eq!(taken, changed);

        let published = merge::publish(&p, &s, &mut t);
        let last: Vec<_> = [p.0.get(), s.0.get(), t].map(bytes).into();
        let mut changed = 0;
        for at in 0..8 * WORDS {
            let (page, shadow, twin) = (after[0][at], after[1][at], after[2][at]);
            changed += usize::from(page != twin);
            let wanted = if page != twin { page } else { shadow };
            prop_assert_eq!((last[0][at], last[1][at]), (page, wanted));
            // Nothing that nobody wrote meanwhile is left to do.
            prop_assert!(last[0][at] == last[1][at] && last[1][at] == last[2][at]);
        }
        prop_assert_eq!(published, changed);
        prop_assert_eq!(merge::collect(&p, &s, &mut t, stands), 0);
        prop_assert_eq!(merge::publish(&p, &s, &mut t), 0);
    }

    #[test]
    fn a_refreshed_shadow_is_the_page([page, shadow, _] in contents()) {
        let (p, s) = (Plain(Cell::new(page)), Plain(Cell::new(shadow)));
        let taken = merge::refresh(&p, &s, WORDS);
        let differing = bytes(page).into_iter().zip(bytes(shadow)).filter(|(p, s)| p != s);
        prop_assert_eq!(taken, differing.count());
        prop_assert_eq!((p.0.get(), s.0.get()), (page, page));
    }
}
