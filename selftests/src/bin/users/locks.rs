// SPDX-License-Identifier: GPL-2.0

//! A user who holds locks of a buffer nearly all the time.

use std::convert::Infallible;

use selftests::Access;
use selftests::DmaBuf;
use selftests::Memfd;
use selftests::Outcome;
use selftests::Udmabuf;
use selftests::importer::Direction;
use selftests::importer::Edu;
use selftests::ktap::Test;
use selftests::machine;
use selftests::tests;

use crate::beside::Ready;
use crate::beside::beside;
use crate::user::OneCpu;
use crate::user::User;

pub const TESTS: &[Test] = tests![
    shared_buffer_in_endless_maps,
    shared_buffer_in_endless_brackets,
    own_buffer_in_endless_brackets,
];

/// Bytes of a buffer that takes its time, where devices have shadows.
fn size() -> Outcome<usize> {
    Ok(machine::scaled(1 << 20, 512 << 10)?)
}

fn buffer(size: usize) -> Outcome<DmaBuf> {
    Ok(Udmabuf::open()?.create(Memfd::new(size)?.whole())?)
}

/// Hands the buffer over all the time while a device has it, which may write.
fn brackets(ready: &Ready, buffer: &DmaBuf) -> Outcome<Infallible> {
    let edu = Edu::open(1)?;
    let attachment = edu.attach(buffer)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    ready.tell()?;
    loop {
        buffer.start(Access::ReadWrite)?;
        buffer.finish(Access::ReadWrite)?;
    }
}

/// The honest user works with a buffer that a device has all the time, for which a bracket has as much
/// to do alone as it has beside the hostile user.
fn beside_with_device(
    buffer: &DmaBuf,
    hostile: impl FnOnce(&Ready) -> Outcome<Infallible>,
) -> Outcome {
    let edu = Edu::open(1)?;
    let attachment = edu.attach(buffer)?;
    let _mapping = attachment.map(Direction::Bidirectional)?;
    let _one = OneCpu::new()?;
    beside(Some(buffer), hostile)
}

/// Each map and each unmap holds the reservation lock, and the mutex of the attachments.
fn shared_buffer_in_endless_maps() -> Outcome {
    let buffer = buffer(size()?)?;
    beside_with_device(&buffer, |ready| {
        User::Hostile.become_one()?;
        let edu = Edu::open(1)?;
        let attachment = edu.attach(&buffer)?;
        ready.tell()?;
        loop {
            attachment.map(Direction::Bidirectional)?.unmap()?;
        }
    })
}

fn shared_buffer_in_endless_brackets() -> Outcome {
    let buffer = buffer(size()?)?;
    beside_with_device(&buffer, |ready| {
        User::Hostile.become_one()?;
        brackets(ready, &buffer)
    })
}

/// Locks of a buffer are nobody's business who does not have it.
fn own_buffer_in_endless_brackets() -> Outcome {
    let size = size()?;
    beside(None, |ready| {
        User::Hostile.become_one()?;
        brackets(ready, &buffer(size)?)
    })
}
