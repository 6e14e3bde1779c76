// SPDX-License-Identifier: GPL-2.0

//! How often each block was executed.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use crate::mark::Mark;

/// A block of the guest's code.
#[derive(Debug)]
pub struct Block {
    address: u64,
    bytes: u64,
    instructions: u64,
    executed: AtomicU64,
}

/// All blocks that were ever translated, which lives as long as QEMU.
#[derive(Debug, Default)]
pub struct Counts {
    running: AtomicBool,
    blocks: Mutex<Vec<&'static Block>>,
}

impl Counts {
    /// Counts from the beginning, not from the first mark.
    pub fn from_the_beginning() -> Self {
        Counts {
            running: true.into(),
            ..Counts::default()
        }
    }

    /// A block has been translated, perhaps once more.
    pub fn block(&self, address: u64, bytes: u64, instructions: u64) -> &'static Block {
        let block = Box::leak(Box::new(Block {
            address,
            bytes,
            instructions,
            executed: AtomicU64::new(0),
        }));
        let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        blocks.push(block);
        block
    }

    /// A block is executed.
    pub fn execute(&self, block: &Block) {
        if self.running.load(Relaxed) {
            block.executed.fetch_add(1, Relaxed);
        }
    }

    /// The program has passed a mark.
    pub fn pass(&self, mark: Mark) {
        self.running.store(mark == Mark::Start, Relaxed);
    }

    /// Writes a line for each address: the address, the bytes of the longest block there, and the
    /// instructions executed in all of them.
    ///
    /// # Errors
    ///
    /// Those of writing.
    pub fn report(&self, mut to: impl Write) -> io::Result<()> {
        let mut sums: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        for block in blocks.iter() {
            let count = block.executed.load(Relaxed) * block.instructions;
            if count > 0 {
                let (bytes, sum) = sums.entry(block.address).or_default();
                *bytes = block.bytes.max(*bytes);
                *sum += count;
            }
        }
        for (address, (bytes, count)) in sums {
            writeln!(to, "{address:#018x} {bytes} {count}")?;
        }
        to.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_between_marks_counts() {
        let counts = Counts::default();
        let [one, again, other] = [(0x1000, 20, 5), (0x1000, 12, 3), (0x2000, 4, 1)]
            .map(|(address, bytes, instructions)| counts.block(address, bytes, instructions));
        counts.execute(one);
        counts.pass(Mark::Start);
        counts.execute(one);
        counts.execute(one);
        counts.execute(again);
        counts.pass(Mark::Stop);
        counts.execute(other);
        assert_eq!(report(&counts), "0x0000000000001000 20 13\n");
    }

    #[test]
    fn without_marks_everything_counts() {
        let counts = Counts::from_the_beginning();
        counts.execute(counts.block(0x3000, 8, 2));
        counts.block(0x4000, 8, 2);
        assert_eq!(report(&counts), "0x0000000000003000 8 2\n");
    }

    fn report(counts: &Counts) -> String {
        let mut report = Vec::new();
        counts.report(&mut report).unwrap();
        String::from_utf8(report).unwrap()
    }
}
