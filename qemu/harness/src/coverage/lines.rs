// SPDX-License-Identifier: GPL-2.0

//! The line table of a kernel module.

use std::{
    borrow::Cow,
    ops::Range,
    path::{Component, Path, PathBuf},
    rc::Rc,
};

use anyhow::{Context, Result, bail};
use gimli::{Dwarf, EndianRcSlice, LittleEndian, Unit};
use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationKind, RelocationTarget, Section,
    SectionKind, read::elf::ElfFile64,
};

/// The section that a driver's code is in, but for what is executed once.
const TEXT: &str = ".text";

/// The directory of the driver's sources.
const SOURCES: &str = "src";

type Reader = EndianRcSlice<LittleEndian>;

/// A line that code was made of.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    /// Its file, below the root of the tree.
    pub file: PathBuf,
    /// Its number, from 1.
    pub number: u32,
}

/// Which bytes of `.text` belong to which lines of the driver's sources.
#[derive(Debug)]
pub struct Lines {
    /// By their first bytes.
    all: Vec<(Range<u64>, Line)>,
}

impl Lines {
    /// Reads the table of a module, an object file that was not linked yet: where its sections will be is
    /// unknown, so bytes count from the beginning of `.text`. Without debug information it is empty.
    ///
    /// # Errors
    ///
    /// When the file or its debug information is damaged.
    pub fn read(data: &[u8], root: &Path) -> Result<Self> {
        let file = File::Elf64(ElfFile64::parse(data)?);
        let dwarf = Dwarf::load(|section| debug_section(&file, section.name()))?;
        let sources = root.join(SOURCES);
        let mut all = Vec::new();
        let mut units = dwarf.units();
        while let Some(header) = units.next()? {
            let unit = dwarf.unit(header)?;
            add_unit(&dwarf, &unit, root, &sources, &mut all)?;
        }
        all.sort_by_key(|(bytes, _): &(Range<u64>, Line)| bytes.start);
        Ok(Lines { all })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All lines, as often as they have code.
    pub fn all(&self) -> impl Iterator<Item = &Line> {
        self.all.iter().map(|(_, line)| line)
    }

    /// The lines that any of these bytes is of.
    pub fn of(&self, bytes: Range<u64>) -> impl Iterator<Item = &Line> {
        // Ranges of a line table do not overlap, so their ends are in order as well.
        let first = self.all.partition_point(|(own, _)| own.end <= bytes.start);
        let rest = self.all[first..].iter();
        rest.take_while(move |(own, _)| own.start < bytes.end)
            .map(|(_, line)| line)
    }
}

/// Adds the lines of a unit.
fn add_unit(
    dwarf: &Dwarf<Reader>,
    unit: &Unit<Reader>,
    root: &Path,
    sources: &Path,
    all: &mut Vec<(Range<u64>, Line)>,
) -> Result<()> {
    let Some(program) = unit.line_program.clone() else {
        return Ok(());
    };
    let mut rows = program.rows();
    // What begins at a row ends where the next one does.
    let mut before: Option<(u64, Line)> = None;
    while let Some((header, row)) = rows.next_row()? {
        let address = row.address();
        if let Some((start, line)) = before.take().filter(|(start, _)| *start < address) {
            all.push((start..address, line));
        }
        let (Some(number), Some(file)) = (row.line(), row.file(header)) else {
            continue;
        };
        if row.end_sequence() {
            continue;
        }
        let mut path = PathBuf::new();
        if let Some(directory) = &unit.comp_dir {
            path.push(&*String::from_utf8_lossy(directory));
        }
        if let Some(directory) = file.directory(header) {
            path.push(&*text(dwarf, unit, directory)?);
        }
        path.push(&*text(dwarf, unit, file.path_name())?);
        let path: PathBuf = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        if path.starts_with(sources) {
            let line = Line {
                file: path.strip_prefix(root)?.to_owned(),
                number: number.get().try_into().context("a line beyond all")?,
            };
            before = Some((address, line));
        }
    }
    Ok(())
}

fn text(
    dwarf: &Dwarf<Reader>,
    unit: &Unit<Reader>,
    value: gimli::AttributeValue<Reader>,
) -> Result<String> {
    let bytes = dwarf.attr_string(unit, value)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A section of debug information as a linker would have it that puts each section at 0: nothing if
/// there is no such section.
fn debug_section(file: &File<'_>, name: &str) -> Result<Reader> {
    let data = match file.section_by_name(name) {
        Some(section) => relocated(file, &section)?,
        None => Cow::Borrowed(&[][..]),
    };
    Ok(Reader::new(Rc::from(&*data), LittleEndian))
}

/// The data of a section with all that it says about other places.
fn relocated<'a>(file: &File<'a>, section: &Section<'a, '_>) -> Result<Cow<'a, [u8]>> {
    let mut data = section.uncompressed_data()?;
    for (offset, relocation) in section.relocations() {
        let RelocationTarget::Symbol(symbol) = relocation.target() else {
            bail!("a relocation of no symbol");
        };
        let symbol = file.symbol_by_index(symbol)?;
        // Of code elsewhere, which has the same addresses as this, nothing is wanted.
        let is_elsewhere = symbol
            .section_index()
            .map(|index| file.section_by_index(index))
            .transpose()?
            .is_some_and(|other| other.kind() == SectionKind::Text && other.name() != Ok(TEXT));
        let size = match (relocation.kind(), relocation.size()) {
            (RelocationKind::Absolute, 32) => 4,
            (RelocationKind::Absolute, 64) => 8,
            // Between two sections of debug information, which no line depends on.
            _ => continue,
        };
        let value = match is_elsewhere {
            true => u64::MAX,
            false => symbol.address().wrapping_add_signed(relocation.addend()),
        };
        let start = usize::try_from(offset)?;
        let place = data.to_mut().get_mut(start..start + size);
        let place = place.context("a relocation beyond its section")?;
        place.copy_from_slice(&value.to_le_bytes()[..size]);
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32) -> Line {
        Line {
            file: "src/a.rs".into(),
            number,
        }
    }

    #[test]
    fn a_block_has_the_lines_that_it_has_bytes_of() {
        let all = [(0..4, 10), (4..8, 11), (20..24, 12)];
        let all = all.map(|(bytes, number)| (bytes, line(number))).into();
        let lines = Lines { all };
        let numbers =
            |bytes: Range<u64>| -> Vec<_> { lines.of(bytes).map(|line| line.number).collect() };
        assert_eq!(numbers(0..4), [10]);
        assert_eq!(numbers(3..5), [10, 11]);
        assert!(numbers(8..20).is_empty());
        assert_eq!(numbers(0..100), [10, 11, 12]);
        assert!(numbers(24..30).is_empty());
    }

    #[test]
    fn lines_of_a_program_are_found() {
        let own = std::env::current_exe().unwrap();
        let data = std::fs::read(own).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let lines = Lines::read(&data, root).unwrap();
        let here = |number| Line {
            file: "src/coverage/lines.rs".into(),
            number,
        };
        let executed = here(line!());
        assert!(lines.all().any(|line| *line == executed));
        assert!(!lines.all().any(|line| *line == here(1)));
        let elsewhere = Lines::read(&data, Path::new("/nonexistent")).unwrap();
        assert!(elsewhere.is_empty());
    }

    #[test]
    fn an_object_file_counts_from_its_text() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        std::fs::create_dir(root.join("src")).unwrap();
        let source = "\n\n__attribute__((section(\".init.text\"))) int once(void) { return 1; }\n\
                      int one(void) { return 1; }\nint two(void) { return 2; }\n";
        std::fs::write(root.join("src/a.c"), source).unwrap();
        let mut compiler = std::process::Command::new("gcc");
        compiler.args(["-g", "-O1", "-c", "-o", "a.o", "src/a.c"]);
        assert!(compiler.current_dir(&root).status().unwrap().success());
        let data = std::fs::read(root.join("a.o")).unwrap();
        let lines = Lines::read(&data, &root).unwrap();
        let line = |number| Line {
            file: "src/a.c".into(),
            number,
        };
        // Once executed, and gone: that is not in `.text`.
        assert!(!lines.all().any(|other| *other == line(3)));
        let first: Vec<_> = lines.of(0..1).collect();
        assert_eq!(first, [&line(4)]);
        let last = lines.all().last().unwrap();
        assert_eq!(*last, line(5));
    }

    #[test]
    fn what_is_no_object_file_is_an_error() {
        assert!(Lines::read(b"no module", Path::new("/")).is_err());
    }
}
