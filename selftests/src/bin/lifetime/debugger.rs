// SPDX-License-Identifier: GPL-2.0

//! Who looks into an address space from outside, through `/proc/PID/mem`, sees a mapping of a
//! buffer as one of the memfd. ptrace() goes the same way in the kernel.

use std::fs::File;
use std::os::unix::fs::FileExt;

use selftests::Access;
use selftests::Backing;
use selftests::HUGE_PAGE;
use selftests::Mapping;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::hugepage;
use selftests::ktap::Test;
use selftests::outcome::equal;
use selftests::outcome::skip;
use selftests::sys::fork::Child;
use selftests::tests;

pub const TESTS: &[Test] = tests![
    debugger_reads_and_writes,
    debugger_reads_to_the_end,
    debugger_respects_protection,
    debugger_in_another_process,
];

const PATTERN: fn() -> Pattern = || Pattern::new(41);

/// A buffer in pieces, of pages that are not in the order of the file, and mapped before and after.
struct Subject {
    memfd: Memfd,
    buffer: selftests::DmaBuf,
}

impl Subject {
    fn new(backing: Backing) -> Outcome<Subject> {
        let page = backing.page_size();
        if backing == Backing::Huge && hugepage::free()? < 3 {
            return skip("3 free huge pages");
        }
        let memfd = Memfd::builder(3 * page).backing(backing).create()?;
        // Pages come in the order in which they are asked for, which is not to be the list's.
        memfd.map()?.touch_every_page();
        let items = [2, 0, 1].map(|number| memfd.range(number * page, page));
        let buffer = Udmabuf::open()?.create_list(&items)?;
        PATTERN().write_to(&buffer.map(Access::ReadWrite)?, 0, 3 * page);
        Ok(Subject { memfd, buffer })
    }

    fn size(&self) -> usize {
        self.memfd.size()
    }

    fn map(&self, access: Access) -> Outcome<Mapping> {
        Ok(self.buffer.map_aligned(access)?)
    }
}

/// The memory of a process, for reading and writing.
fn memory(process: &str) -> Outcome<File> {
    let path = format!("/proc/{process}/mem");
    Ok(File::options().read(true).write(true).open(path)?)
}

/// How many bytes a call moved; none is an error of the kernel, or nothing there.
fn moved(result: std::io::Result<usize>) -> usize {
    result.unwrap_or(0)
}

fn debugger_reads_and_writes() -> Outcome {
    for backing in [Backing::Base, Backing::Huge] {
        let subject = Subject::new(backing)?;
        let memory = memory("self")?;
        let page = backing.page_size();
        // Nobody has touched this one.
        let mapping = subject.map(Access::ReadWrite)?;
        let address = mapping.address() as u64;
        for (at, len) in [
            (0, 8),
            (2 * page - 8, 16),
            (page - 8, 16),
            (PAGE - 3, 7),
            (page - 5, PAGE + 10),
            (2 * page - 1, 2),
            (PAGE / 2, 2 * page),
            (0, subject.size()),
        ] {
            let what = format!("{len} bytes at {at:#x} of {backing:?} pages");
            let mut bytes = vec![0; len];
            let count = moved(memory.read_at(&mut bytes, address + at as u64));
            equal(format_args!("{what}: read"), count, len)?;
            PATTERN().check(at, &bytes)?;
            let other = Pattern::new(42);
            let count = moved(memory.write_at(&other.bytes(at, len), address + at as u64));
            equal(format_args!("{what}: written"), count, len)?;
            other.check_in(&mapping, at, len)?;
            PATTERN().check_in(&mapping, 0, at)?;
            PATTERN().check_in(&mapping, at + len, subject.size() - at - len)?;
            PATTERN().write_to(&mapping, at, len);
        }
    }
    Ok(())
}

/// What is beyond a mapping is not moved, and what is beyond a part of a buffer not looked at.
fn debugger_reads_to_the_end() -> Outcome {
    let subject = Subject::new(Backing::Base)?;
    let memory = memory("self")?;
    // The last page is unmapped again, so that nothing is behind the second.
    let mut mapping = subject.map(Access::ReadWrite)?;
    mapping.truncate(2 * PAGE)?;
    let end = mapping.address() as u64 + 2 * PAGE as u64;
    let mut bytes = [0; 16];
    equal("read", moved(memory.read_at(&mut bytes, end - 6)), 6)?;
    PATTERN().check(2 * PAGE - 6, &bytes[..6])?;
    equal("written", moved(memory.write_at(&bytes, end - 6)), 6)?;
    equal("read behind it", moved(memory.read_at(&mut bytes, end)), 0)?;
    // A mapping of the last two pages only.
    let tail = Mapping::shared(&subject.buffer, PAGE as u64, 2 * PAGE, Access::Read)?;
    let mut bytes = vec![0; 2 * PAGE];
    let count = moved(memory.read_at(&mut bytes, tail.address() as u64));
    equal("read of the tail", count, 2 * PAGE)?;
    Ok(PATTERN().check(PAGE, &bytes)?)
}

/// Whether the kernel lets a debugger read and write a mapping, and how much of it, is the same as
/// for a mapping of the memfd.
fn debugger_respects_protection() -> Outcome {
    let subject = Subject::new(Backing::Base)?;
    let memory = memory("self")?;
    let seen = |mapping: Mapping, protection: Access| -> Outcome<[usize; 4]> {
        let address = mapping.address() as u64;
        let size = mapping.len();
        let mut bytes = vec![0; size];
        let before = moved(memory.read_at(&mut bytes, address));
        // The second of three pages.
        mapping.protect(PAGE, PAGE, Some(protection))?;
        Ok([
            before,
            moved(memory.read_at(&mut bytes, address)),
            moved(memory.write_at(&bytes, address)),
            moved(memory.write_at(&bytes[PAGE..PAGE + 8], address + PAGE as u64)),
        ])
    };
    for access in [Access::Read, Access::ReadWrite] {
        for protection in [Access::Read, access] {
            let size = subject.size();
            let by_memfd = Mapping::shared(&subject.memfd, 0, size, access)?;
            equal(
                format_args!("mapped for {access:?}, then {protection:?}"),
                seen(subject.map(access)?, protection)?,
                seen(by_memfd, protection)?,
            )?;
        }
    }
    let closed = subject.map(Access::ReadWrite)?;
    closed.protect(PAGE, PAGE, None)?;
    let mut bytes = vec![0; subject.size()];
    let count = moved(memory.read_at(&mut bytes, closed.address() as u64));
    equal("read up to the closed page", count, PAGE)?;
    // As the calls said, nothing was written to what is only for reading.
    let reader = subject.map(Access::Read)?;
    let other = Pattern::new(43).bytes(0, subject.size());
    let count = moved(memory.write_at(&other, reader.address() as u64));
    equal("written to a mapping for reading", count, 0)?;
    PATTERN().check_in(&reader, 0, 8)?;
    let writer = subject.map(Access::ReadWrite)?;
    writer.protect(PAGE, PAGE, Some(Access::Read))?;
    let count = moved(memory.write_at(&other, writer.address() as u64));
    equal("written up to the protected page", count, PAGE)?;
    PATTERN().check_in(&reader, PAGE, 2 * PAGE)?;
    Ok(())
}

/// A child looks into its parent, which has a mapping that the child has lost.
fn debugger_in_another_process() -> Outcome {
    let subject = Subject::new(Backing::Base)?;
    let mapping = subject.map(Access::ReadWrite)?;
    mapping.keep_from_children(0, subject.size())?;
    let parent = std::process::id().to_string();
    let address = mapping.address() as u64;
    let child = Child::run(|| {
        let look = || -> Outcome {
            let mut bytes = vec![0; HUGE_PAGE.min(subject.size())];
            let memory = memory(&parent)?;
            equal(
                "read",
                moved(memory.read_at(&mut bytes, address)),
                bytes.len(),
            )?;
            PATTERN().check(0, &bytes)?;
            equal("written", moved(memory.write_at(b"debugger", address)), 8)
        };
        match look() {
            Ok(()) => 0,
            Err(stop) => {
                println!("{stop}");
                1
            }
        }
    })?;
    equal(
        "the child's exit code",
        child.wait()?.exit_status(),
        Some(0),
    )?;
    let mut bytes = [0; 8];
    mapping.read(0, &mut bytes);
    equal("what it wrote", &bytes, b"debugger")
}
