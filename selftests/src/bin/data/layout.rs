// SPDX-License-Identifier: GPL-2.0

//! Buffers made of several ranges, overlapping ranges, and several buffers over the same pages.

use rustix::fs::SealFlags;
use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::HUGE_PAGE;
use selftests::Item;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::child::in_child;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::pagemap;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![
    list_of_all_kinds_of_pages,
    pages_apart,
    list_in_reverse_order,
    neighbours_in_one_huge_page,
    single_pages_of_huge_pages,
    list_of_1024_single_pages,
    neighbours_stay_as_they_are,
    range_of_a_large_memfd,
    same_page_many_times,
    buffers_overlap,
];

/// Where in which memfd a piece of a buffer comes from, all in bytes.
struct Piece<'a> {
    memfd: &'a Memfd,
    offset: usize,
    size: usize,
}

/// Gives every memfd its own pattern, makes a buffer of the pieces, and compares each piece with
/// the part of the pattern that it comes from.
fn pieces_are_in_place(memfds: &[&Memfd], pieces: &[Piece<'_>]) -> Outcome<DmaBuf> {
    let pattern_of = |memfd: &Memfd| {
        let number = memfds.iter().position(|other| std::ptr::eq(*other, memfd));
        Pattern::new(20 + number.unwrap_or_default() as u64)
    };
    for memfd in memfds {
        pattern_of(memfd).write_to(&memfd.map()?, 0, memfd.size());
    }
    let items: Vec<Item> = pieces
        .iter()
        .map(|piece| piece.memfd.range(piece.offset, piece.size))
        .collect();
    let buffer = Udmabuf::open()?.create_list(&items)?;
    equal(
        "size",
        buffer.size()?,
        pieces.iter().map(|piece| piece.size).sum(),
    )?;
    let mapping = buffer.map_aligned(Access::Read)?;
    let bracket = buffer.begin(Access::Read)?;
    let mut at = 0;
    for piece in pieces {
        let mut bytes = vec![0; piece.size];
        mapping.read(at, &mut bytes);
        pattern_of(piece.memfd).check(piece.offset, &bytes)?;
        at += piece.size;
    }
    bracket.end()?;
    Ok(buffer)
}

/// More pages than are pinned at once, and more extents than pages in one piece.
fn pages_apart() -> Outcome {
    const PAGES: usize = 1500;

    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    let frames = pagemap::frames(&memfd.map()?)?;
    equal(
        "a page beside the one before",
        pagemap::beside_the_one_before(&frames),
        None,
    )?;
    let pieces = [(0, 700), (700, 800)].map(|(first, pages)| Piece {
        memfd: &memfd,
        offset: first * PAGE,
        size: pages * PAGE,
    });
    pieces_are_in_place(&[&memfd], &pieces[..1])?;
    pieces_are_in_place(&[&memfd], &pieces).map(drop)
}

fn list_of_all_kinds_of_pages() -> Outcome {
    let base = setup::memfd(Backing::Base, 64 * PAGE)?;
    let transparent = setup::memfd(Backing::Transparent, 2 * HUGE_PAGE)?;
    let huge = setup::memfd(Backing::Huge, 2 * HUGE_PAGE)?;
    let piece = |memfd, offset, size| Piece {
        memfd,
        offset,
        size,
    };
    pieces_are_in_place(
        &[&base, &transparent, &huge],
        &[
            piece(&huge, HUGE_PAGE - PAGE, 2 * PAGE),
            piece(&base, 5 * PAGE, 7 * PAGE),
            piece(&transparent, 0, 2 * HUGE_PAGE),
            piece(&huge, 0, HUGE_PAGE),
            piece(&base, 0, 64 * PAGE),
            piece(&transparent, HUGE_PAGE + 9 * PAGE, PAGE),
            piece(&huge, HUGE_PAGE, HUGE_PAGE),
        ],
    )?;
    Ok(())
}

/// Each piece pins the huge page for itself, though together they are one run of memory.
fn neighbours_in_one_huge_page() -> Outcome {
    for backing in [Backing::Transparent, Backing::Huge] {
        let memfd = setup::memfd(backing, HUGE_PAGE)?;
        let pieces: Vec<Piece<'_>> = (0..HUGE_PAGE / (64 * PAGE))
            .map(|index| Piece {
                memfd: &memfd,
                offset: index * 64 * PAGE,
                size: 64 * PAGE,
            })
            .collect();
        pieces_are_in_place(&[&memfd], &pieces)?;
    }
    Ok(())
}

/// Pages that are neighbours in the memfd are not in the buffer.
fn list_in_reverse_order() -> Outcome {
    for backing in Backing::ALL {
        let memfd = setup::memfd(backing, HUGE_PAGE)?;
        let pieces: Vec<Piece<'_>> = (0..HUGE_PAGE / (16 * PAGE))
            .rev()
            .map(|index| Piece {
                memfd: &memfd,
                offset: index * 16 * PAGE,
                size: 16 * PAGE,
            })
            .collect();
        // An extent that ends too early leaves pages without an entry, which fault for ever.
        in_child(&format!("{backing:?}"), || {
            pieces_are_in_place(&[&memfd], &pieces).map(drop)
        })?;
    }
    Ok(())
}

/// Each page is an item, and each item pins the huge page that it is of: all of these pins have to go.
fn single_pages_of_huge_pages() -> Outcome {
    let count = HUGE_PAGE / PAGE;
    for backing in Backing::ALL {
        let memfd = setup::memfd(backing, HUGE_PAGE)?;
        // 5 and 512 have no common divisor: every page once, scattered.
        let pieces: Vec<Piece<'_>> = (0..count)
            .map(|index| Piece {
                memfd: &memfd,
                offset: index * 5 % count * PAGE,
                size: PAGE,
            })
            .collect();
        // A page that is not pinned any more has no contents that it must have.
        in_child(&format!("{backing:?}"), || {
            pieces_are_in_place(&[&memfd], &pieces).map(drop)
        })?;
        equal(
            format_args!("sealed once there is no buffer, {backing:?}"),
            memfd.add_seals(SealFlags::WRITE),
            Ok(()),
        )?;
    }
    Ok(())
}

fn list_of_1024_single_pages() -> Outcome {
    let memfd = setup::memfd(Backing::Base, 1024 * PAGE)?;
    // 5 and 1024 have no common divisor: every page once, scattered.
    let pieces: Vec<Piece<'_>> = (0..1024)
        .map(|index| Piece {
            memfd: &memfd,
            offset: index * 5 % 1024 * PAGE,
            size: PAGE,
        })
        .collect();
    pieces_are_in_place(&[&memfd], &pieces)?;
    Ok(())
}

/// Writing all of a buffer leaves the rest of the memfd alone.
fn neighbours_stay_as_they_are() -> Outcome {
    for backing in Backing::ALL {
        let memfd = setup::memfd(backing, 2 * HUGE_PAGE)?;
        let whole = memfd.map()?;
        let before = Pattern::new(30);
        before.write_to(&whole, 0, whole.len());
        let (start, size) = (HUGE_PAGE - 2 * PAGE, 5 * PAGE);
        let buffer = Udmabuf::open()?.create(memfd.range(start, size))?;
        let written = Pattern::new(31);
        written.write_to(&buffer.map(Access::ReadWrite)?, 0, size);
        before.check_in(&whole, 0, start)?;
        before.check_in(&whole, start + size, whole.len() - start - size)?;
        let mut bytes = vec![0; size];
        whole.read(start, &mut bytes);
        written.check(0, &bytes)?;
    }
    Ok(())
}

/// Far beyond what 32 bits of bytes can count; only a few pages of the file exist.
fn range_of_a_large_memfd() -> Outcome {
    const START: usize = (6 << 30) + 3 * PAGE;
    let memfd = Memfd::new(8 << 30)?;
    let buffer = Udmabuf::open()?.create(memfd.range(START, 4 * PAGE))?;
    let pattern = Pattern::new(32);
    pattern.write_to(&buffer.map(Access::ReadWrite)?, 0, 4 * PAGE);
    let part = Mapping::shared(&memfd, START as u64, 4 * PAGE, Access::Read)?;
    pattern.check_in(&part, 0, 4 * PAGE)?;
    Ok(())
}

fn same_page_many_times() -> Outcome {
    for backing in [Backing::Base, Backing::Huge] {
        let memfd = setup::memfd(backing, 4 * PAGE)?;
        let piece = |page: usize| Piece {
            memfd: &memfd,
            offset: page * PAGE,
            size: PAGE,
        };
        let pieces = [1, 1, 0, 1, 3, 1].map(piece);
        let buffer = pieces_are_in_place(&[&memfd], &pieces)?;
        // Written once, seen in every place.
        let mapping = buffer.map(Access::ReadWrite)?;
        let pattern = Pattern::new(33);
        mapping.write(3 * PAGE, &pattern.bytes(0, PAGE));
        for index in [0, 1, 3, 5] {
            let mut bytes = vec![0; PAGE];
            mapping.read(index * PAGE, &mut bytes);
            pattern.check(0, &bytes)?;
        }
    }
    Ok(())
}

fn buffers_overlap() -> Outcome {
    for backing in Backing::ALL {
        let device = Udmabuf::open()?;
        let memfd = setup::memfd(backing, 16 * PAGE)?;
        let first = device.create(memfd.range(0, 12 * PAGE))?;
        let second = device.create(memfd.range(4 * PAGE, 12 * PAGE))?;
        let pattern = Pattern::new(34);
        pattern.write_to(&first.map(Access::ReadWrite)?, 0, 12 * PAGE);
        // The first buffer goes; its pages stay as the second one's.
        drop(first);
        let mut bytes = vec![0; 8 * PAGE];
        second.map(Access::Read)?.read(0, &mut bytes);
        pattern.check(4 * PAGE, &bytes)?;
    }
    Ok(())
}
