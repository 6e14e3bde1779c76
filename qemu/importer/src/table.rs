// SPDX-License-Identifier: GPL-2.0

//! Things that are known by a number.

use kernel::{
    prelude::*,
    rbtree::RBTree, //
};

/// Values under numbers that count up from 1 and are never used twice.
pub(crate) struct Table<T> {
    /// In the order of their numbers, which is the order of insertion. A tree, so that what the
    /// exporter costs can be measured beside many of them.
    entries: RBTree<u32, T>,
    /// The number given out last.
    last: u32,
}

impl<T> Table<T> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self {
            entries: RBTree::new(),
            last: 0,
        }
    }

    /// Adds a value and returns its number.
    ///
    /// Fails with [`ENOMEM`], and with [`EOVERFLOW`] when there is no further number.
    pub(crate) fn insert(&mut self, value: T) -> Result<u32> {
        let number = self.last.checked_add(1).ok_or(EOVERFLOW)?;
        self.entries
            .try_create_and_insert(number, value, GFP_KERNEL)?;
        self.last = number;
        Ok(number)
    }

    /// The value under `number`. Fails with [`ENOENT`].
    pub(crate) fn get(&self, number: u32) -> Result<&T> {
        self.entries.get(&number).ok_or(ENOENT)
    }

    /// The value under `number`, to be changed. Fails with [`ENOENT`].
    pub(crate) fn get_mut(&mut self, number: u32) -> Result<&mut T> {
        self.entries.get_mut(&number).ok_or(ENOENT)
    }

    /// Takes the value under `number` out. Fails with [`ENOENT`].
    pub(crate) fn remove(&mut self, number: u32) -> Result<T> {
        self.entries.remove(&number).ok_or(ENOENT)
    }

    /// Takes the value that was inserted last out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let (_, last) = self.entries.cursor_back_mut()?.remove_current();
        Some(last.to_key_value().1)
    }

    /// All values, oldest first.
    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.entries.values()
    }
}

#[kunit_tests(edu_importer_table)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_up_and_never_come_back() -> Result {
        let mut table = Table::new();
        assert_eq!(table.insert('a')?, 1);
        assert_eq!(table.insert('b')?, 2);
        assert_eq!(table.remove(2)?, 'b');
        assert_eq!(table.insert('c')?, 3);
        assert!(table.values().eq(['a', 'c'].iter()));
        Ok(())
    }

    #[test]
    fn unknown_numbers_are_enoent() -> Result {
        let mut table = Table::new();
        assert!(table.values().next().is_none());
        table.insert('a')?;
        table.insert('b')?;
        table.remove(1)?;
        for number in [0, 1, 3, u32::MAX] {
            assert_eq!(table.get(number).err(), Some(ENOENT));
            assert_eq!(table.get_mut(number).err(), Some(ENOENT));
            assert_eq!(table.remove(number).err(), Some(ENOENT));
        }
        *table.get_mut(2)? = 'c';
        assert_eq!(*table.get(2)?, 'c');
        Ok(())
    }

    #[test]
    fn pop_takes_the_youngest_first() -> Result {
        let mut table = Table::new();
        for value in ['a', 'b', 'c'] {
            table.insert(value)?;
        }
        assert_eq!(table.pop(), Some('c'));
        assert_eq!(table.pop(), Some('b'));
        assert_eq!(table.pop(), Some('a'));
        assert_eq!(table.pop(), None);
        Ok(())
    }

    #[test]
    fn the_last_number_is_the_end() -> Result {
        let mut table = Table::new();
        table.last = u32::MAX - 1;
        assert_eq!(table.insert('a')?, u32::MAX);
        assert_eq!(table.insert('b').err(), Some(EOVERFLOW));
        assert_eq!(*table.get(u32::MAX)?, 'a');
        Ok(())
    }
}
