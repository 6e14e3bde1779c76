// SPDX-License-Identifier: GPL-2.0

//! Memory and work grow with the pieces of memory, not with its pages; and what makes that so
//! does not get in the way of mappings that are cut otherwise.

use std::fs;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::HUGE_PAGE;
use selftests::Mapping;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::child::in_child;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::fail;
use selftests::outcome::skip;
use selftests::statistics;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    huge_page_takes_one_fault,
    neighbours_are_mapped_with_a_page,
    items_side_by_side_are_one_piece,
    contiguous_memory_is_few_extents,
    huge_entry_beside_small_ones,
    small_entries_leave_room_for_a_huge_one,
];

/// Page faults of this process so far that needed no reading (field 10 of proc_pid_stat(5)).
fn faults() -> Outcome<usize> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The second field may contain spaces, and ends with the last parenthesis.
    let fields = stat.rsplit_once(')').map(|(_, fields)| fields);
    let field = fields.and_then(|fields| fields.split_ascii_whitespace().nth(7));
    match field.and_then(|field| field.parse().ok()) {
        Some(faults) => Ok(faults),
        None => fail(format_args!("/proc/self/stat: {stat}")),
    }
}

/// Faults taken by touching one byte of every page of a fresh mapping of a buffer.
fn faults_for_all_of(backing: Backing, size: usize) -> Outcome<usize> {
    if statistics::counter("buffers")?.is_none() {
        return skip("a driver that maps by huge page");
    }
    let memfd = setup::memfd(backing, size)?;
    // Let it all be allocated, and what counts be in memory itself.
    Pattern::new(130).write_to(&memfd.map()?, 0, size);
    faults_for(&Udmabuf::open()?.create(memfd.whole())?)
}

fn faults_for(buffer: &DmaBuf) -> Outcome<usize> {
    let mapping = buffer.map_aligned(Access::ReadWrite)?;
    faults()?;
    let before = faults()?;
    mapping.touch_every_page();
    Ok(faults()? - before)
}

fn huge_page_takes_one_fault() -> Outcome {
    for backing in [Backing::Transparent, Backing::Huge] {
        let taken = faults_for_all_of(backing, 8 * HUGE_PAGE)?;
        // And a few for the program's own memory.
        check(
            format_args!("{taken} faults for 8 huge pages, {backing:?}"),
            (1..8 + 16).contains(&taken),
        )?;
    }
    Ok(())
}

fn neighbours_are_mapped_with_a_page() -> Outcome {
    let pages = 4 * HUGE_PAGE / PAGE;
    let taken = faults_for_all_of(Backing::Base, 4 * HUGE_PAGE)?;
    check(
        format_args!("{taken} faults for {pages} pages"),
        taken <= pages / 128 + 16,
    )
}

/// Where one item of a list goes on where the one before it ends, the buffer does not show it.
fn items_side_by_side_are_one_piece() -> Outcome {
    const PAGES: usize = 4;

    if statistics::counter("buffers")?.is_none() {
        return skip("a driver that maps by huge page");
    }
    let memfd = setup::memfd(Backing::Huge, PAGES * HUGE_PAGE)?;
    Pattern::new(131).write_to(&memfd.map()?, 0, memfd.size());
    let items = (0..memfd.size()).step_by(16 * PAGE);
    let items: Vec<_> = items.map(|at| memfd.range(at, 16 * PAGE)).collect();
    let driver = Udmabuf::open()?;
    let [list, one] = [driver.create_list(&items)?, driver.create(memfd.whole())?];

    let taken = faults_for(&list)?;
    check(
        format_args!("{taken} faults for {PAGES} huge pages"),
        taken <= PAGES + 16,
    )?;
    let edu = setup::edu(0)?;
    let segments = |buffer| -> Outcome<u32> {
        let attachment = edu.attach(buffer)?;
        Ok(attachment.map(Direction::ToDevice)?.segments())
    };
    equal("segments", segments(&list)?, segments(&one)?)
}

fn contiguous_memory_is_few_extents() -> Outcome {
    const PAGES: usize = 32;
    let Some(before) = statistics::counter("extents")? else {
        return skip("a driver that counts its extents");
    };
    let memfd = setup::memfd(Backing::Huge, PAGES * HUGE_PAGE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let extents = statistics::counter("extents")?.unwrap_or(0) - before;
    drop(buffer);
    check(
        format_args!("{extents} extents for {PAGES} huge pages"),
        (1..=PAGES).contains(&extents),
    )
}

/// A buffer of one huge page and eight pages on each side of it, of a memfd full of `pattern`.
fn huge_page_with_neighbours(backing: Backing, pattern: Pattern) -> Outcome<DmaBuf> {
    let memfd = setup::memfd(backing, 3 * HUGE_PAGE)?;
    pattern.write_to(&memfd.map()?, 0, 3 * HUGE_PAGE);
    Ok(Udmabuf::open()?.create(memfd.range(START, SIZE))?)
}

/// The pages in front of the huge one.
const FRONT: usize = 8 * PAGE;
/// Where the buffer begins in the memfd, and its size.
const START: usize = HUGE_PAGE - FRONT;
const SIZE: usize = FRONT + HUGE_PAGE + FRONT;

/// Maps it so that the huge page is aligned.
fn map_aligned_inside(buffer: &DmaBuf) -> Outcome<Mapping> {
    let access = Access::ReadWrite;
    Ok(Mapping::aligned_but_for(
        buffer, 0, SIZE, access, HUGE_PAGE, START,
    )?)
}

/// Once the huge page is mapped by a huge entry, pages beside it fault.
fn huge_entry_beside_small_ones() -> Outcome {
    for backing in [Backing::Transparent, Backing::Huge] {
        let pattern = Pattern::new(131);
        let buffer = huge_page_with_neighbours(backing, pattern)?;
        for first in [FRONT, FRONT + HUGE_PAGE - PAGE] {
            let mapping = map_aligned_inside(&buffer)?;
            mapping.touch(first);
            for page in [0, FRONT - PAGE, FRONT + HUGE_PAGE, SIZE - PAGE] {
                mapping.touch(page);
            }
            let mut bytes = vec![0; SIZE];
            mapping.read(0, &mut bytes);
            pattern.check(START, &bytes)?;
        }
    }
    Ok(())
}

/// The other way round: what was filled around the pages beside it is not in its place.
fn small_entries_leave_room_for_a_huge_one() -> Outcome {
    if statistics::counter("buffers")?.is_none() {
        return skip("a driver that maps by huge page");
    }
    for backing in [Backing::Transparent, Backing::Huge] {
        let buffer = huge_page_with_neighbours(backing, Pattern::new(132))?;
        in_child(&format!("{backing:?}"), || faults_in_between(&buffer))?;
    }
    Ok(())
}

/// Touches pages beside the huge one first. An entry that was made in another place is missed for ever.
fn faults_in_between(buffer: &DmaBuf) -> Outcome {
    let mapping = map_aligned_inside(buffer)?;
    for page in [0, SIZE - PAGE] {
        mapping.touch(page);
    }
    faults()?;
    let before = faults()?;
    for at in (FRONT..FRONT + HUGE_PAGE).step_by(PAGE) {
        mapping.touch(at);
    }
    let taken = faults()? - before;
    check(
        format_args!("{taken} faults for a huge page"),
        (1..=16).contains(&taken),
    )
}
