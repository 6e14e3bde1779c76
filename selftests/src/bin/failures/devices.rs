// SPDX-License-Identifier: GPL-2.0

//! What the tests of devices need.

use selftests::Access;
use selftests::DmaBuf;
use selftests::Errno;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Pattern;
use selftests::Udmabuf;
use selftests::importer;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::importer::Narrow;
use selftests::outcome::skip;

/// Pages of the buffer, all apart.
pub const PAGES: usize = 8;

/// Address bits of a device that does not reach what lies above 4 GiB, where programs get their
/// memory from first.
const FEW: u32 = 32;

pub const DIRECTIONS: [Direction; 3] = [
    Direction::Bidirectional,
    Direction::ToDevice,
    Direction::FromDevice,
];

/// Edu device `number`.
pub fn edu(number: u32) -> Outcome<Edu> {
    match Edu::open(number) {
        Err(Errno::NOENT | Errno::NODEV) => skip(format!("{} and an edu device", importer::DEVICE)),
        edu => Ok(edu?),
    }
}

/// One that works on a copy, until dropped.
pub fn narrow(number: u32) -> Outcome<Narrow> {
    let edu = edu(number)?;
    // There is one that really has fewer.
    let bits = edu.dma_bits()?.min(FEW);
    Ok(Narrow::new(edu, bits)?)
}

/// Scattered pages with a pattern in them, and a buffer of all.
pub fn buffer(pattern: Pattern) -> Outcome<DmaBuf> {
    let memfd = Memfd::with_pages_apart(PAGES * PAGE)?;
    pattern.write_to(&memfd.map()?, 0, PAGES * PAGE);
    Ok(Udmabuf::open()?.create(memfd.whole())?)
}

/// Where a device reads and writes: within a page, as each piece takes a tenth of a second.
pub const AT: usize = PAGE + 1001;
pub const LENGTH: usize = 100;

/// The device reads what it should.
pub fn reads(device: &DeviceMapping<'_>, pattern: Pattern) -> Outcome {
    let mut bytes = vec![0; LENGTH];
    device.device_reads(AT, &mut bytes)?;
    Ok(pattern.check(AT, &bytes)?)
}

/// The device writes what [`wrote`] looks for.
pub fn writes(device: &DeviceMapping<'_>, pattern: Pattern) -> Outcome {
    Ok(device.device_writes(AT, &pattern.bytes(AT, LENGTH))?)
}

/// The CPU finds the pattern in all of the buffer.
pub fn holds(buffer: &DmaBuf, pattern: Pattern) -> Outcome {
    Ok(pattern.check_in(&buffer.map(Access::Read)?, 0, PAGES * PAGE)?)
}

/// What the device wrote is in the buffer, and what was around it still is.
pub fn wrote(buffer: &DmaBuf, written: Pattern, around: Pattern) -> Outcome {
    let mapping = buffer.map(Access::Read)?;
    written.check_in(&mapping, AT, LENGTH)?;
    around.check_in(&mapping, 0, AT)?;
    let behind = AT + LENGTH;
    Ok(around.check_in(&mapping, behind, PAGES * PAGE - behind)?)
}
