// SPDX-License-Identifier: GPL-2.0

//! The rows and columns of the table.

use selftests::Errno;
use selftests::Outcome;

use crate::stage::Hand;

/// Stands for every other operation.
pub const ANY: &str = "";

/// Something that one of two does, in several steps with pauses in between.
pub struct Operation {
    pub name: &'static str,
    /// Does it once.
    pub run: fn(&mut Hand<'_>) -> Outcome,
    /// What it may fail with, beside the operation of that name.
    pub errors: &'static [(&'static str, Errno)],
    /// What it needs.
    pub needs: Needs,
    /// Whether two processes do it as well: where descriptors and address space make a difference.
    pub in_processes: bool,
}

/// What an operation needs to be possible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    Nothing,
    /// Devices of the test importer.
    Devices,
    /// A driver that is a module.
    Module,
    /// Calls that the driver in the kernel does not have.
    Calls,
}

impl Operation {
    /// What it may fail with beside another one.
    pub fn errors_beside(&self, other: &Operation) -> Vec<Errno> {
        let matching = self
            .errors
            .iter()
            .filter(|(name, _)| *name == ANY || *name == other.name);
        matching.map(|(_, error)| *error).collect()
    }
}
