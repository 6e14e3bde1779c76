// SPDX-License-Identifier: GPL-2.0

//! What a buffer costs does not depend on how many others there are.

use rustix::process;
use rustix::process::Resource;
use rustix::process::Rlimit;

use selftests::DmaBuf;
use selftests::Errno;
use selftests::Item;
use selftests::Memfd;
use selftests::Outcome;
use selftests::PAGE;
use selftests::Udmabuf;
use selftests::importer::Attachment;
use selftests::importer::DeviceMapping;
use selftests::importer::Direction;
use selftests::ktap::Test;
use selftests::machine;
use selftests::outcome::check;
use selftests::sys::clock;
use selftests::tests;

use crate::setup;

pub const TESTS: &[Test] = tests![mapping_beside_many_others, closing_many_that_are_mapped,];

/// Twice as much each time is not this much in all; what grows with the others is far more.
const FACTOR: u64 = 6;

/// Of so many measurements.
const TRIES: usize = 15;

fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values[values.len() / 2]
}

/// As many descriptors as it takes.
fn raise_descriptors(count: u64) -> Outcome {
    let limit = Rlimit {
        current: Some(count),
        maximum: Some(count),
    };
    process::setrlimit(Resource::Nofile, limit)?;
    Ok(())
}

/// One page is mapped for a device, while as many mappings of it as others can make are there, each
/// with other pages that are not side by side.
fn mapping_beside_many_others() -> Outcome {
    const OTHERS: usize = 1000;
    const PIECES: usize = 4;

    raise_descriptors(4096)?;
    let (edu, other) = (setup::edu(0)?, setup::edu(1)?);
    let driver = Udmabuf::open()?;
    let memfd = Memfd::new(2 * PIECES * PAGE)?;
    let page = driver.create(memfd.range(0, PAGE))?;
    let attachment = edu.attach(&page)?;
    let cost = || -> Outcome<u64> {
        let one = || -> Result<u64, Errno> {
            let (mapping, took) = clock::time(|| attachment.map(Direction::Bidirectional));
            mapping?.unmap()?;
            Ok(took)
        };
        Ok(median((0..TRIES).map(|_| one()).collect::<Result<_, _>>()?))
    };
    let alone = cost()?;

    let pieces: Vec<Item> = (0..PIECES)
        .map(|piece| memfd.range(2 * piece * PAGE, PAGE))
        .collect();
    let buffers = (0..OTHERS)
        .map(|_| driver.create_list(&pieces))
        .collect::<Result<Vec<DmaBuf>, _>>()?;
    let attachments = buffers
        .iter()
        .map(|buffer| other.attach(buffer))
        .collect::<Result<Vec<Attachment<'_>>, _>>()?;
    let mappings = attachments
        .iter()
        .map(|attachment| attachment.map(Direction::Bidirectional))
        .collect::<Result<Vec<DeviceMapping<'_>>, _>>()?;
    let beside = cost()?;
    drop(mappings);
    check(
        format_args!("{beside} ns beside {OTHERS} others, {alone} ns alone"),
        beside <= FACTOR * alone,
    )
}

/// What it takes to unmap and close each of so many buffers, the oldest first, in nanoseconds.
fn closing(count: usize) -> Outcome<u64> {
    let edu = setup::edu(1)?;
    let driver = Udmabuf::open()?;
    let memfd = Memfd::new(count * PAGE)?;
    let buffers = (0..count)
        .map(|index| driver.create(memfd.range(index * PAGE, PAGE)))
        .collect::<Result<Vec<DmaBuf>, _>>()?;
    let attachments = buffers
        .iter()
        .map(|buffer| edu.attach(buffer))
        .collect::<Result<Vec<Attachment<'_>>, _>>()?;
    let mappings = attachments
        .iter()
        .map(|attachment| attachment.map(Direction::Bidirectional))
        .collect::<Result<Vec<DeviceMapping<'_>>, _>>()?;
    let (unmapped, unmap) = clock::time(|| mappings.into_iter().try_for_each(DeviceMapping::unmap));
    unmapped?;
    let ((), detach) = clock::time(|| drop(attachments));
    let ((), close) = clock::time(|| drop(buffers));
    Ok((unmap + detach + close) / count as u64)
}

fn closing_many_that_are_mapped() -> Outcome {
    const FEW: usize = 500;

    let many = machine::scaled(5000, 2000)?.max(2 * FEW);
    raise_descriptors(8192)?;
    // The first time everything is new.
    closing(FEW)?;
    let few = closing(FEW)?;
    let each = closing(many)?;
    check(
        format_args!("{each} ns each of {many}, {few} ns each of {FEW}"),
        each <= FACTOR / 2 * few,
    )
}
