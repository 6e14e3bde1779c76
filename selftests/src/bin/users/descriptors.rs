// SPDX-License-Identifier: GPL-2.0

//! A user who takes all descriptors, or all open files that there may be.

use std::fs;

use rustix::process::Resource;

use selftests::Access;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::outcome::errno;
use selftests::outcome::fail;
use selftests::tests;

use crate::beside::Hostile;
use crate::beside::Ready;
use crate::beside::beside;
use crate::honest;
use crate::nodes::Nodes;
use crate::user;
use crate::user::User;

pub const TESTS: &[Test] = tests![all_descriptors, all_files];

/// Descriptors of a process.
const DESCRIPTORS: u64 = 1024;

/// Open files in the whole system: how many there are, and how many there may be for other than root.
const FILES: &str = "/proc/sys/fs/file-nr";
const MOST_FILES: &str = "/proc/sys/fs/file-max";

/// Makes buffers until there is no room for more, and goes on trying.
fn take_all(ready: &Ready, expected: Errno) -> Outcome<std::convert::Infallible> {
    let (device, memfd) = (Udmabuf::open()?, Memfd::new(PAGE)?);
    let mut buffers = Vec::new();
    let refused = loop {
        match device.create(memfd.whole()) {
            Ok(buffer) => buffers.push(buffer),
            refused => break refused,
        }
    };
    errno("one buffer more", refused, expected)?;
    ready.tell()?;
    loop {
        errno("one more", device.create(memfd.whole()), expected)?;
    }
}

fn all_descriptors() -> Outcome {
    beside(None, |ready| {
        user::limit(Resource::Nofile, DESCRIPTORS)?;
        User::Hostile.become_one()?;
        take_all(ready, Errno::MFILE)
    })
}

/// Nobody but root opens anything then, whichever files they are that were taken. What is open goes on
/// working.
fn all_files() -> Outcome {
    let before = fs::read_to_string(MOST_FILES)?;
    let files = fs::read_to_string(FILES)?;
    let Some(files) = files
        .split_whitespace()
        .next()
        .and_then(|n| n.parse::<u64>().ok())
    else {
        return fail(format_args!("{FILES}: {files}"));
    };
    let _open = Nodes::open_to_all()?;
    fs::write(MOST_FILES, (files + DESCRIPTORS).to_string())?;
    let result = without_files();
    fs::write(MOST_FILES, before)?;
    result?;
    honest::in_process("afterwards", || {
        Udmabuf::open()?.create(Memfd::new(PAGE)?.whole())?;
        Ok(())
    })
}

fn without_files() -> Outcome {
    const SIZE: usize = 16 * PAGE;

    let (device, memfd, edu) = (Udmabuf::open()?, Memfd::new(SIZE)?, Edu::open(0)?);
    let buffer = device.create(memfd.whole())?;
    let hostile = Hostile::start(|ready| {
        user::limit(Resource::Nofile, 4 * DESCRIPTORS)?;
        User::Hostile.become_one()?;
        take_all(ready, Errno::NFILE)
    })?;
    honest::in_process("the honest user", || {
        errno("another", device.create(memfd.whole()), Errno::NFILE)?;
        let memory = buffer.map(Access::ReadWrite)?;
        let pattern = Pattern::new(320);
        let bracket = buffer.begin(Access::ReadWrite)?;
        pattern.write_to(&memory, 0, SIZE);
        bracket.end()?;
        let attachment = edu.attach(&buffer)?;
        let mapping = attachment.map(Direction::ToDevice)?;
        let mut bytes = [0; 256];
        mapping.device_reads(PAGE, &mut bytes)?;
        Ok(pattern.check(PAGE, &bytes)?)
    })?;
    hostile.end()
}
