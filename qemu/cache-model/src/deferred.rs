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
    /// The tables of that time.
    pub tables: Tables,
}

/// What waits on one CPU, in the order in which it was executed.
#[derive(Default)]
pub struct Queue {
    /// Spares nearly every access the lock.
    any: AtomicBool,
    operations: Mutex<Vec<Operation>>,
}

impl Queue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Relaxed)
    }

    /// Lets an operation wait.
    pub fn push(&self, operation: Operation) {
        self.with(|operations| operations.push(operation));
    }

    /// Takes out what waits for the page of `address`.
    pub fn take_page(&self, address: u64) -> Vec<Operation> {
        self.with(|operations| {
            let page = address / PAGE_SIZE;
            let of_page = |operation: &mut Operation| operation.address / PAGE_SIZE == page;
            operations.extract_if(.., of_page).collect()
        })
    }

    /// Takes out everything.
    pub fn take(&self) -> Vec<Operation> {
        self.with(std::mem::take)
    }

    fn with<T>(&self, change: impl FnOnce(&mut Vec<Operation>) -> T) -> T {
        let mut operations = self
            .operations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut operations);
        self.any.store(!operations.is_empty(), Ordering::Relaxed);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(address: u64) -> Operation {
        Operation {
            maintenance: Maintenance::Zero,
            address,
            pc: 0,
            tables: Tables::default(),
        }
    }

    #[test]
    fn operations_leave_in_order_and_once() {
        let queue = Queue::default();
        assert!(queue.is_empty());
        for address in [0x1000, 0x2000, 0x1040, 0x3000] {
            queue.push(operation(address));
        }
        assert_eq!(
            queue.take_page(0x1ff8),
            [operation(0x1000), operation(0x1040)]
        );
        assert_eq!(queue.take_page(0x1000), []);
        assert!(!queue.is_empty());
        assert_eq!(queue.take(), [operation(0x2000), operation(0x3000)]);
        assert!(queue.is_empty());
    }
}
