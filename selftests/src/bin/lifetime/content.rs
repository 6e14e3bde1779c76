// SPDX-License-Identifier: GPL-2.0

//! What is in the pages of a memfd before, while and after a buffer has them: what was written by either
//! way, and nothing else.

use rustix::io;
use rustix::mm::Advice;

use selftests::Access;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::tests;

use crate::closing::edu;

pub const TESTS: &[Test] = tests![
    allocated_pages_are_empty,
    allocated_pages_are_the_memfds,
    written_by_the_cpu_stays,
    written_by_a_device_stays,
    single_pages_stay,
];

const SIZE: usize = 64 * PAGE;

/// A memfd with pages that have never been accessed: fallocate() leaves in them what was there.
fn allocated(size: usize) -> Outcome<Memfd> {
    let memfd = Memfd::new(size)?;
    memfd.allocate(0, size)?;
    Ok(memfd)
}

/// Memory that was somebody else's is not in the buffer.
fn allocated_pages_are_empty() -> Outcome {
    /// What others leave behind, and what is taken of it, in bytes.
    const FREED: usize = 256 << 20;
    const TAKEN: usize = 64 << 20;
    let others = Memfd::new(FREED)?;
    let memory = others.map()?;
    for at in (0..FREED).step_by(PAGE) {
        memory.write(at, &[0xa5; PAGE]);
    }
    drop((memory, others));
    let memfd = allocated(TAKEN)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map(Access::Read)?;
    let mut bytes = vec![0; PAGE];
    let mut others = 0;
    for at in (0..TAKEN).step_by(PAGE) {
        mapping.read(at, &mut bytes);
        others += usize::from(bytes.iter().any(|byte| *byte != 0));
    }
    equal("pages with something in them", others, 0)
}

/// What is written by way of the buffer is there by way of the memfd, whose first access must not clear it.
fn allocated_pages_are_the_memfds() -> Outcome {
    let pattern = Pattern::new(60);
    for by_mapping in [false, true] {
        let memfd = allocated(SIZE)?;
        let buffer = Udmabuf::open()?.create(memfd.whole())?;
        let mapping = buffer.map(Access::ReadWrite)?;
        let bracket = buffer.begin(Access::ReadWrite)?;
        pattern.write_to(&mapping, 0, SIZE);
        bracket.end()?;
        match by_mapping {
            true => pattern.check_in(&memfd.map()?, 0, SIZE)?,
            false => pattern.check(0, &content(&memfd)?)?,
        }
        pattern.check_in(&mapping, 0, SIZE)?;
    }
    Ok(())
}

/// All bytes of a memfd, as read() has them.
fn content(memfd: &Memfd) -> Outcome<Vec<u8>> {
    let mut bytes = vec![0; memfd.size()];
    let read = io::pread(memfd, &mut bytes, 0)?;
    equal("bytes read", read, bytes.len())?;
    Ok(bytes)
}

/// Has the kernel take the memfd's pages out of memory, if it may.
fn page_out(memfd: &Memfd) -> Outcome {
    let mapping = memfd.map()?;
    for at in (0..memfd.size()).step_by(PAGE) {
        mapping.read(at, &mut [0]);
    }
    mapping.advise(0, memfd.size(), Advice::LinuxPageOut)?;
    Ok(())
}

/// Pages that the request itself has allocated, and nobody but the buffer has written.
fn written_by_the_cpu_stays() -> Outcome {
    let pattern = Pattern::new(61);
    let memfd = Memfd::new(SIZE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let mapping = buffer.map(Access::ReadWrite)?;
    let bracket = buffer.begin(Access::ReadWrite)?;
    pattern.write_to(&mapping, 0, SIZE);
    bracket.end()?;
    page_out(&memfd)?;
    pattern.check(0, &content(&memfd)?)?;
    drop((mapping, buffer));
    page_out(&memfd)?;
    pattern.check(0, &content(&memfd)?)?;
    Ok(())
}

fn written_by_a_device_stays() -> Outcome {
    let pattern = Pattern::new(62);
    let edu = edu()?;
    let memfd = Memfd::new(SIZE)?;
    let buffer = Udmabuf::open()?.create(memfd.whole())?;
    let attachment = edu.attach(&buffer)?;
    let mapping = attachment.map(Direction::FromDevice)?;
    mapping.device_writes(0, &pattern.bytes(0, SIZE))?;
    mapping.unmap()?;
    attachment.detach()?;
    drop(buffer);
    page_out(&memfd)?;
    pattern.check(0, &content(&memfd)?)?;
    Ok(())
}

/// A list of single pages, of which some were allocated before.
fn single_pages_stay() -> Outcome {
    let pattern = Pattern::new(63);
    let memfd = Memfd::new(SIZE)?;
    memfd.allocate(0, SIZE / 2)?;
    let items: Vec<_> = (0..SIZE)
        .step_by(PAGE)
        .map(|at| memfd.range(at, PAGE))
        .collect();
    let buffer = Udmabuf::open()?.create_list(&items)?;
    let mapping = buffer.map(Access::ReadWrite)?;
    let bracket = buffer.begin(Access::ReadWrite)?;
    pattern.write_to(&mapping, 0, SIZE);
    bracket.end()?;
    pattern.check(0, &content(&memfd)?)?;
    drop((mapping, buffer));
    page_out(&memfd)?;
    pattern.check(0, &content(&memfd)?)?;
    Ok(())
}
