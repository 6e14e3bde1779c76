// SPDX-License-Identifier: GPL-2.0

//! A row: all contenders that did the same.

use std::{collections::BTreeMap, fmt};

use protocol::bench::{Case, Contender, Pages, Record};

use crate::number;

/// Bytes of a line of the caches.
pub const CACHE_LINE: u64 = 64;

/// A spread that is not worth a word, in percent.
const SMALL_SPREAD: f64 = 1.0;

/// What the contenders of a row have in common. The order is that of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// What they did.
    pub case: Case,
    /// What the buffer is made of.
    pub pages: Pages,
    /// How many devices it is mapped for.
    pub attachments: u32,
    /// Whether these snoop; false if there are none.
    pub coherent: bool,
    /// How many others are alive meanwhile, or closed.
    pub others: u32,
    /// How many threads are at work; 0 where it is about one thing at a time.
    pub threads: u32,
    /// Ranges that it consists of.
    pub items: u32,
    /// Its size.
    pub bytes: u64,
    /// The contiguous pieces that were wanted of it; 0 if none were.
    pub pieces: u64,
}

impl Key {
    fn of(record: &Record) -> Self {
        Key {
            case: record.case,
            pages: record.pages,
            attachments: record.attachments,
            coherent: record.coherent && record.attachments > 0,
            others: record.others,
            threads: record.threads,
            items: record.items,
            bytes: record.bytes,
            pieces: record.pieces_wanted(),
        }
    }

    /// Whether it is part of a sweep over sizes, rather than over something else.
    pub fn is_of_sizes(&self) -> bool {
        self.others == 0 && self.pieces == 0 && self.threads == 0
    }

    /// The devices that the buffer is mapped for, in words; empty if there are none.
    pub fn attached(&self) -> String {
        match (self.attachments, self.coherent) {
            (0, _) => String::new(),
            (number, true) => format!("{number} coherent"),
            (number, false) => format!("{number} noncoherent"),
        }
    }
}

/// What is not as usual, in words.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", case(self.case), pages(self.pages))?;
        if self.items > 1 {
            write!(f, ", {} items", number::grouped(self.items.into()))?;
        }
        write!(f, ", {}", number::size(self.bytes))?;
        if self.pieces > 0 {
            write!(f, " in {}", number::grouped(self.pieces))?;
        }
        if self.attachments > 0 {
            write!(f, ", {}", self.attached())?;
        }
        if self.others > 0 {
            write!(f, ", {} others", number::grouped(self.others.into()))?;
        }
        if self.threads > 0 {
            write!(f, ", threads: {}", self.threads)?;
        }
        Ok(())
    }
}

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Row<'a> {
    /// What it is about.
    pub key: Key,
    records: BTreeMap<Contender, &'a Record>,
}

impl<'a> Row<'a> {
    /// The rows of some records, by machine, in the order in which machines come up.
    pub fn by_machine(records: &'a [Record]) -> Vec<(&'a str, Vec<Row<'a>>)> {
        let mut machines: Vec<(&str, BTreeMap<Key, Row>)> = Vec::new();
        for record in records {
            let machine = record.machine.as_str();
            if machines.iter().all(|(name, _)| *name != machine) {
                machines.push((machine, BTreeMap::new()));
            }
            let key = Key::of(record);
            let mut those = machines.iter_mut();
            if let Some((_, rows)) = those.find(|(name, _)| *name == machine) {
                let records = BTreeMap::new();
                let row = rows.entry(key).or_insert(Row { key, records });
                row.records.insert(record.contender, record);
            }
        }
        let rows = |rows: BTreeMap<_, _>| rows.into_values().collect();
        let machines = machines.into_iter();
        machines
            .map(|(name, by_key)| (name, rows(by_key)))
            .collect()
    }

    /// What was measured of a contender: instructions, or bytes of memory.
    pub fn value(&self, contender: Contender) -> Option<u64> {
        let record = self.records.get(&contender)?;
        match record.case {
            Case::Memory => record.memory,
            _ => record.median(),
        }
    }

    /// What udmabuf-rs takes compared with another.
    pub fn ratio(&self, other: Contender) -> Option<f64> {
        let (rust, other) = (self.value(Contender::Rust)?, self.value(other)?);
        (other > 0).then(|| rust as f64 / other as f64)
    }

    /// The same in words.
    pub fn ratio_text(&self, other: Contender) -> Option<String> {
        number::ratio(self.value(Contender::Rust)?, self.value(other)?)
    }

    /// The contiguous pieces of the buffer, as counted.
    pub fn pieces(&self) -> Option<u64> {
        let record = self.records.get(&Contender::Rust)?;
        Some(record.pieces).filter(|pieces| *pieces > 0)
    }

    /// How often threads of a contender slept.
    pub fn waits(&self, contender: Contender) -> Option<u64> {
        self.records.get(&contender)?.waits
    }

    /// How far repetitions are apart, in percent of their median, of the contender of which they are the
    /// farthest; none if that is little.
    pub fn spread(&self) -> Option<f64> {
        let spreads = self.records.values().filter_map(|record| spread(record));
        spreads.reduce(f64::max).filter(|most| *most > SMALL_SPREAD)
    }

    /// The cache maintenance of a contender: operations, and those for each line of the buffer.
    pub fn maintenance(&self, contender: Contender) -> Option<(u64, f64)> {
        let operations = self.records.get(&contender)?.maintenance?;
        let lines = (self.key.bytes / CACHE_LINE).max(1);
        Some((operations, operations as f64 / lines as f64))
    }
}

/// (max - min) / median, in percent.
fn spread(record: &Record) -> Option<f64> {
    let numbers = &record.instructions;
    let (least, most) = (numbers.iter().min()?, numbers.iter().max()?);
    let median = record.median().filter(|median| *median > 0)?;
    Some((most - least) as f64 / median as f64 * 100.0)
}

/// A kind of pages, in short.
pub fn pages(pages: Pages) -> &'static str {
    match pages {
        Pages::Base => "4k",
        Pages::Apart => "4k apart",
        Pages::Pieces => "4k pieces",
        Pages::Thp => "thp",
        Pages::Hugetlb => "hugetlb",
    }
}

/// A case, in words.
pub fn case(case: Case) -> String {
    case.to_string().replace('_', " ")
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{record, sweep},
        *,
    };

    #[test]
    fn contenders_that_did_the_same_share_a_row() {
        let mut records = sweep(Case::Create);
        records.extend(sweep(Case::Close).into_iter().take(1));
        let mut elsewhere = record(Case::Create, Contender::Rust, 4096, 1);
        elsewhere.machine = "arm64-coherent".into();
        records.push(elsewhere);
        let machines = Row::by_machine(&records);
        assert_eq!(machines[0].0, "x86_64-direct");
        assert_eq!((machines[0].1.len(), machines[1].1.len()), (4, 1));
        let row = &machines[0].1[1];
        assert_eq!(row.key.bytes, 1 << 20);
        assert_eq!(row.value(Contender::C), Some(1048 * 20));
        assert_eq!(row.ratio_text(Contender::C).unwrap(), "0.10");
        assert_eq!(row.ratio_text(Contender::Floor).unwrap(), "2.00");
        let close = &machines[0].1[3];
        assert_eq!(close.value(Contender::C), None);
        assert_eq!(close.ratio_text(Contender::C), None);
    }

    #[test]
    fn what_differs_is_in_another_row() {
        let plain = record(Case::BeginEnd, Contender::Rust, 4096, 1);
        let mut records = vec![plain.clone(); 5];
        records[1].pages = Pages::Thp;
        records[2].items = 2;
        records[3].attachments = 2;
        records[4].attachments = 2;
        records[4].coherent = false;
        let machines = Row::by_machine(&records);
        assert_eq!(machines[0].1.len(), 5);
        let attached: Vec<_> = machines[0].1.iter().map(|row| row.key.attached()).collect();
        assert_eq!(attached, ["", "", "2 noncoherent", "2 coherent", ""]);
        // Of no device nobody can say whether it snoops.
        let mut other = plain.clone();
        other.contender = Contender::Floor;
        other.coherent = false;
        assert_eq!(Row::by_machine(&[plain, other])[0].1.len(), 1);
    }

    #[test]
    fn a_row_has_a_name_of_what_is_not_as_usual() {
        let mut one = record(Case::BeginEnd, Contender::Rust, 4096, 1);
        assert_eq!(Key::of(&one).to_string(), "begin end, 4k, 4 KiB");
        one.items = 1024;
        one.attachments = 8;
        let name = Key::of(&one).to_string();
        assert_eq!(name, "begin end, 4k, 1,024 items, 4 KiB, 8 coherent");
        one.pages = Pages::Pieces;
        one.pieces = 4;
        one.threads = 8;
        one.others = 10_000;
        let name = Key::of(&one).to_string();
        let expected =
            "begin end, 4k pieces, 1,024 items, 4 KiB in 4, 8 coherent, 10,000 others, threads: 8";
        assert_eq!(name, expected);
    }

    #[test]
    fn spread_is_that_of_the_worst_and_only_if_it_is_one() {
        let mut records = vec![
            record(Case::Create, Contender::Rust, 4096, 1000),
            record(Case::Create, Contender::C, 4096, 1000),
        ];
        assert_eq!(Row::by_machine(&records)[0].1[0].spread(), None);
        records[0].instructions = vec![1000, 995, 1005];
        assert_eq!(Row::by_machine(&records)[0].1[0].spread(), None);
        records[1].instructions = vec![1000, 900, 1150];
        assert_eq!(Row::by_machine(&records)[0].1[0].spread(), Some(25.0));
    }

    #[test]
    fn maintenance_is_for_each_line() {
        let mut records = vec![record(Case::BeginEnd, Contender::C, 4096, 1)];
        assert_eq!(
            Row::by_machine(&records)[0].1[0].maintenance(Contender::C),
            None
        );
        records[0].maintenance = Some(96);
        let found = Row::by_machine(&records)[0].1[0].maintenance(Contender::C);
        assert_eq!(found, Some((96, 1.5)));
    }

    #[test]
    fn memory_is_in_bytes() {
        let mut records = vec![record(Case::Memory, Contender::C, 4096, 7)];
        records[0].memory = Some(512);
        let value = Row::by_machine(&records)[0].1[0].value(Contender::C);
        assert_eq!(value, Some(512));
    }
}
