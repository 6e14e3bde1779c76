// SPDX-License-Identifier: GPL-2.0

//! The memfd and the dma-buf are the same memory, for the CPU.

use selftests::Access;
use selftests::Backing;
use selftests::HUGE_PAGE;
use selftests::Mapping;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::ktap::Test;
use selftests::machine;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    same_memory_in_base_pages,
    same_memory_in_transparent_huge_pages,
    same_memory_in_huge_pages,
    fresh_pages_are_zero,
    pages_appear_in_any_order,
    mapping_of_a_part,
    unaligned_mapping_of_huge_pages,
    read_only_mapping,
    one_gibibyte_in_base_pages,
    one_gibibyte_in_huge_pages,
];

/// Writes through each of two mappings and reads through the other, at an address that is aligned
/// for huge page table entries and at one that is not.
fn same_memory(backing: Backing, size: usize) -> Outcome {
    let memfd = setup::memfd(backing, size)?;
    let through_memfd = memfd.map()?;
    let before = Pattern::new(1);
    before.write_to(&through_memfd, 0, size);

    let buffer = Udmabuf::open()?.create(memfd.range(0, size))?;
    let unaligned = Mapping::aligned(&buffer, 0, size, Access::ReadWrite, PAGE)?;
    for (seed, through_buffer) in [(2, buffer.map_aligned(Access::ReadWrite)?), (4, unaligned)] {
        let bracket = buffer.begin(Access::ReadWrite)?;
        if seed == 2 {
            before.check_in(&through_buffer, 0, size)?;
        }
        let by_buffer = Pattern::new(seed);
        by_buffer.write_to(&through_buffer, 0, size);
        by_buffer.check_in(&through_memfd, 0, size)?;
        let by_memfd = Pattern::new(seed + 1);
        by_memfd.write_to(&through_memfd, 0, size);
        by_memfd.check_in(&through_buffer, 0, size)?;
        bracket.end()?;
    }
    Ok(())
}

fn same_memory_in_base_pages() -> Outcome {
    same_memory(Backing::Base, 3 * HUGE_PAGE + 5 * PAGE)
}

fn same_memory_in_transparent_huge_pages() -> Outcome {
    same_memory(Backing::Transparent, 3 * HUGE_PAGE)
}

fn same_memory_in_huge_pages() -> Outcome {
    same_memory(Backing::Huge, 3 * HUGE_PAGE)
}

/// Pages that nobody has touched before the buffer was made.
fn fresh_pages_are_zero() -> Outcome {
    for backing in [Backing::Base, Backing::Huge] {
        let memfd = setup::memfd(backing, HUGE_PAGE)?;
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let mapping = buffer.map(Access::Read)?;
        let mut bytes = vec![0xff; HUGE_PAGE];
        let bracket = buffer.begin(Access::Read)?;
        mapping.read(0, &mut bytes);
        bracket.end()?;
        if let Some(at) = bytes.iter().position(|byte| *byte != 0) {
            return selftests::outcome::fail(format_args!("{backing:?}: byte {at:#x} is not zero"));
        }
    }
    Ok(())
}

/// Faults from the last page to the first, so that what is mapped around a fault is behind it.
fn pages_appear_in_any_order() -> Outcome {
    let pages = 300;
    let memfd = setup::memfd(Backing::Base, pages * PAGE)?;
    let pattern = Pattern::new(6);
    pattern.write_to(&memfd.map()?, 0, memfd.size());
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map(Access::Read)?;
    let bracket = buffer.begin(Access::Read)?;
    // 7 and 300 have no common divisor: every page once, far apart.
    for page in (0..pages).map(|step| (pages - step) * 7 % pages) {
        pattern.check_in(&mapping, page * PAGE, PAGE)?;
    }
    bracket.end()?;
    Ok(())
}

/// Offsets of a mapping count in the buffer, not in the memfd.
fn mapping_of_a_part() -> Outcome {
    let memfd = setup::memfd(Backing::Base, 32 * PAGE)?;
    let whole = memfd.map()?;
    let buffer = Udmabuf::open()?.create(memfd.range(8 * PAGE, 16 * PAGE))?;
    let part = Mapping::shared(&buffer, 3 * PAGE as u64, 5 * PAGE, Access::ReadWrite)?;
    let pattern = Pattern::new(7);
    pattern.write_to(&part, 0, part.len());
    let mut bytes = vec![0; part.len()];
    whole.read(11 * PAGE, &mut bytes);
    pattern.check(0, &bytes)?;
    // The neighbours are as they were.
    for at in [11 * PAGE - 1, 16 * PAGE] {
        selftests::outcome::equal(format_args!("byte {at:#x}"), whole.touch(at), 0)?;
    }
    Ok(())
}

/// Neither the range nor the mapping starts where a huge page does.
fn unaligned_mapping_of_huge_pages() -> Outcome {
    for backing in [Backing::Transparent, Backing::Huge] {
        let memfd = setup::memfd(backing, 4 * HUGE_PAGE)?;
        let whole = memfd.map()?;
        let pattern = Pattern::new(8);
        pattern.write_to(&whole, 0, whole.len());
        let (start, size) = (HUGE_PAGE - 3 * PAGE, 2 * HUGE_PAGE + 7 * PAGE);
        let buffer = Udmabuf::open()?.create(memfd.range(start, size))?;
        for offset in [0, PAGE, 3 * PAGE, HUGE_PAGE, HUGE_PAGE + 3 * PAGE] {
            let len = size - offset;
            let part = Mapping::aligned(&buffer, offset as u64, len, Access::Read, HUGE_PAGE)?;
            let mut bytes = vec![0; len];
            part.read(0, &mut bytes);
            pattern.check(start + offset, &bytes)?;
        }
    }
    Ok(())
}

/// A mapping for reading sees what one for writing writes, also when it faulted first.
fn read_only_mapping() -> Outcome {
    for backing in [Backing::Base, Backing::Huge] {
        let memfd = setup::memfd(backing, HUGE_PAGE)?;
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let reader = buffer.map_aligned(Access::Read)?;
        let writer = buffer.map_aligned(Access::ReadWrite)?;
        selftests::outcome::equal("fresh byte", reader.touch(0), 0)?;
        let pattern = Pattern::new(9);
        pattern.write_to(&writer, 0, writer.len());
        pattern.check_in(&reader, 0, reader.len())?;
        // A page read first and written later through the same mapping.
        let both = buffer.map_aligned(Access::ReadWrite)?;
        both.touch(HUGE_PAGE - 1);
        let pattern = Pattern::new(10);
        pattern.write_to(&both, 0, both.len());
        pattern.check_in(&reader, 0, reader.len())?;
    }
    Ok(())
}

/// Fills the memfd, checks the buffer byte by byte.
fn one_gibibyte(backing: Backing) -> Outcome {
    let size = machine::scaled(1 << 30, 128 << 20)?;
    let memfd = setup::memfd(backing, size)?;
    let pattern = Pattern::new(11);
    pattern.write_to(&memfd.map()?, 0, size);
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map_aligned(Access::Read)?;
    let bracket = buffer.begin(Access::Read)?;
    pattern.check_in(&mapping, 0, size)?;
    bracket.end()?;
    Ok(())
}

fn one_gibibyte_in_base_pages() -> Outcome {
    one_gibibyte(Backing::Base)
}

fn one_gibibyte_in_huge_pages() -> Outcome {
    one_gibibyte(Backing::Huge)
}
