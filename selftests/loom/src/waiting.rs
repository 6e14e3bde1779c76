// SPDX-License-Identifier: GPL-2.0

//! Threads that end accesses at the same time, of which some leave the hand-over to others.

use loom::{
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        Arc,
    },
    thread,
};

use crate::{
    ffi::wait::Signals,
    turns::{Turn, Turns},
};

/// Bytes of two threads, and what a device sees of them.
struct Buffer {
    turns: Turns,
    page: [AtomicU64; 2],
    memory: [AtomicU64; 2],
}

impl Buffer {
    fn new() -> Arc<Self> {
        let zeroes = || [AtomicU64::new(0), AtomicU64::new(0)];
        let buffer = Arc::new(Self {
            turns: Turns::new(),
            page: zeroes(),
            memory: zeroes(),
        });
        // From now on, the numbers stay where they are.
        buffer.end();
        buffer
    }

    fn end(&self) {
        let handed_over = self.turns.take(Turn::EndOfWriting, Signals::Fatal, |lead| {
            lead.begin();
            for (page, memory) in self.page.iter().zip(&self.memory) {
                memory.store(page.load(Relaxed), Relaxed);
            }
            Ok(())
        });
        assert!(handed_over.is_ok());
    }

    fn write_and_end(&self, byte: usize) {
        self.page[byte].store(1, Relaxed);
        self.end();
        let seen = self.memory[byte].load(Relaxed);
        assert_eq!(seen, 1, "the hand-over that it waited for left it out");
    }
}

/// Both have written and end.
pub fn ends_beside_each_other() {
    let buffer = Buffer::new();
    let other = thread::spawn({
        let buffer = buffer.clone();
        move || buffer.write_and_end(1)
    });
    buffer.write_and_end(0);
    other.join().unwrap();
}
