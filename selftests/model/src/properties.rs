// SPDX-License-Identifier: GPL-2.0

//! Merge, extents and limits against their definitions: byte by byte, and page by page.

use std::cell::Cell;

use proptest::prelude::*;

use crate::abi::Item;
use crate::extent::{Extents, Run};
use crate::limits::Limits;
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

/// What is pinned of each item of a request: page frames and lengths, in pages. Few enough that
/// neighbours are often contiguous.
fn pinned() -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    let piece = (0..12usize, 1..4usize);
    let item = proptest::collection::vec(piece, 0..4);
    proptest::collection::vec(item, 0..6)
}

/// The same, with what lies side by side in one.
fn stretches(pieces: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let mut stretches: Vec<(usize, usize)> = Vec::new();
    for &(pfn, length) in pieces {
        match stretches.last_mut() {
            Some(last) if last.0 + last.1 == pfn => last.1 += length,
            _ => stretches.push((pfn, length)),
        }
    }
    stretches
}

/// The page frame of every page that runs cover, and the page index at which each run begins.
fn frames(runs: impl Iterator<Item = Run>) -> (Vec<usize>, Vec<usize>) {
    let (mut frames, mut starts) = (Vec::new(), Vec::new());
    for run in runs {
        assert_eq!(run.page, frames.len(), "neither gap nor overlap");
        starts.push(run.page);
        frames.extend(run.pfn..run.pfn + run.pages);
    }
    (frames, starts)
}

proptest! {
    #[test]
    fn extents_are_the_pages_that_were_pinned(
        items in pinned(),
        batch in 1..6usize,
        range in (0..40usize, 0..40usize),
    ) {
        let mut extents = Extents::new();
        let (mut pages, mut items_at) = (Vec::new(), Vec::new());
        for item in &items {
            items_at.push(pages.len());
            for (index, batch) in item.chunks(batch).enumerate() {
                let same_item = index > 0;
                match *batch {
                    [(pfn, length)] if index % 2 == 0 => extents.push(same_item, pfn, length).unwrap(),
                    _ => {
                        let stretches = stretches(batch);
                        extents.append(same_item, batch.len(), stretches.into_iter()).unwrap();
                    }
                }
                pages.extend(batch.iter().flat_map(|&(pfn, length)| pfn..pfn + length));
            }
        }
        extents.shrink();
        prop_assert_eq!(extents.pages(), pages.len());
        // Where a page does not follow the one before it.
        let jumps = |page: &usize| *page == 0 || pages[*page] != pages[*page - 1] + 1;
        let new_run: Vec<_> = (0..pages.len()).filter(jumps).collect();
        let new_extent: Vec<_> = (0..pages.len())
            .filter(|page| jumps(page) || items_at.contains(page))
            .collect();

        prop_assert_eq!(frames(extents.runs()), (pages.clone(), new_run.clone()));
        prop_assert_eq!(extents.run_count(), new_run.len());
        prop_assert_eq!(frames(extents.iter()), (pages.clone(), new_extent.clone()));
        prop_assert_eq!(extents.len(), new_extent.len());
        let mut each = Vec::new();
        extents.each_frame(|pfn| each.push(pfn));
        prop_assert_eq!(&each, &pages);
        for page in 0..pages.len() + 2 {
            let first = extents.iter_at(page).next();
            prop_assert_eq!(extents.find(page), first);
            let holds = first.map(|run| pages[page] == run.pfn + (page - run.page));
            prop_assert_eq!(holds, (page < pages.len()).then_some(true));
        }

        let (start, length) = range;
        let wanted = pages.get(start..start + length).filter(|pages| !pages.is_empty());
        let piece = wanted.filter(|pages| pages.windows(2).all(|pair| pair[1] == pair[0] + 1));
        if length > 0 {
            let first = extents.contiguous(&(start..start + length));
            prop_assert_eq!(first, piece.map(|pages| pages[0]));
        }
    }

    #[test]
    fn limits_are_those_of_the_whole_request(
        parts in proptest::collection::vec((0..5u64, 0..5u64, 0..16u8), 0..5),
        size_mb in 0..2u32,
    ) {
        const UNIT: u64 = 256 << 10;
        let items: Vec<_> = parts
            .iter()
            .map(|&(offset, size, odd)| Item {
                memfd: 0,
                pad: 0,
                // Mostly aligned.
                offset: offset * UNIT + u64::from(odd == 1),
                size: size * UNIT + u64::from(odd == 2),
            })
            .collect();
        let aligned = parts.iter().all(|part| part.2 != 1 && part.2 != 2);
        let bytes: u64 = parts.iter().map(|part| part.1 * UNIT).sum();
        let fits = aligned && bytes > 0 && bytes <= u64::from(size_mb) << 20;
        let limits = Limits {
            list: 0,
            size_mb,
            memlock: false,
        };
        let pages = limits.check_items(&items).ok();
        prop_assert_eq!(pages, fits.then_some((bytes >> 12) as usize));
    }

    #[test]
    fn collect_and_publish_are_what_they_are_said_to_be(
        [page, shadow, twin] in contents(),
        device_stands in any::<bool>(),
    ) {
        let stands = if device_stands { Stands::Device } else { Stands::Page };
        let (p, s) = (Plain(Cell::new(page)), Plain(Cell::new(shadow)));
        let mut t = twin;
        let taken = merge::collect(&p, &s, &mut t, 0..WORDS, stands);
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

        let published = merge::publish(&p, &s, &mut t, 0..WORDS);
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
        prop_assert_eq!(merge::collect(&p, &s, &mut t, 0..WORDS, stands), 0);
        prop_assert_eq!(merge::publish(&p, &s, &mut t, 0..WORDS), 0);
    }

    #[test]
    fn a_refreshed_shadow_is_the_page([page, shadow, _] in contents()) {
        let (p, s) = (Plain(Cell::new(page)), Plain(Cell::new(shadow)));
        let taken = merge::refresh(&p, &s, 0..WORDS);
        let differing = bytes(page).into_iter().zip(bytes(shadow)).filter(|(p, s)| p != s);
        prop_assert_eq!(taken, differing.count());
        prop_assert_eq!((p.0.get(), s.0.get()), (page, page));
    }
}
