// SPDX-License-Identifier: GPL-2.0

//! Cache maintenance whose page tables cannot be read yet.
//!
//! While a program runs, QEMU reads no memory for a plugin that the program could not read itself,
//! and page tables are such. So a program's maintenance waits until the same page is accessed,
//! which says where it is, or until the kernel runs: its first access comes before it can have
//! changed any table.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use rustc_hash::FxHashMap;

use crate::{instruction::Maintenance, model::PAGE_SIZE, translation::Tables};

/// An instruction that waits for its physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What it does.
    pub maintenance: Maintenance,
    /// Its operand.
    pub address: u64,
    /// Where it is itself.
    pub pc: u64,
}

/// What waits for the same page, in the order in which it was executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The page tables of that time.
    pub tables: Tables,
    /// At least one.
    pub operations: Vec<Operation>,
}

/// What waits on one CPU. Operations on different pages have no order among them that matters.
#[derive(Default)]
pub struct Queue {
    /// Spares nearly every access the lock.
    any: AtomicBool,
    pages: Mutex<FxHashMap<u64, Group>>,
}

impl Queue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// Lets an operation wait if others wait for the same page; returns whether they do.
    pub fn join(&self, operation: Operation) -> bool {
        if self.is_empty() {
            return false;
        }
        self.with(|pages| {
            let group = pages.get_mut(&page(operation.address));
            group.is_some_and(|group| {
                group.operations.push(operation);
                true
            })
        })
    }

    /// Lets operations on one page wait.
    pub fn push(&self, group: Group) {
        if let Some(&Operation { address, .. }) = group.operations.first() {
            self.with(|pages| pages.insert(page(address), group));
        }
    }

    /// Takes out what waits for the page of `address`.
    pub fn take_page(&self, address: u64) -> Vec<Operation> {
        self.with(|pages| pages.remove(&page(address)))
            .map_or_else(Vec::new, |group| group.operations)
    }

    /// Takes out everything.
    pub fn take(&self) -> Vec<Group> {
        self.with(|pages| pages.drain().map(|(_, group)| group).collect())
    }

    fn with<T>(&self, change: impl FnOnce(&mut FxHashMap<u64, Group>) -> T) -> T {
        let mut pages = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut pages);
        self.any.store(!pages.is_empty(), Ordering::Relaxed);
        result
    }
}

fn page(address: u64) -> u64 {
    address / PAGE_SIZE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(address: u64) -> Operation {
        Operation {
            maintenance: Maintenance::Zero,
            address,
            pc: 0,
        }
    }

    fn group(address: u64) -> Group {
        Group {
            tables: Tables::default(),
            operations: vec![operation(address)],
        }
    }

    #[test]
    fn operations_leave_in_order_and_once() {
        let queue = Queue::default();
        assert!(queue.is_empty());
        queue.push(group(0x1000));
        queue.push(group(0x2000));
        assert!(queue.join(operation(0x1040)));
        assert_eq!(
            queue.take_page(0x1ff8),
            [operation(0x1000), operation(0x1040)]
        );
        assert_eq!(queue.take_page(0x1000), []);
        assert!(!queue.is_empty());
        assert_eq!(queue.take(), [group(0x2000)]);
        assert!(queue.is_empty());
    }

    #[test]
    fn nobody_joins_what_does_not_wait() {
        let queue = Queue::default();
        assert!(!queue.join(operation(0x1000)));
        queue.push(group(0x2000));
        assert!(!queue.join(operation(0x1000)));
        assert_eq!(queue.take(), [group(0x2000)]);
    }
}
