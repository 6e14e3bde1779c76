// SPDX-License-Identifier: GPL-2.0

//! What came of all pairs: operations against operations.

use std::fmt;

use crate::operation::Operation;
use crate::pair::Pair;
use crate::pair::Who;

/// The results so far.
pub struct Table {
    operations: Vec<&'static Operation>,
    results: Vec<(Pair, Option<u64>)>,
}

impl Table {
    /// Without any result.
    pub fn new(operations: Vec<&'static Operation>) -> Table {
        Table {
            operations,
            results: Vec::new(),
        }
    }

    /// Rounds of a pair, or nothing if it failed.
    pub fn add(&mut self, pair: Pair, rounds: Option<u64>) {
        self.results.push((pair, rounds));
    }

    /// The number of rounds of a pair; what it did not pass is a cross, what did not run a dot, or
    /// nothing where it stands in the other half.
    fn cell(&self, row: usize, column: usize, who: Who) -> String {
        let names = [row, column].map(|index| self.operations[index].name);
        let mut results = self.results.iter();
        let found = results
            .find(|(pair, _)| pair.who == who && [pair.first.name, pair.second.name] == names);
        match found {
            Some((_, Some(rounds))) => rounds.to_string(),
            Some((_, None)) => "X".to_owned(),
            None if column < row => String::new(),
            None => ".".to_owned(),
        }
    }

    fn print(&self, f: &mut fmt::Formatter<'_>, who: Who, title: &str) -> fmt::Result {
        let ran = |index: &usize| {
            let mut results = self.results.iter().filter(|(pair, _)| pair.who == who);
            let name = self.operations[*index].name;
            results.any(|(pair, _)| [pair.first.name, pair.second.name].contains(&name))
        };
        let shown: Vec<usize> = (0..self.operations.len()).filter(ran).collect();
        if shown.is_empty() {
            return Ok(());
        }
        writeln!(f, "# rounds of {title}; X failed, . did not run")?;
        write!(f, "# {:>10}", "")?;
        for column in &shown {
            write!(f, " {:>5.5}", self.operations[*column].name)?;
        }
        writeln!(f)?;
        for row in &shown {
            write!(f, "# {:>10}", self.operations[*row].name)?;
            for column in &shown {
                write!(f, " {:>5}", self.cell(*row, *column, who))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f, Who::Threads, "two threads")?;
        self.print(f, Who::Processes, "two processes")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Needs;

    const fn named(name: &'static str) -> Operation {
        Operation {
            name,
            run: |_| Ok(()),
            errors: &[],
            needs: Needs::Nothing,
            in_processes: true,
        }
    }

    static ONE: Operation = named("one");
    static OTHER: Operation = named("another");
    static THIRD: Operation = named("third");

    #[test]
    fn rounds_failures_and_gaps_are_told_apart() {
        let mut table = Table::new(vec![&ONE, &OTHER, &THIRD]);
        let pair = |first, second| Pair {
            first,
            second,
            who: Who::Threads,
        };
        table.add(pair(&ONE, &ONE), Some(17));
        table.add(pair(&ONE, &OTHER), None);
        let expected = "\
# rounds of two threads; X failed, . did not run
#              one anoth
#        one    17     X
#    another           .
";
        assert_eq!(table.to_string(), expected);
    }
}
