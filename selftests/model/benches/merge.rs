// SPDX-License-Identifier: GPL-2.0

//! What the merge of a shadow costs on this CPU, beside comparing and copying as many bytes.
//!
//! The module's own `merge.rs`, over memory that is accessed as the module does: a word at a time, each once,
//! with no vector registers, which a kernel does not have at hand. Beside it `memcmp()` and `memcpy()` of the C
//! library, which have them, and a comparison by words, which is what a kernel's `memcmp()` is.
//!
//! Two sizes: 8 KiB, where page, shadow and twin fit into a first cache of 32 KiB together, and 16 MiB,
//! where they fit into none.

use std::{cell::UnsafeCell, hint::black_box};

use criterion::{criterion_group, criterion_main, BenchmarkId, Criterion, Throughput};

#[allow(dead_code)]
#[path = "../../../src/merge.rs"]
mod merge;

use merge::{collect, publish, Memory, Stands, Word};

/// Bytes on each side.
const SIZES: [usize; 2] = [8 << 10, 16 << 20];

/// Memory that others may write, as in `ffi/words.rs`.
struct Words(Box<[UnsafeCell<Word>]>);

impl Words {
    fn new(words: usize, value: Word) -> Self {
        Words((0..words).map(|_| UnsafeCell::new(value)).collect())
    }
}

impl Memory for Words {
    #[inline]
    fn load(&self, index: usize) -> Word {
        // SAFETY: A word of ours, which nobody else has a reference to.
        unsafe { self.0[index].get().read_volatile() }
    }

    #[inline]
    fn store(&self, index: usize, value: Word, bytes: Word) {
        let at = self.0[index].get();
        if bytes == !0 {
            // SAFETY: As above.
            return unsafe { at.write_volatile(value) };
        }
        for (byte, selected) in bytes.to_ne_bytes().into_iter().enumerate() {
            if selected != 0 {
                // SAFETY: A byte of the word.
                unsafe {
                    at.cast::<u8>()
                        .add(byte)
                        .write_volatile(value.to_ne_bytes()[byte])
                };
            }
        }
    }
}

/// Neither side has changed: what most hand-overs find.
fn unchanged(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("unchanged");
    for size in SIZES {
        let words = size / size_of::<Word>();
        let (page, shadow) = (Words::new(words, 7), Words::new(words, 7));
        let mut twin = vec![7; words];
        let (one, other) = (vec![7_u8; size], vec![7_u8; size]);
        let (mine, theirs) = (vec![7_u64; words], vec![7_u64; words]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("memcmp", size), |bencher| {
            bencher.iter(|| black_box(&one[..]) == black_box(&other[..]));
        });
        group.bench_function(BenchmarkId::new("compare words", size), |bencher| {
            bencher.iter(|| {
                let both = black_box(&mine).iter().zip(black_box(&theirs));
                both.map(|(one, other)| usize::from(black_box(*one) != *other))
                    .sum::<usize>()
            });
        });
        group.bench_function(BenchmarkId::new("publish", size), |bencher| {
            bencher.iter(|| publish(&page, &shadow, &mut twin, 0..words));
        });
        group.bench_function(BenchmarkId::new("collect", size), |bencher| {
            bencher.iter(|| collect(&page, &shadow, &mut twin, 0..words, Stands::Device));
        });
    }
}

/// Each byte has changed: of two pages with no byte in common, the one that is not in the twin.
fn all_changed(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("all changed");
    for size in SIZES {
        let words = size / size_of::<Word>();
        let pages = [Words::new(words, 0), Words::new(words, !0)];
        let other = Words::new(words, 0);
        let mut twin = vec![0; words];
        let (from, mut to) = (vec![1_u8; size], vec![0_u8; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("memcpy", size), |bencher| {
            bencher.iter(|| black_box(&mut to[..]).copy_from_slice(black_box(&from)));
        });
        group.bench_function(BenchmarkId::new("publish", size), |bencher| {
            bencher.iter(|| {
                let page = &pages[usize::from(twin[0] == 0)];
                assert_eq!(publish(page, &other, &mut twin, 0..words), size);
            });
        });
        group.bench_function(BenchmarkId::new("collect", size), |bencher| {
            bencher.iter(|| {
                let shadow = &pages[usize::from(twin[0] == 0)];
                assert_eq!(
                    collect(&other, shadow, &mut twin, 0..words, Stands::Device),
                    size
                );
            });
        });
    }
}

criterion_group!(benches, unchanged, all_changed);
criterion_main!(benches);
