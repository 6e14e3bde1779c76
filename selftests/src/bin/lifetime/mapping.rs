// SPDX-License-Identifier: GPL-2.0

//! What a program may do to a mapping of a dma-buf.

use std::thread;

use selftests::Access;
use selftests::Backing;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::HUGE_PAGE;
use selftests::Ledger;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::check;
use selftests::outcome::equal;
use selftests::outcome::errno;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    outlives_descriptor,
    unmapped_in_parts,
    moved,
    shortened,
    write_protected,
    forbidden_and_allowed_again,
    page_tables_dropped,
    fault_storm,
    mapped_and_unmapped_at_once,
];

/// SIGSEGV, the answer to an access that the protection forbids.
const SEGMENTATION_FAULT: i32 = 11;

/// A buffer that holds the pattern, mapped at an aligned address.
fn filled(backing: Backing, size: usize, pattern: Pattern) -> Outcome<(DmaBuf, Mapping)> {
    if backing == Backing::Huge && hugepage::free()? < size.div_ceil(HUGE_PAGE) {
        return skip(format!("{} free huge pages", size.div_ceil(HUGE_PAGE)));
    }
    let memfd = Memfd::builder(size).backing(backing).create()?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map_aligned(Access::ReadWrite)?;
    pattern.write_to(&mapping, 0, size);
    Ok((buffer, mapping))
}

/// Base pages, and huge ones, whose page table entries have to be split.
const KINDS: [(Backing, usize); 2] = [(Backing::Base, 64 * PAGE), (Backing::Huge, 2 * HUGE_PAGE)];

fn outlives_descriptor() -> Outcome {
    for (backing, size) in KINDS {
        let before = Ledger::now()?;
        let pattern = Pattern::new(20);
        let (buffer, mapping) = filled(backing, size, pattern)?;
        // One mapping that has faulted, and one that has not.
        let fresh = buffer.map_aligned(Access::Read)?;
        drop(buffer);
        pattern.check_in(&mapping, 0, size)?;
        pattern.check_in(&fresh, 0, size)?;
        drop((mapping, fresh));
        equal("at the end", Ledger::now()?, before)?;
    }
    Ok(())
}

/// The middle goes first, then the end, then the start.
fn unmapped_in_parts() -> Outcome {
    for (backing, size) in KINDS {
        let before = Ledger::now()?;
        let pattern = Pattern::new(21);
        let (buffer, mapping) = filled(backing, size, pattern)?;
        drop(buffer);
        let third = (size / 3).next_multiple_of(PAGE);
        let (start, rest) = mapping.split(third);
        let (middle, mut end) = rest.split(third);
        drop(middle);
        let mut bytes = vec![0; end.len()];
        end.read(0, &mut bytes);
        pattern.check(2 * third, &bytes)?;
        pattern.check_in(&start, 0, third)?;
        end.truncate(PAGE)?;
        end.read(0, &mut bytes[..PAGE]);
        pattern.check(2 * third, &bytes[..PAGE])?;
        drop(end);
        pattern.check_in(&start, 0, third)?;
        check("pages pinned", Ledger::now()?.pinned > before.pinned)?;
        drop(start);
        equal("at the end", Ledger::now()?, before)?;
    }
    Ok(())
}

/// To addresses that do and do not suit huge page table entries.
fn moved() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(22);
        let (_buffer, mut mapping) = filled(backing, size, pattern)?;
        for align in [PAGE, HUGE_PAGE] {
            let from = mapping.address();
            mapping.relocate(align)?;
            check("at another address", mapping.address() != from)?;
            pattern.check_in(&mapping, 0, size)?;
        }
    }
    Ok(())
}

fn shortened() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(23);
        let (_buffer, mut mapping) = filled(backing, size, pattern)?;
        for len in [size - PAGE, size / 2 + PAGE, PAGE] {
            mapping.resize(len)?;
            pattern.check_in(&mapping, 0, len)?;
        }
        errno("grown again", mapping.resize(2 * PAGE), Errno::FAULT)?;
        pattern.check_in(&mapping, 0, PAGE)?;
    }
    Ok(())
}

/// The signal that ends a process when it does `access`, if any.
fn signal_of(access: impl FnOnce()) -> Outcome<Option<i32>> {
    let child = Child::run(|| {
        access();
        0
    })?;
    Ok(child.wait()?.terminating_signal())
}

fn write_protected() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(24);
        let (buffer, mapping) = filled(backing, size, pattern)?;
        let reader = buffer.map_aligned(Access::Read)?;
        pattern.check_in(&reader, 0, size)?;
        let signal = signal_of(|| reader.write(size - 1, &[0]))?;
        equal(
            "writing what is mapped for reading",
            signal,
            Some(SEGMENTATION_FAULT),
        )?;
        // One page of many.
        let at = size / 2 + PAGE;
        mapping.protect(at, PAGE, Some(Access::Read))?;
        let signal = signal_of(|| mapping.write(at, &[0]))?;
        equal(
            "writing the protected page",
            signal,
            Some(SEGMENTATION_FAULT),
        )?;
        for neighbour in [at - 1, at + PAGE] {
            equal(
                "writing its neighbour",
                signal_of(|| mapping.write(neighbour, &[0]))?,
                None,
            )?;
            mapping.write(neighbour, &pattern.bytes(neighbour, 1));
        }
        pattern.check_in(&mapping, 0, size)?;
        mapping.protect(0, size, Some(Access::ReadWrite))?;
        let pattern = Pattern::new(25);
        pattern.write_to(&mapping, 0, size);
        pattern.check_in(&reader, 0, size)?;
    }
    Ok(())
}

fn forbidden_and_allowed_again() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(26);
        let (_buffer, mapping) = filled(backing, size, pattern)?;
        let at = size / 4;
        mapping.protect(at, 3 * PAGE, None)?;
        let signal = signal_of(|| _ = mapping.touch(at + PAGE))?;
        equal(
            "reading what is forbidden",
            signal,
            Some(SEGMENTATION_FAULT),
        )?;
        pattern.check_in(&mapping, 0, at)?;
        mapping.protect(at, 3 * PAGE, Some(Access::ReadWrite))?;
        pattern.check_in(&mapping, 0, size)?;
    }
    Ok(())
}

/// The kernel does not drop the entries of such a mapping on demand; where it did, the same pages
/// would have to come back.
fn page_tables_dropped() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(27);
        let (_buffer, mapping) = filled(backing, size, pattern)?;
        match mapping.forget_pages(PAGE, size / 2) {
            Ok(()) => {}
            result => errno("MADV_DONTNEED", result, Errno::INVAL)?,
        }
        pattern.check_in(&mapping, 0, size)?;
    }
    Ok(())
}

/// Four threads fault in the same fresh pages, each in an order of its own.
fn fault_storm() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(28);
        let (buffer, _filled) = filled(backing, size, pattern)?;
        let pages = size / PAGE;
        for _ in 0..10 {
            let mapping = buffer.map_aligned(Access::ReadWrite)?;
            let mapping = &mapping;
            thread::scope(|scope| -> Outcome {
                let threads: Vec<_> = [1, pages - 1, 5, 11]
                    .map(|stride| {
                        scope.spawn(move || {
                            (0..pages)
                                .map(|step| step * stride % pages)
                                .try_for_each(|page| pattern.check_in(mapping, page * PAGE, 8))
                        })
                    })
                    .into_iter()
                    .collect();
                for thread in threads {
                    thread.join().expect("a checking thread does not panic")?;
                }
                Ok(())
            })?;
        }
    }
    Ok(())
}

/// Threads map, fault and unmap the same buffer while others do the same.
fn mapped_and_unmapped_at_once() -> Outcome {
    for (backing, size) in KINDS {
        let pattern = Pattern::new(29);
        let (buffer, _filled) = filled(backing, size, pattern)?;
        thread::scope(|scope| -> Outcome {
            let threads: Vec<_> = (0..4)
                .map(|number| {
                    let buffer = &buffer;
                    scope.spawn(move || -> Outcome {
                        for round in 0..50 {
                            let mapping = buffer.map_aligned(Access::Read)?;
                            let page = (round * 7 + number) % (size / PAGE);
                            pattern.check_in(&mapping, page * PAGE, PAGE)?;
                        }
                        Ok(())
                    })
                })
                .collect();
            for thread in threads {
                thread.join().expect("a mapping thread does not panic")?;
            }
            Ok(())
        })?;
    }
    Ok(())
}
